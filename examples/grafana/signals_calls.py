"""The signals of *Hung calls and failures*. See signals.py."""

from __future__ import annotations

from examples.grafana import promql as q
from examples.grafana.signals import UNHAPPY, Query, Signal
from otel_consul import semconv

BY_OPERATION = f"{{{{{q.OPERATION}}}}}"
STALE_GAUGE = "After a crash, pipelines that push repeat the last value for five minutes."

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
        "`timeout` (orange): Consul or the network is slower than the deadline. `error` (red): the type says what (a "
        "refused connection, a 500). `cancelled` (blue): the caller gave up, often a deadline of its own."
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
    title="Blocking queries: open, stalled, late",
    what=(
        "Blocking queries wait on purpose, so they have their own panel. *Open* (left): one per watch is right. "
        "*Stalled* (left): still open past the longest hold Consul allows itself and the stall threshold. *Late* "
        "(right): seconds per second that those which ended took beyond that hold. Zero is right for both."
    ),
    high=(
        "open: watches pile up, or one is started twice. Stalled: a watch is deaf, no change reaches it any more. Late: "
        "changes reach this process late."
    ),
    next=(
        "late: *Local delay* (a late wake-up is often ours), then the network to the agent. Stalled: "
        "`otel_consul.dump_open_calls()`, and whether the agent answers."
    ),
    unit="short",
    queries=(
        Query(q.total(f"{q.ACTIVE}{{{q.WATCHES}}}", q.OPERATION), f"{BY_OPERATION} open"),
        Query(
            # Of the operations that have watches: the others are zero for ever.
            f"{q.total(q.rate(q.LATE_TIME, q.ALL_CALLS), q.OPERATION)}"
            f" and on ({q.OPERATION}) {q.ACTIVE}{{{q.WATCHES}}}",
            f"{BY_OPERATION} late",
            unit="s",
        ),
        Query(q.total(f"{q.STALLED}{{{q.WATCHES}}}", q.OPERATION), f"{BY_OPERATION} stalled"),
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
