"""Consul or the network? What the kernel knows of the connection that a call waits on."""
