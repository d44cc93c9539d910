"""Grafana dashboards of the Consul client, as code: `python -m examples.grafana.build` writes the JSON."""
