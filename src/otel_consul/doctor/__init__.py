"""Why do I see nothing? `python -m otel_consul doctor [-- python app.py]` answers that in about a second.

It reads the environment a program runs in, asks the endpoint and the agent, starts `opentelemetry-instrument` once in a
process of its own, makes one real call, and says what it found: one finding a line, the most important first. The
program itself is not run. Nothing else in the package imports this one.
"""
