"""The package's own thread, on which whatever needs one runs, and what a forked child does first."""
