"""A small scriptable stand-in for a Consul agent, for fault tests and for machines where Consul cannot be had.

with StubAgent() as agent:
    agent.fault("/v1/kv/slow", delay=0.5)
    agent.fault("/v1/kv/*", times=1, stop="reset", stop_after="half")
    consul.Consul(port=agent.port).kv.get("slow")
    assert agent.requests[0].target == "/v1/kv/slow"
"""

from testbed.stub_agent.faults import Fault, Injected
from testbed.stub_agent.messages import Request
from testbed.stub_agent.ports import backlog_full_port, refused_port
from testbed.stub_agent.server import StubAgent

__all__ = ["Fault", "Injected", "Request", "StubAgent", "backlog_full_port", "refused_port"]
