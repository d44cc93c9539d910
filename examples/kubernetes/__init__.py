"""For clusters with the OpenTelemetry operator, Grafana's dashboard sidecar and the Prometheus operator."""
