"""What tornado says of a request once it is over, as phases.

Tornado's own client (`simple_httpclient`) tells only how long the request took without its time in the queue: that
gives `pool`, and the rest stays `other`. On libcurl (`curl_httpclient`) all phases are known. While the request runs
its phase is `other` with both. Of a request that was redirected, only the last try is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from otel_consul import guard
from otel_consul.background.clock import perf_counter
from otel_consul.phases import CURRENT, Clock
from otel_consul.semconv import Phase
from otel_consul.transports.signals import Signals, Switch, Wrap

_current: Final = CURRENT.get
_UNKNOWN_STATUS: Final = "_OTHER"


def _fetch(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    def wrapper(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        clock = _current()
        if clock is None or not (clock.running and switch.on):
            return original(self, request, *args, **kwargs)
        if getattr(request, "original_request", None) is not None:  # tornado follows a redirect by fetching again
            clock.resend(_UNKNOWN_STATUS)
        clock.counts_resends = True
        clock.mark(Phase.OTHER)
        future = original(self, request, *args, **kwargs)
        if hasattr(future, "add_done_callback"):
            future.add_done_callback(lambda done: _fetched(clock, done))
        return future

    return wrapper


def _fetched(clock: Clock, future: Any) -> None:
    try:
        if not clock.running or future.cancelled():
            return
        # not `future.exception()`: asking would silence asyncio's "exception was never retrieved"
        error = getattr(future, "_exception", None)
        response = future.result() if error is None else getattr(error, "response", None)
        if response is not None:
            share_out(clock, response.request_time, response.time_info)
    except Exception:  # noqa: BLE001
        guard.fault("reading tornado's timings")


def share_out(clock: Clock, request_time: float | None, time_info: Mapping[str, float]) -> None:
    """Divide the time since the last mark among the phases that a response just received tells of."""
    now = perf_counter()
    if request_time is None:
        return
    queued = max(0.0, now - request_time - clock.last)
    known: tuple[tuple[int, float], ...] = ((Phase.POOL, queued), *_of_curl(time_info))
    for phase, seconds in known:
        clock.phase = phase
        clock.mark_at(Phase.OTHER, min(now, clock.last + seconds))


def _of_curl(time_info: Mapping[str, float]) -> Iterator[tuple[int, float]]:
    """The moments libcurl tells, in seconds since the transfer began, as the phases they end."""
    since = 0.0
    for moment, phase in _MOMENTS:
        seconds = time_info.get(moment, 0.0)
        if seconds > since:  # 0 is "did not happen"
            yield phase, seconds - since
            since = seconds


_MOMENTS: Final = (
    ("namelookup", Phase.DNS),
    ("connect", Phase.CONNECT),
    ("appconnect", Phase.TLS),
    ("pretransfer", Phase.SEND),
    ("starttransfer", Phase.WAIT),
    ("total", Phase.RECEIVE),
)

SIGNALS: Final = Signals(Wrap("tornado.httpclient", "AsyncHTTPClient.fetch", _fetch))
