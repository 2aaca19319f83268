package main

import (
	"net/http"
	"time"
)

// sample tells the share of so many requests that are answered with an error of the server. Each has a connection of its own.
func sample(url string, requests int) (float64, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	failed := 0
	for range requests {
		answer, err := client.Get(url)
		if err != nil {
			return 0, err
		}
		_ = answer.Body.Close()
		if answer.StatusCode >= http.StatusInternalServerError {
			failed++
		}
	}
	return float64(failed) / float64(requests), nil
}
