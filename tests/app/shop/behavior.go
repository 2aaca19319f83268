package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// behavior is how the shop was told to fail, and since when.
type behavior struct {
	mutex            sync.Mutex
	started          time.Time
	errorRate        float64
	latency          time.Duration
	badAfter         time.Duration
	badAfterRequests uint64
	badAboveRPS      uint64
	ready            bool
	readyAfter       time.Duration

	requests uint64
	// The part of an error that is due by now. It becomes an error when it is a whole one.
	due float64
	// How many requests came in each tenth of the last second.
	tenths [10]uint64
	tenth  int64
}

var settings = []string{
	"ERROR_RATE", "LATENCY", "BAD_AFTER", "BAD_AFTER_REQUESTS", "BAD_ABOVE_RPS", "READY", "READY_AFTER", "CRASH_AFTER",
}

func behaviorFrom(environment func(string) string, now time.Time) (*behavior, error) {
	b := &behavior{started: now, ready: true}
	for _, name := range settings {
		if value := environment(name); value != "" {
			if err := b.set(strings.ToLower(name), value, now); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// set changes one setting; its name is that of the environment variable in small letters.
func (b *behavior) set(name, value string, now time.Time) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	var err error
	switch name {
	case "error_rate":
		b.errorRate, err = strconv.ParseFloat(value, 64)
	case "latency":
		b.latency, err = time.ParseDuration(value)
	case "bad_after":
		b.badAfter, err = time.ParseDuration(value)
		b.badAfter += now.Sub(b.started)
	case "bad_after_requests":
		b.badAfterRequests, err = strconv.ParseUint(value, 10, 64)
		b.badAfterRequests += b.requests
	case "bad_above_rps":
		b.badAboveRPS, err = strconv.ParseUint(value, 10, 64)
	case "ready":
		b.ready, err = strconv.ParseBool(value)
	case "ready_after":
		b.readyAfter, err = time.ParseDuration(value)
		b.readyAfter += now.Sub(b.started)
	case "crash_after":
		var after time.Duration
		if after, err = time.ParseDuration(value); err == nil {
			time.AfterFunc(after, func() {
				log.Printf("crashing, as told to %s ago", after)
				os.Exit(1)
			})
		}
	default:
		return fmt.Errorf("%q is no setting; there are crash, %s", name, strings.ToLower(strings.Join(settings, ", ")))
	}
	if err != nil {
		return fmt.Errorf("%s=%s: %w", name, value, err)
	}
	return nil
}

func (b *behavior) isReady(now time.Time) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.ready && now.Sub(b.started) >= b.readyAfter
}

// forRequest counts a request, and returns whether it fails and how long it is to be held up. Errors are spread evenly, so that
// tests with few requests see the share that they asked for, and not what dice make of it.
func (b *behavior) forRequest(now time.Time) (fails bool, latency time.Duration) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.requests++
	rps := b.countTenth(now)
	good := now.Sub(b.started) < b.badAfter ||
		b.requests <= b.badAfterRequests ||
		(b.badAboveRPS > 0 && rps <= b.badAboveRPS)
	if good {
		return false, 0
	}
	b.due += b.errorRate
	// Ten times 0.1 is a little less than 1.
	if b.due > 1-1e-9 {
		b.due--
		return true, b.latency
	}
	return false, b.latency
}

// countTenth counts a request and tells how many came within the last second.
func (b *behavior) countTenth(now time.Time) uint64 {
	tenth := now.UnixMilli() / 100
	for steps := int64(0); b.tenth < tenth && steps < 10; steps++ {
		b.tenth++
		b.tenths[(tenth-steps)%10] = 0
	}
	b.tenth = tenth
	b.tenths[tenth%10]++
	var sum uint64
	for _, count := range b.tenths {
		sum += count
	}
	return sum
}
