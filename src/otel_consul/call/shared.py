"""What all calls that one `instrument()` observes work with. A call knows this, and not the recorder that makes it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation
from opentelemetry.trace import Tracer

from otel_consul.background import forks
from otel_consul.background.thread import LINGER, Background
from otel_consul.deadlines.missing import MissingDeadlines
from otel_consul.in_flight.dropped import Dropped
from otel_consul.in_flight.registry import Registry
from otel_consul.local_delay import LocalDelay
from otel_consul.metrics.instruments import Instruments
from otel_consul.metrics.totals import Totals
from otel_consul.settings import Settings


class Shared:
    """Settings, instruments, registry and thread. Lives from `instrument` to `uninstrument`."""

    def __init__(self, settings: Settings, tracer: Tracer, instruments: Instruments, *, old_names: bool) -> None:
        self.settings = settings
        self.tracer = tracer
        self.start_span = tracer.start_span
        self.old_names = old_names
        """Whether spans carry the names of the older HTTP conventions as well."""
        self.duration = instruments.duration
        self.registry = Registry()
        self.totals = Totals(self.registry.snapshot, settings.stall_threshold)
        self.begun = self.totals.begun.append
        self.finished = self.totals.finished.append
        self.suppressing = tuple(_keys_set_by(suppress_instrumentation))
        """The context keys under which nothing is to be observed."""
        self.suppress_http_keys = _keys_set_by(suppress_http_instrumentation) if settings.suppress_http else {}
        self.background = Background(min(LINGER, settings.stall_threshold or LINGER))
        self.dropped = Dropped(self.background)
        self.on_first_span: Callable[[], None] | None = None
        """Called when the first span that records has started: the program has made its tracer provider by then."""
        self.local_delay = LocalDelay(self.background) if settings.local_delay else None
        self.missing_deadlines = MissingDeadlines()
        forks.follow(self)

    def forked(self) -> None:
        """In a child process: the open calls are the parent's, nobody here will ever end them."""
        self.registry.clear()
        self.dropped.clear()
        self.totals.reset()

    def stop(self) -> None:
        """Measure no more, and end the thread."""
        if self.local_delay is not None:
            self.local_delay.stop()
        self.background.stop()


ENDED: Final[Any] = SimpleNamespace(registry=Registry())
"""What a call that has ended shares: it is in no registry, so nobody ends it again, and it keeps nothing alive."""


def _keys_set_by(suppress: Callable[[], Any]) -> dict[str, Any]:
    """The context keys a suppressing context manager sets; they have no public names."""
    before = get_current()
    with suppress():
        return {key: value for key, value in get_current().items() if key not in before}
