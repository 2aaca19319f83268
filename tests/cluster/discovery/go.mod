// What tells Prometheus which pods there are.
module bluegreen.dev/tests/cluster/discovery

go 1.26.0
