# The demo program for compose.yaml: this working tree, with OTLP.
FROM python:3.13.7-slim-bookworm
WORKDIR /demo
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir ".[otlp,report]" "py-consul[asyncio]" opentelemetry-instrumentation-system-metrics
COPY testbed testbed
COPY demo demo
CMD ["python", "-m", "demo.stack"]
