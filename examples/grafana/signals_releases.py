"""The signals of *Releases side by side*. See signals.py."""

from __future__ import annotations

from examples.grafana import promql as q
from examples.grafana.signals import FAILED_LIMITS, FAILURES, Query, Signal
from otel_consul import semconv

BY_RELEASE = f"{{{{{q.RELEASE}}}}}"


def _rate(metric: str, selector: str, window: str) -> str:
    return q.rate(metric, f"{selector},{{RELEASE}}", window)


def _share(metric: str, selector: str, part: str) -> str:
    some = q.by_release(_rate(metric, f"{selector},{part}", q.RANGE), window=q.RANGE)
    every = q.by_release(_rate(metric, selector, q.RANGE), window=q.RANGE)
    return f"({some} or 0 * {every}) / {every}"


def _p99(window: str, info: str) -> str:
    return q.quantile(0.99, q.by_release(_rate(f"{q.DURATION}_bucket", q.CALLS, window), "le", window=info))


RELEASES = Signal(
    title="Releases side by side",
    what=(
        "Every release seen in the time range, by `service.version`: choose a range that has the old one and the new "
        "one. Open calls: the peak of one process and operation. Blocking queries count in *No deadline* and *Failed* only."
    ),
    high="the newer release is worse in that column: it brought the slowness, the failures or the missing deadline.",
    next="the column's own panel, here or in *Hung calls and failures*; then one trace of each release.",
    unit="s",
    queries=(
        Query(_p99(q.RANGE, q.RANGE), "P99"),
        Query(
            q.by_release(
                f"max_over_time({q.ACTIVE}{{{q.CALLS},{{RELEASE}}}}[{q.RANGE}])", aggregate="max", window=q.RANGE
            ),
            "Open calls, peak",
            unit="short",
        ),
        Query(
            _share(f"{q.DURATION}_count", q.ALL_CALLS, f'{q.OUTCOME}=~"{FAILURES}"'),
            "Failed",
            unit="percentunit",
            limits=FAILED_LIMITS,
        ),
        Query(
            _share(q.OPERATIONS, q.ALL_CALLS, f'{q.DEADLINE}="{semconv.Deadline.NONE}"'),
            "No deadline",
            unit="percentunit",
            limits=(1e-9, 1.0),  # one such call is one too many, but it does no harm yet
        ),
        Query(q.by_release(_rate(q.OPERATIONS, q.CALLS, q.RANGE), window=q.RANGE), "Calls", unit="ops"),
    ),
)
P99_BY_RELEASE = Signal(
    title="P99 by release",
    what="99 of 100 calls were faster than this. No blocking queries. Dots are exemplars: each opens a trace.",
    high="with the newer release only: a regression. With both at once: the cause is outside, see *Where the time goes*.",
    next="*Where the time goes* for the phase; *CPU*, *Memory* and *Threads* below for what else the release changed.",
    unit="s",
    queries=(Query(_p99(q.INTERVAL, ""), BY_RELEASE, exemplar=True),),
)
CPU = Signal(
    title="CPU of one process",
    what="Mean CPU seconds per second of a process of each release; 1 is one core, all one Python process can use.",
    high="near 1 with threads or an event loop, calls wait for the GIL however fast Consul is.",
    next="*Local delay* by cause `gil` and `event_loop` in *Where the time goes*; then a profiler.",
    unit="percentunit",
    queries=(
        Query(
            q.by_release(
                f"sum without (type) ({_rate(q.CPU_TIME, q.RESOURCE, q.INTERVAL)})",
                aggregate="avg",
            ),
            BY_RELEASE,
        ),
    ),
)
MEMORY = Signal(
    title="Memory of one process",
    what="Mean resident memory of a process of each release.",
    high="a slope that never ends with the newer release only is a leak; open calls keep their answers and stacks alive.",
    next="*Open calls, and those stalled*; then `tracemalloc`.",
    unit="bytes",
    queries=(Query(q.by_release(f"{q.MEMORY}{{{q.RESOURCE},{{RELEASE}}}}", aggregate="avg"), BY_RELEASE),),
)
THREADS = Signal(
    title="Threads, and garbage collections",
    what="Threads of a process (left), and its garbage collections per second (right), means of each release.",
    high="threads: calls that hang hold their threads. Collections: the process allocates much, and every one stops it.",
    next="*Oldest open call* for threads; *Local delay* by cause `gc` for what collections cost calls.",
    unit="short",
    queries=(
        Query(
            q.by_release(f"{q.THREADS}{{{q.RESOURCE},{{RELEASE}}}}", aggregate="avg"),
            f"{BY_RELEASE} threads",
        ),
        Query(
            q.by_release(
                f"sum without (generation, cpython_gc_generation) ({_rate(q.COLLECTIONS, q.RESOURCE, q.INTERVAL)})",
                aggregate="avg",
            ),
            f"{BY_RELEASE} collections",
            unit="cps",
        ),
    ),
)
SLOW_TRACES = Signal(
    title="Slow calls (traces)",
    what="Calls of over 100 ms from Tempo, no blocking queries, with release and outcome. Click one to open its trace.",
    high="many of one release: compare one with a fast call of the other release, phase by phase.",
    next="in the trace: `consul.phase.*` says where the time went, `consul.local_delay.*` how much of it was ours.",
    unit="s",
    queries=(
        Query(
            '{ resource.service.name =~ "$service" && span.consul.operation =~ "$operation"'
            " && span.consul.blocking = nil && span:duration > 100ms }"
            " | select(span.consul.operation, span.consul.outcome, span.consul.phase.wait, resource.service.version)",
            "traces",
        ),
    ),
)
