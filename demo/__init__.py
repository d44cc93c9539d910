"""`make demo`: an ordinary program, a Consul that misbehaves, and what the program's telemetry says about it."""
