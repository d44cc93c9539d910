"""Injected delays of known size against the real client libraries: does each land where it belongs?

`scenarios` says what is injected and where it must show, as data; `stage` and `disturbances` carry it out; `run`
repeats, compares and prints: ``python -m benchmarks.attribution.run``.
"""
