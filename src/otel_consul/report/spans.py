"""Reading what a report needs off one span, whoever delivered it and whatever hooks did to its attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from otel_consul import semconv
from otel_consul.semconv import Phase

# In the order of `latency.PARTS`.
_ATTRIBUTES: Final = semconv.PHASE_ATTRIBUTES + semconv.LOCAL_DELAY_ATTRIBUTES


def number(value: Any) -> float:
    """`value` if it is a number of seconds, else 0."""
    if isinstance(value, (int, float)) and math.isfinite(value) and value > 0:
        return float(value)
    return 0.0


def parts(attributes: Mapping[str, Any], seconds: float) -> list[float]:
    """Seconds of each of `latency.PARTS`. What no phase claims is `other`; no part is longer than the call."""
    found = [min(number(attributes[name]), seconds) if name in attributes else 0.0 for name in _ATTRIBUTES]
    claimed = sum(found[: len(semconv.PHASES)])
    if claimed < seconds:
        found[Phase.OTHER] += seconds - claimed
    elif claimed:  # two clocks never agree to the last digit
        for index in range(len(semconv.PHASES)):
            found[index] *= seconds / claimed
    return found + _waited_for(attributes, found[Phase.WAIT])


def _waited_for(attributes: Mapping[str, Any], wait: float) -> list[float]:
    """Seconds of the wait that were the network's, and Consul's: none where the connection could not be asked."""
    network = min(number(attributes.get(semconv.NETWORK_DELAY)), wait)
    return [network, wait - network if semconv.NETWORK_RTT in attributes else 0.0]


def late_parts(attributes: Mapping[str, Any], seconds: float, late: float) -> list[float]:
    """Seconds of each of `latency.PARTS` within the lateness of a blocking query.

    Consul holds it in `wait`, so the time of any other phase came on top of the hold, and the rest of the lateness is
    `wait`. When in the call this process lost time is not known: at the most, all of it made the call late.
    """
    if not late:
        return []
    found = parts(attributes, seconds)
    phases = len(semconv.PHASES)
    beside = sum(found[:phases]) - found[Phase.WAIT]
    scale = min(1.0, late / beside) if beside else 0.0
    phase_parts = [part * scale for part in found[:phases]]
    phase_parts[Phase.WAIT] = max(0.0, late - beside)
    local = [min(part, late) for part in found[phases : phases + len(semconv.LOCAL_DELAYS)]]
    return phase_parts + local + _waited_for(attributes, phase_parts[Phase.WAIT])


def site(attributes: Mapping[str, Any]) -> str | None:
    """Where the call was made, as far as the span of a stalled call says: `fetch (shop.py:42)`."""
    path, line = attributes.get(semconv.CODE_FILE_PATH), attributes.get(semconv.CODE_LINE_NUMBER)
    name = attributes.get(semconv.CODE_FUNCTION_NAME)
    if not isinstance(path, str) or not isinstance(name, str):
        return None
    file = path.rpartition("/")[2]
    return f"{name.rpartition('.')[2]} ({file}:{line})" if line else f"{name} ({file})"
