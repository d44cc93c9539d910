"""Run the stand-in agent until SIGINT or SIGTERM: `python -m testbed.stub_agent --port 8500`."""

from __future__ import annotations

import argparse
import signal

from testbed.stub_agent.server import StubAgent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m testbed.stub_agent", description=__doc__)
    parser.add_argument("--port", type=int, default=8500, help="0 takes a free one (default: 8500)")
    parser.add_argument("--tls", action="store_true", help="speak HTTPS with a certificate made now")
    arguments = parser.parse_args()
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before the threads start, so that only sigwait sees them
    with StubAgent(arguments.port, tls=arguments.tls) as agent:
        print(agent.base_url, flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
