// shop is a well-behaved web application, until it is told otherwise: it says which version answers, whether it is
// ready, and its metrics; and it fails, slows down or crashes on request.
//
// Settings are environment variables, and most can be changed in a running process: POST /control?error_rate=0.2
//
//	VERSION              what it calls itself
//	PORT, PORTS          8080; or several: 8080,8081
//	ERROR_RATE           this share of requests is answered with 500 (0 to 1), evenly spread
//	LATENCY              every request takes this much longer
//	BAD_AFTER            errors and latency begin this long after the start
//	BAD_AFTER_REQUESTS   … once this many requests have come
//	BAD_ABOVE_RPS        … only while more than this many requests came within the last second
//	READY, READY_AFTER   false: never ready; ready this long after the start
//	CRASH_AFTER          exits with 1 this long after the start (POST /control?crash=true: now)
//	LAME_DUCK            how long it goes on accepting connections after SIGTERM, at least (5s)
//	DRAIN_MAX            how long it waits for open connections after SIGTERM, at most (25s)
//	SAMPLE               doesn't serve: asks this address a hundred times and says which share was answered with errors
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

type shop struct {
	version  string
	host     string
	behavior *behavior
	metrics  *metrics
	draining atomic.Bool
	open     atomic.Int64 // connections
}

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if address := os.Getenv("SAMPLE"); address != "" {
		share, err := sample("http://"+address+"/", 100)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(share)
		return
	}
	behavior, err := behaviorFrom(os.Getenv, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		log.Fatalf("cannot tell the name of this pod: %v", err)
	}
	shop := &shop{version: or(os.Getenv("VERSION"), "unknown"), host: host, behavior: behavior, metrics: newMetrics()}
	if err := shop.serve(); err != nil {
		log.Fatal(err)
	}
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func (s *shop) serve() error {
	lameDuck, err := time.ParseDuration(or(os.Getenv("LAME_DUCK"), "5s"))
	if err != nil {
		return fmt.Errorf("LAME_DUCK: %w", err)
	}
	drainMax, err := time.ParseDuration(or(os.Getenv("DRAIN_MAX"), "25s"))
	if err != nil {
		return fmt.Errorf("DRAIN_MAX: %w", err)
	}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, ConnState: s.countConnections}
	failed := make(chan error, 1)
	for port := range strings.SplitSeq(or(os.Getenv("PORTS"), or(os.Getenv("PORT"), "8080")), ",") {
		listener, err := net.Listen("tcp", ":"+strings.TrimSpace(port))
		if err != nil {
			return fmt.Errorf("cannot listen: %w", err)
		}
		go func() { failed <- server.Serve(listener) }()
	}
	log.Printf("version %s serves", s.version)

	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGTERM, syscall.SIGINT)
	select {
	case err := <-failed:
		return err
	case <-ending:
		s.drain(lameDuck, drainMax)
		return server.Shutdown(context.Background())
	}
}

// drain serves on until nobody comes any more. Whoever balances the load learns late that this pod is ending, so
// connections are still accepted; and an idle one may have a request under way, so none is closed but after an answer.
func (s *shop) drain(lameDuck, drainMax time.Duration) {
	log.Printf("ending: %d connections open", s.open.Load())
	s.draining.Store(true)
	started := time.Now()
	for time.Since(started) < lameDuck || (s.open.Load() > 0 && time.Since(started) < drainMax) {
		time.Sleep(20 * time.Millisecond)
	}
	log.Printf("ended after %s: %d connections open", time.Since(started).Round(time.Millisecond), s.open.Load())
}

func (s *shop) countConnections(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.counted("/", s.greet))
	mux.HandleFunc("/version", s.counted("/version", s.tellVersion))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", s.tellReady)
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "text/plain; version=0.0.4")
		s.metrics.write(w, s.version)
	})
	mux.HandleFunc("POST /control", s.control)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-version", s.version)
		w.Header().Set("x-pod", s.host)
		if s.draining.Load() {
			w.Header().Set("connection", "close")
		}
		mux.ServeHTTP(w, r)
	})
}

// counted puts what users see into the metrics, and spoils it as it was told to.
func (s *shop) counted(path string, handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		fails, latency := s.behavior.forRequest(started)
		if latency > 0 {
			select {
			case <-time.After(latency):
			case <-r.Context().Done():
			}
		}
		code := http.StatusOK
		if fails {
			code = http.StatusInternalServerError
			http.Error(w, "this version fails on request", code)
		} else {
			handle(w, r)
		}
		s.metrics.observe(code, r.Method, path, time.Since(started))
	}
}

func (s *shop) greet(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"version": s.version, "pod": s.host, "path": r.URL.Path})
}

func (s *shop) tellVersion(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.version) }

func (s *shop) tellReady(w http.ResponseWriter, _ *http.Request) {
	switch {
	case s.draining.Load():
		http.Error(w, "ending", http.StatusServiceUnavailable)
	case !s.behavior.isReady(time.Now()):
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ready")
	}
}

func (s *shop) control(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("crash") == "true" {
		log.Print("crashing on request")
		os.Exit(1)
	}
	for name, values := range query {
		if err := s.behavior.set(name, values[0], time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	log.Printf("told to behave: %s", r.URL.RawQuery)
	fmt.Fprintln(w, "ok")
}
