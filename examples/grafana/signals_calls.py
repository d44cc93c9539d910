"""The signals of *Hung calls and failures*, and of *Releases side by side*. See signals.py."""

from __future__ import annotations

from examples.grafana import promql as q
from examples.grafana.signals import FAILURES, UNHAPPY, Query, Signal
from otel_consul import semconv

BY_OPERATION = f"{{{{{q.OPERATION}}}}}"
BY_RELEASE = f"{{{{{q.RELEASE}}}}}"
STALE_GAUGE = "After a crash, pipelines that push repeat the last value for five minutes."

# --- Hung calls and failures -------------------------------------------------------------------------------------

OPEN_CALLS = Signal(
    title="Open calls, and those stalled",
    what=f"Calls in progress now, and those among them older than the stall threshold. No blocking queries. {STALE_GAUGE}",
    high=(
        "a floor that rises and never falls is a leak: calls are started and never end. A short peak is load, or a "
        "slow Consul."
    ),
    next="*Oldest open call*. `otel_consul.dump_open_calls()` in the process names who waits, with file and line.",
    unit="short",
    queries=(
        Query(q.total(f"{q.ACTIVE}{{{q.CALLS}}}", q.OPERATION), BY_OPERATION),
        Query(q.total(f"{q.STALLED}{{{q.CALLS}}}", q.OPERATION), f"{BY_OPERATION} stalled"),
    ),
)
OLDEST = Signal(
    title="Oldest open call",
    what=f"Age of the oldest open call of each operation. No blocking queries. {STALE_GAUGE}",
    high=(
        "a line that climbs one second per second is one call that hangs. A saw-tooth with a flat top is a time-out "
        "that works."
    ),
    next="*Calls without a deadline*; the trace of the call has a child span `… stalled` with the stack of the caller.",
    unit="s",
    queries=(Query(f"max by ({q.OPERATION}) ({q.OLDEST_AGE}{{{q.CALLS}}})", BY_OPERATION),),
)
FAILED_CALLS = Signal(
    title="Time-outs, errors and cancelled calls",
    what="Calls per second that did not end well, blocking queries included, by operation, outcome and error type.",
    high=(
        "`timeout`: Consul or the network is slower than the deadline. `error`: the type says what (a refused "
        "connection, a 500). `cancelled`: the caller gave up, often a deadline of its own."
    ),
    next="*Where the time goes* for the phase that grew; one failed trace for the event with the time-outs in force.",
    unit="ops",
    queries=(
        Query(
            q.total(
                q.rate(f"{q.DURATION}_count", f'{q.ALL_CALLS},{q.OUTCOME}=~"{UNHAPPY}"'),
                q.OPERATION,
                q.OUTCOME,
                q.ERROR_TYPE,
            ),
            f"{BY_OPERATION} {{{{{q.OUTCOME}}}}} {{{{{q.ERROR_TYPE}}}}}",
        ),
    ),
)
NO_DEADLINE = Signal(
    title="Calls without a deadline",
    what="Calls started per second that nothing would stop if the other side went silent, blocking queries included.",
    high="each of them can hang forever: no harm today, an outage on the day the network drops packets.",
    next="*Releases side by side* for the release that brought them; then set a time-out in the client.",
    unit="ops",
    queries=(
        Query(
            q.total(
                q.rate(q.OPERATIONS, f'{q.ALL_CALLS},{q.DEADLINE}="{semconv.Deadline.NONE}"'),
                q.OPERATION,
            ),
            BY_OPERATION,
        ),
    ),
)
RETRIES = Signal(
    title="Retries and new connections",
    what="What happens below the API call: requests sent again, and connections opened, per second.",
    high=(
        "retries: attempts fail and callers wait through all of them. Connections near the rate of calls: none is "
        "reused, and every call pays for connect and TLS."
    ),
    next="*Time by phase*: `connect` and `tls`. In the code: one client for the process, not one for each call.",
    unit="cps",
    queries=(
        Query(q.total(q.rate(q.RETRIES, q.ALL_CALLS), q.OPERATION), f"retries {BY_OPERATION}"),
        Query(
            q.total(q.rate(q.CONNECTIONS_OPENED, q.RESOURCE), q.SERVER_ADDRESS, q.SERVER_PORT),
            f"connections to {{{{{q.SERVER_ADDRESS}}}}}:{{{{{q.SERVER_PORT}}}}}",
        ),
    ),
)
BLOCKING = Signal(
    title="Blocking queries: open, and late",
    what=(
        "Blocking queries wait on purpose, so they have their own panel. *Open* (left): one per watch is right. *Late* "
        "(right): seconds per second beyond the longest hold Consul allows itself; zero is right."
    ),
    high="open: watches pile up, or one is started twice. Late: changes reach this process late, or never.",
    next="*Local delay* (a late wake-up is often ours); then the network between this process and its agent.",
    unit="short",
    queries=(
        Query(q.total(f"{q.ACTIVE}{{{q.WATCHES}}}", q.OPERATION), f"{BY_OPERATION} open"),
        Query(q.total(q.rate(q.LATE_TIME, q.ALL_CALLS), q.OPERATION), f"{BY_OPERATION} late", unit="s"),
    ),
)
STALE_READS = Signal(
    title="Stale and leaderless reads",
    what=(
        "*Contact* (left): the longest time since the answering server had heard from the leader. *Leaderless* "
        "(right): reads per second answered by a server that knew no leader."
    ),
    high="answers are old: Consul's servers have lost each other. Reads still succeed, with yesterday's truth.",
    next="Consul's own servers (`consul operator raft list-peers`). Nothing in this process can mend it.",
    unit="s",
    queries=(
        Query(f"max by ({q.OPERATION}) ({q.MAX_LAST_CONTACT}{{{q.ALL_CALLS}}})", f"{BY_OPERATION} contact"),
        Query(q.total(q.rate(q.LEADERLESS_READS, q.ALL_CALLS), q.OPERATION), f"{BY_OPERATION} leaderless", unit="cps"),
    ),
)

# --- Releases side by side ---------------------------------------------------------------------------------------


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
        ),
        Query(
            _share(q.OPERATIONS, q.ALL_CALLS, f'{q.DEADLINE}="{semconv.Deadline.NONE}"'),
            "No deadline",
            unit="percentunit",
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
