"""Programs started for a while: they end with their `with` block, and at the latest with this process."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Process:
    """A running program, its output in a file."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("ab") as out:
            # A session of its own: Ctrl-C is for the one who started us, who then stops it in order.
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        # Should we be killed, nobody stops it in order: then this shell reads the end of the pipe we hold, and
        # kills it. (The kernel's "death signal" would also strike when just the thread that started it ends.)
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", f"read _; kill -9 {self.pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def pause(self) -> None:
        """Stop it where it is: its connections stay open and silent."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """Its exit code, negative for a signal, once it has ended by itself. TimeoutError."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"still running after {seconds} s\n{self.tail()}") from None

    def kill(self) -> None:
        """End it at once, paused or not. Safe to call twice."""
        self._watchdog.kill()  # first: after wait() the number may be another process's
        self._popen.kill()
        self._popen.wait()
        self._watchdog.communicate()

    def tail(self, lines: int = 15) -> str:
        """The last of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def free_ports(count: int) -> list[int]:
    """Ports of loopback free for TCP and UDP just now, below those the kernel gives to clients."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(15000, 32000)
        if port not in ports and _is_free(port):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    try:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
