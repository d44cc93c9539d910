"""A clock of marks that partitions one call into phases.

At any moment exactly one phase is running. `Clock.mark` ends it and starts the next, so the seconds of all phases add
up to the duration of the call by construction; time nobody claimed is `other`. Retries add to the phases they repeat.

`CURRENT` is the clock of the Consul call that runs here, or None: a transport's signal that finds None belongs to
somebody else's HTTP call and must do nothing.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from otel_consul.background.clock import perf_counter
from otel_consul.redact import encodable
from otel_consul.semconv import PHASES, Phase

_ERRORS: Final = 400
"""The least status that is an error."""


class Clock:
    """Seconds per phase of one call, and what its connection was. Times are `time.perf_counter` seconds."""

    # Class attributes, so that a call that has none of it pays nothing for it.
    waiter: Any = None
    """Who waits for the answer; the number of a thread where that sends the request itself."""
    task: int = 0
    """For transports: the id() of the task that sends the request, once one has begun to."""
    peer: tuple[str, int] | tuple[str] | None = None
    """The address of the last connection really made."""
    reused: bool | None = None
    """Whether that had been used before; None when not known."""
    fresh: bool | None = None
    """Whether the running try has to make its connection; None where the transport does not tell."""
    opened: int = 0
    """Connections opened for this call, where the transport tells."""
    resends: int = 0
    """Requests sent beyond the first: retries and redirects."""
    counts_resends: bool | None = None
    """Whether the transport tells of them though not of its connections."""
    retries: list[tuple[float, int, str]] | None = None
    """For each of them: when, which number, and the error type or status of the try that failed."""
    delay: Any = None
    """What `local_delay` remembers of this call; None where nothing is measured."""
    running: bool = False
    """Between `start` and `stop`. Marks outside change nothing: a copied context may hold a clock long after."""
    why: str | int | None = None
    """How the last try ended: its status or error type, the reason of a resend if there is one."""
    next_phase: int | None = None
    """For transports: the phase that a signal still to come shall enter, or leave."""
    _failed_at: float = 0.0

    def __init__(self) -> None:
        self.started = self.last = 0.0
        self.phase: int = Phase.OTHER
        self.times: list[float] = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]

    def start(self) -> None:
        """Start counting, in `other`."""
        self.started = self.last = perf_counter()
        self.running = True

    def mark(self, phase: int) -> None:
        """Enter `phase` now; the time since the last mark belonged to the phase before."""
        if self.running:
            now = perf_counter()
            self.times[self.phase] += now - self.last
            self.last = now
            self.phase = phase

    def mark_at(self, phase: int, when: float) -> None:
        """Enter `phase` at `when`, a `perf_counter` reading taken since the last mark."""
        if self.running:
            self.times[self.phase] += when - self.last
            self.last = when
            self.phase = phase

    def stop(self) -> float:
        """End the running phase and give the seconds since `start`."""
        self.running = False
        now = perf_counter()
        self.times[self.phase] += now - self.last
        self.last = now
        return now - self.started

    def note_peer(self, peer: Any) -> None:
        """The last connection leads to `peer`: an address as sockets give it, or nothing known."""
        if isinstance(peer, tuple):
            self.peer = peer[:2]
        else:
            self.peer = (encodable(peer),) if isinstance(peer, str) and peer else None

    def failed(self, reason: str) -> None:
        """A try ended now, with an error. The call may end with it, so its phase stays the one the error struck in."""
        self.why = reason
        self._failed_at = perf_counter()

    def next_try(self) -> None:
        """The request is about to be sent, perhaps not for the first time."""
        if self.why is not None:
            # What ran since the last try's end was no part of it: somebody's back-off, unless an answer sent it elsewhere.
            if self._failed_at > self.last:
                self.mark_at(Phase.BACKOFF, self._failed_at)
            elif self.running:
                self.phase = Phase.BACKOFF if type(self.why) is int and self.why >= _ERRORS else Phase.OTHER
            self.resend(str(self.why))

    def resend(self, reason: str) -> None:
        """Note that the request is sent once more, because of `reason` (an error type, or a status code)."""
        if not self.running:
            return
        self.why = None
        self.resends += 1
        if self.retries is None:
            self.retries = []
        self.retries.append((perf_counter(), self.resends, reason))

    @property
    def phase_name(self) -> str:
        """The value of `consul.phase` for the running phase."""
        return PHASES[self.phase]


CURRENT: Final[ContextVar[Clock | None]] = ContextVar("otel_consul_clock", default=None)
"""The clock of the Consul call running in this thread or task."""
