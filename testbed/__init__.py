"""What tests, demo and benchmarks need around the plugin: a Consul (real or a stand-in), faults, and a receiver.

Development only: nothing in here is part of the installed package, and nothing in here imports it.
"""
