"""Ports that misbehave before any HTTP."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def backlog_full_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port on which connect() gets no answer at all: its listener never accepts and its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        # Linux admits backlog + 1 and then drops SYNs; a few more fill it for certain and stay half open themselves.
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield port


def refused_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on, so that connect() is refused at once. Another process might take it later."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port
