"""What can go wrong with one answer, as data, and which requests it happens to."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbed.stub_agent.messages import Request

Stop = Literal["hang", "close", "reset"]
StopAfter = Literal["nothing", "headers", "half"]
DripPart = Literal["body", "headers", "all"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way an answer goes wrong. Fields combine; times are seconds, `last_contact` is milliseconds as in Consul.

    The request itself is carried out first (a write whose answer is lost was still written), except when the answer
    is replaced by `status` or `redirect`: then it is not carried out.

    `path` is a glob on the decoded path (`/v1/kv/slow`, `/v1/health/*`; `*` crosses slashes).
    `stop` says how an answer is broken off, `stop_after` where: before any byte, after the head, or half way
    through the body. `hang` keeps the connection open and silent until the client goes, the fault is released, or
    the agent stops; `close` sends FIN; `reset` sends RST.
    """

    path: str = "*"
    method: str | None = None
    where: Callable[[Request], bool] | None = None
    times: int | None = None
    """How many requests it happens to; None: all."""

    delay: float = 0.0
    """Before the first byte of the answer."""
    drip_bytes: int = 0
    """Bytes written at a time; 0: all at once."""
    drip_every: float = 0.05
    drip: DripPart = "body"
    stop: Stop | None = None
    stop_after: StopAfter = "nothing"
    hang_up: bool = False
    """Answer in full, then close the connection without having announced it: the next request on it fails."""

    status: int | None = None
    body: bytes | None = None
    """Instead of the real body; the headers stay (with `status` or `redirect`: there are no others)."""
    redirect: str | None = None
    """Answer 302 (or `status`) with this Location."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Added to the answer, or instead of its own."""
    drop_headers: tuple[str, ...] = ()
    known_leader: bool | None = None
    last_contact: int | None = None
    chunked: bool = False
    """Send the body with `Transfer-Encoding: chunked` in place of a length."""

    def matches(self, request: Request) -> bool:
        if self.method is not None and self.method != request.method:
            return False
        return fnmatchcase(request.path, self.path) and (self.where is None or self.where(request))

    @property
    def replaces_answer(self) -> bool:
        return self.status is not None or self.redirect is not None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fault:
        """A fault from the control endpoint's JSON: the same names, `body` as text. ValueError on an unknown name."""
        known = {f.name for f in fields(cls)} - {"where"}
        if unknown := set(value) - known:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; allowed: {', '.join(sorted(known))}")
        arguments = dict(value)
        if isinstance(arguments.get("body"), str):
            arguments["body"] = arguments["body"].encode()
        if "drop_headers" in arguments:
            arguments["drop_headers"] = tuple(arguments["drop_headers"])
        return cls(**arguments)


class Gate:
    """Something threads can poll for together with a socket; opened once, for good."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._lock = threading.Lock()
        self.is_open = False

    def fileno(self) -> int:
        return self._read

    def open(self) -> None:
        with self._lock:
            if not self.is_open:
                self.is_open = True
                os.close(self._write)  # every poller of the other end sees POLLHUP

    def __del__(self) -> None:
        self.open()
        os.close(self._read)


class Injected:
    """A fault in force: how often it struck, and the handle to end it."""

    def __init__(self, fault: Fault, number: int) -> None:
        self.fault = fault
        self.number = number
        self.gate = Gate()
        self._hits = 0
        self._changed = threading.Condition()

    @property
    def hits(self) -> int:
        """Requests it happened to."""
        return self._hits

    def take(self, request: Request) -> bool:
        """True, and one hit more, if it happens to this request."""
        if self.gate.is_open or not self.fault.matches(request):
            return False
        with self._changed:
            if self.fault.times is not None and self._hits >= self.fault.times:
                return False
            self._hits += 1
            self._changed.notify_all()
            return True

    def wait(self, hits: int = 1, timeout: float = 5.0) -> None:
        """Return once it happened `hits` times; TimeoutError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._hits >= hits, timeout):
                raise TimeoutError(f"{self.fault} struck {self._hits} of {hits} times in {timeout} s")

    def release(self) -> None:
        """End it: strikes no more, and answers that hang or wait because of it go on at once, whole."""
        self.gate.open()


class Faults:
    """The faults in force, asked in the order they were made: two with `times=1` happen one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Injected] = []
        self._made = 0

    def add(self, fault: Fault) -> Injected:
        with self._lock:
            self._made += 1
            injected = Injected(fault, self._made)
            self._all.append(injected)
            return injected

    def take(self, request: Request) -> Injected | None:
        """The fault that happens to this request, if any."""
        return next((i for i in self.all() if i.take(request)), None)

    def all(self) -> list[Injected]:
        with self._lock:
            return list(self._all)

    def release(self, number: int | None = None) -> int:
        """End one fault, or all; how many were ended."""
        with self._lock:
            ended = [i for i in self._all if number is None or i.number == number]
            self._all = [i for i in self._all if i not in ended]
        for injected in ended:
            injected.release()
        return len(ended)
