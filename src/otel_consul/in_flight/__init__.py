"""Calls that have not ended: which they are, what is told of those that hang, and their end with the process."""
