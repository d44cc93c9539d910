"""The instruments: one synchronous histogram, for its exemplars, and observable ones that read the totals."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from otel_consul import guard
from otel_consul.background import forks
from otel_consul.metrics import definitions
from otel_consul.metrics.totals import Totals


class Instruments:
    """The instruments of one meter. They outlive `uninstrument` (no meter can forget one); then they report nothing."""

    def __init__(self, meter: Meter) -> None:
        self.totals: Totals | None = None
        for metric in definitions.METRICS:
            if metric.read is not None:
                create = getattr(meter, f"create_{metric.instrument}")
                callbacks = [self._callback(metric.read)]
                create(metric.name, callbacks=callbacks, unit=metric.unit, description=metric.description)
        self.duration: Histogram = meter.create_histogram(
            definitions.DURATION.name,
            unit=definitions.DURATION.unit,
            description=definitions.DURATION.description,
            explicit_bucket_boundaries_advisory=definitions.DURATION_BOUNDARIES,
        )

    def _callback(
        self, read: Callable[[Totals], Iterator[Observation]]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def callback(_: CallbackOptions) -> Iterable[Observation]:
            totals = self.totals
            if totals is None:
                return []
            try:
                forks.notice()
                totals.fold(wait=True)
                return list(read(totals))
            except Exception:  # noqa: BLE001
                guard.fault("a metric's callback")
                return []

        return callback


_known: Final[list[tuple[Callable[[], Any], Instruments]]] = []
"""By provider, which may be gone. Found by identity: a provider may be unhashable, or equal to another."""
_of_global: Final[list[Instruments]] = []
"""Made for the global provider. If that was still to come, they report to the one that came."""


def instruments_of(provider: Any, meter: Callable[[], Meter], *, of_global: bool) -> Instruments:
    """The instruments for `provider`, whose meter `meter` gives: made once, because a second set on one meter would never be read."""
    _known[:] = [(reference, known) for reference, known in _known if reference() is not None]
    for reference, known in _known:
        if reference() is provider:
            return known
    made = _of_global[0] if of_global and _of_global else Instruments(meter())
    if of_global and not _of_global:
        _of_global.append(made)
    _known.append((_weakly(provider), made))
    return made


def _weakly(provider: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(provider)
    except TypeError:  # its class has slots, and none for that
        return lambda: provider
