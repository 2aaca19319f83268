package main

import (
	"testing"
	"time"
)

func from(t *testing.T, now time.Time, environment map[string]string) *behavior {
	t.Helper()
	b, err := behaviorFrom(func(name string) string { return environment[name] }, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoesBadOnlyUnderTraffic(t *testing.T) {
	now := time.Now()
	b := from(t, now, map[string]string{"ERROR_RATE": "1", "BAD_ABOVE_RPS": "20"})
	for range 30 { // ten a second: checks, not users
		now = now.Add(100 * time.Millisecond)
		if fails, _ := b.forRequest(now); fails {
			t.Fatal("bad at ten requests a second")
		}
	}
	bad := 0
	for range 100 { // fifty a second
		now = now.Add(20 * time.Millisecond)
		if fails, _ := b.forRequest(now); fails {
			bad++
		}
	}
	if bad < 60 || bad > 90 {
		t.Fatalf("bad for %d of 100 requests at fifty a second: should be so once the second is full", bad)
	}
	now = now.Add(5 * time.Second)
	if fails, _ := b.forRequest(now); fails {
		t.Fatal("still bad when the traffic is gone")
	}
}

func TestGoesBadAfterATimeAndAfterRequests(t *testing.T) {
	start := time.Now()
	b := from(t, start, map[string]string{"ERROR_RATE": "1", "BAD_AFTER": "10s"})
	if fails, _ := b.forRequest(start.Add(9 * time.Second)); fails {
		t.Fatal("bad too early")
	}
	if fails, _ := b.forRequest(start.Add(11 * time.Second)); !fails {
		t.Fatal("not bad after its time")
	}
	b = from(t, start, map[string]string{"LATENCY": "1s", "BAD_AFTER_REQUESTS": "2"})
	for number, want := range []time.Duration{0, 0, time.Second} {
		if _, latency := b.forRequest(start); latency != want {
			t.Fatalf("request %d is held up for %s instead of %s", number+1, latency, want)
		}
	}
}

func TestErrorsAreSpreadEvenly(t *testing.T) {
	now := time.Now()
	for rate, every := range map[string]int{"1": 1, "0.5": 2, "0.2": 5, "0.1": 10, "0.02": 50} {
		b := from(t, now, map[string]string{"ERROR_RATE": rate})
		for number := 1; number <= 1000; number++ {
			if fails, _ := b.forRequest(now); fails != (number%every == 0) {
				t.Fatalf("request %d at an error rate of %s: fails is %t", number, rate, fails)
			}
		}
	}
	b := from(t, now, nil)
	for range 1000 {
		if fails, _ := b.forRequest(now); fails {
			t.Fatal("an error without an error rate")
		}
	}
}

func TestReadiness(t *testing.T) {
	start := time.Now()
	b := from(t, start, map[string]string{"READY_AFTER": "3s"})
	if b.isReady(start.Add(2*time.Second)) || !b.isReady(start.Add(4*time.Second)) {
		t.Fatal("ready at the wrong time")
	}
	if err := b.set("ready", "false", start); err != nil || b.isReady(start.Add(time.Minute)) {
		t.Fatal("ready although told not to be")
	}
	if err := b.set("redy", "false", start); err == nil {
		t.Fatal("a setting that does not exist was taken")
	}
}
