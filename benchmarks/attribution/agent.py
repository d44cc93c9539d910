"""The stand-in agent in a process of its own, so that nothing here disturbs it: `python -m benchmarks.attribution.agent`."""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import threading
import time

from testbed.stub_agent import StubAgent

_MEGABYTES = 20
_KEYS = 20_000


def main() -> None:
    """Print the port (and the file with the certificate), then serve until the standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls-delay", type=float)
    parser.add_argument("--backlog", action="store_true", help="connections are taken only once the queue was full")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    with StubAgent(
        host=options.host, tls=options.tls_delay is not None, delay_handshake=options.tls_delay or 0.0
    ) as agent:
        for key in ("a", "b", "held"):
            agent.put(key, key)
        if not options.backlog and options.tls_delay is None:
            agent.fill("big/", _MEGABYTES, _KEYS)
        if options.host != "127.0.0.1":
            _obey(agent)
        elif not options.backlog:
            print(agent.port, agent.ca_file or "", flush=True)
            sys.stdin.read()
        else:
            _behind_full_backlog(agent.port)


def _obey(agent: StubAgent) -> None:
    """Where nobody can reach the agent's own control: a fault for each line of JSON on the standard input, or none."""
    print(agent.port, agent.ca_file or "", flush=True)
    agent.put("large", "x" * 500_000)
    for line in sys.stdin:
        agent.heal()
        if line.strip() != "null":
            agent.fault(**json.loads(line))
        print("done", flush=True)


def _behind_full_backlog(target: int) -> None:
    """Forward to `target`; for each line on the standard input, first let the queue be full for half a second."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    listener.settimeout(0.01)
    address = listener.getsockname()
    print(address[1], flush=True)
    fillers: list[socket.socket] = []
    accepting = threading.Event()

    def take() -> None:
        while True:
            accepting.wait()
            with contextlib.suppress(TimeoutError):
                client, peer = listener.accept()
                if any(filler.getsockname() == peer for filler in fillers):
                    client.close()
                else:
                    threading.Thread(target=_forward, args=(client, target), daemon=True).start()

    threading.Thread(target=take, daemon=True).start()
    for line in sys.stdin:
        if line.strip() == "full":
            accepting.clear()
            time.sleep(0.05)
            fillers.clear()
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(address)
                fillers.append(filler)
            threading.Timer(0.5, accepting.set).start()
        else:
            accepting.set()
        print("done", flush=True)


def _forward(client: socket.socket, target: int) -> None:
    server = socket.create_connection(("127.0.0.1", target))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            source.close()
            sink.close()

    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)


if __name__ == "__main__":
    main()
