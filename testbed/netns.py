"""Two machines and the network between them, on one: network namespaces with a pair of devices. Linux, root, iproute2.

What goes through is dropped for real (iptables), slowed (`tc tbf`) or delayed (a forwarder between two TUN devices).
"""

from __future__ import annotations

import fcntl
import heapq
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

CLIENT, SERVER = "10.77.0.1", "10.77.0.2"
"""Addresses of the two, which nobody else can reach."""
_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
_MTU = 1500


class CannotSeparateError(RuntimeError):
    """No namespaces can be made here."""


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Link:
    """Two namespaces that see each other. `client` and `server` are their names."""

    def __init__(self, client: str, server: str) -> None:
        self.client = client
        self.server = server

    def command(self, side: str, *command: str) -> list[str]:
        """`command`, to be run on that side."""
        return ["ip", "netns", "exec", side, *command]

    def slow(self, kilobytes: int) -> None:
        """From now on the server sends so much a second, at most."""
        rate = ("rate", f"{kilobytes * 8}kbit", "burst", "128kb", "latency", "2s")
        _run("tc", "-n", self.server, "qdisc", "replace", "dev", "way0", "root", "tbf", *rate)

    def fast(self) -> None:
        """Undo `slow`."""
        _run("tc", "-n", self.server, "qdisc", "del", "dev", "way0", "root")


@contextmanager
def link(round_trip: float = 0.0) -> Iterator[Link]:
    """The two, connected; with a round trip of so many seconds, if given. CannotSeparateError with the reason."""
    for tool in ("ip", "tc", "iptables"):
        if shutil.which(tool) is None:
            raise CannotSeparateError(f"`{tool}` is missing: install iproute2 and iptables")
    name = uuid.uuid4().hex[:6]
    found = Link(f"otc-{name}-a", f"otc-{name}-b")
    with ExitStack() as stack:
        try:
            for side in (found.client, found.server):
                _run("ip", "netns", "add", side)
                stack.callback(_run, "ip", "netns", "del", side)
            if round_trip:
                _tunnel(found, round_trip, stack)
            else:
                _run("ip", "link", "add", "name", "way0", "netns", found.client, "type", "veth",
                     "peer", "name", "way0", "netns", found.server)  # fmt: skip
            for side, address in ((found.client, CLIENT), (found.server, SERVER)):
                _run("ip", "-n", side, "addr", "add", f"{address}/24", "dev", "way0")
                _run("ip", "-n", side, "link", "set", "way0", "up")
                _run("ip", "-n", side, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"") or b""
            raise CannotSeparateError(f"no network namespace here: {said.decode().strip() or error}") from error
        yield found


def cannot() -> str:
    """Why none can be made here; empty if they can."""
    try:
        with link():
            return ""
    except CannotSeparateError as error:
        return str(error)


# --- a long way ---------------------------------------------------------------------------------------------------------


def _tunnel(found: Link, round_trip: float, stack: ExitStack) -> None:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for side, end in zip((found.client, found.server), ends, strict=True):
        options = [sys.executable, "-m", "testbed.netns", str(end.fileno()), str(round_trip / 2)]
        process = subprocess.Popen(
            found.command(side, *options), pass_fds=[end.fileno()], stdout=subprocess.PIPE, text=True
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise OSError("no TUN device can be made")
        end.close()


def _forward(options: Sequence[str]) -> None:
    """One end of the tunnel: what leaves here arrives at the other end `delay` seconds later."""
    peer, delay = socket.socket(fileno=int(options[0])), float(options[1])
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"way0", _TUN_WITHOUT_HEADER))
    print("ready", flush=True)
    waiting: list[tuple[float, int, bytes]] = []
    number = 0
    while True:
        patience = None if not waiting else max(0.0, waiting[0][0] - time.monotonic())
        both: list[Any] = [tun, peer]
        ready = select.select(both, [], [], patience)[0]
        if tun in ready:
            number += 1
            with suppress(OSError):  # before the device is up
                heapq.heappush(waiting, (time.monotonic() + delay, number, os.read(tun, _MTU + 100)))
        if peer in ready:
            packet = peer.recv(_MTU + 100)
            if not packet:
                return
            with suppress(OSError):
                os.write(tun, packet)
        while waiting and waiting[0][0] <= time.monotonic():
            peer.send(heapq.heappop(waiting)[2])


if __name__ == "__main__":
    _forward(sys.argv[1:])
