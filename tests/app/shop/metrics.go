package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// The bounds of the histogram's buckets in seconds: the usual ones.
var bounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

type series struct {
	code         int
	method, path string
}

// metrics counts requests by code, method and path, and how long they took, in the form that Prometheus reads.
type metrics struct {
	mutex    sync.Mutex
	requests map[series]uint64
	buckets  []uint64
	count    uint64
	sum      float64
}

func newMetrics() *metrics {
	// A counter that appears only with its first error shows no increase to `rate()` for that error.
	return &metrics{
		requests: map[series]uint64{{200, "GET", "/"}: 0, {500, "GET", "/"}: 0},
		buckets:  make([]uint64, len(bounds)),
	}
}

func (m *metrics) observe(code int, method, path string, took time.Duration) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.requests[series{code, method, path}]++
	m.count++
	m.sum += took.Seconds()
	for index, bound := range bounds {
		if took.Seconds() <= bound {
			m.buckets[index]++
		}
	}
}

func (m *metrics) write(w io.Writer, version string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	fmt.Fprintf(w, "# HELP app_info Which version this is.\n# TYPE app_info gauge\napp_info{version=%q} 1\n", version)
	fmt.Fprint(w, "# HELP http_requests_total Requests answered.\n# TYPE http_requests_total counter\n")
	all := make([]series, 0, len(m.requests))
	for one := range m.requests {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b series) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method), cmp.Compare(a.code, b.code))
	})
	for _, one := range all {
		fmt.Fprintf(w, "http_requests_total{code=\"%d\",method=%q,path=%q} %d\n", one.code, one.method, one.path, m.requests[one])
	}
	fmt.Fprint(w, "# HELP http_request_duration_seconds How long answers took.\n# TYPE http_request_duration_seconds histogram\n")
	for index, bound := range bounds {
		fmt.Fprintf(w, "http_request_duration_seconds_bucket{le=\"%g\"} %d\n", bound, m.buckets[index])
	}
	fmt.Fprintf(w, "http_request_duration_seconds_bucket{le=\"+Inf\"} %d\n", m.count)
	fmt.Fprintf(w, "http_request_duration_seconds_sum %g\nhttp_request_duration_seconds_count %d\n", m.sum, m.count)
}
