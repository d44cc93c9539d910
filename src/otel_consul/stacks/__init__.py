"""Who waits for a call, and where in the program it was made: file, line and function, never source text or values."""
