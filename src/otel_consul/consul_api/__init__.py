"""What a request to Consul asks, and what its answer means: no client library, no telemetry, no clock.

`endpoints` is the table of all there are, `operations` names them, `request` reads parameters, `response` headers, and
`outcome` says what an answer is worth.
"""
