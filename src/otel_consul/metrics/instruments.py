"""The instruments: one synchronous histogram, for its exemplars, and observable ones that read the totals."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation, get_meter_provider

from otel_consul import guard
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
                totals.fold(wait=True)
                return list(read(totals))
            except Exception:  # noqa: BLE001
                guard.fault("a metric's callback")
                return []

        return callback


_known: weakref.WeakKeyDictionary[Any, Instruments] = weakref.WeakKeyDictionary()
_of_global: Final[list[Instruments]] = []
"""Made for the global provider. If that was still to come, they report to the one that came."""


def instruments_of(provider: Any, meter: Meter) -> Instruments:
    """The instruments for `provider`'s `meter`: made once, because a second set on one meter would never be read."""
    known = _known.get(provider)
    if known is None:
        of_global = _of_global if provider is get_meter_provider() else []
        known = _known[provider] = of_global[0] if of_global else Instruments(meter)
        of_global.append(known)
    return known
