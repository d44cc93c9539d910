"""The signals of *Hung calls and failures*. See signals.py."""

from __future__ import annotations

from examples.grafana import promql as q
from examples.grafana.signals import UNHAPPY, Query, Signal
from otel_consul import semconv

BY_OPERATION = f"{{{{{q.OPERATION}}}}}"
STALE_GAUGE = "After a crash, pipelines that push repeat the last value for five minutes."

OPEN_CALLS = Signal(
    title="Open calls, and those stalled",
    what=(
        "Calls in progress now, and those among them older than the stall threshold, by what the kernel knows of their "
        "connections. *unacknowledged*: the other side's kernel has not acknowledged the request. *acknowledged*: it has the "
        "whole request, and its program says nothing. *closed_by_peer*: it has hung up, and nobody here has noticed. "
        f"*unknown*: it cannot be asked, or no answer is waited for. No blocking queries. {STALE_GAUGE}"
    ),
    high=(
        "a floor that rises and never falls is a leak: calls are started and never end. Stalled and `unacknowledged`: the "
        "network, or a host that is gone. `acknowledged`: Consul. `closed_by_peer`: a busy loop or thread here."
    ),
    next="*Oldest open call*. `otel_consul.dump_open_calls()` in the process names who waits, with file and line.",
    unit="short",
    queries=(
        Query(q.total(q.latest(q.ACTIVE, q.CALLS), q.OPERATION), BY_OPERATION),
        Query(
            q.total(q.latest(q.STALLED, q.CALLS), q.OPERATION, q.NETWORK_STATE),
            f"{BY_OPERATION} {{{{{q.NETWORK_STATE}}}}} stalled",
        ),
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
    queries=(Query(f"max by ({q.OPERATION}) ({q.latest(q.OLDEST_AGE, q.CALLS)})", BY_OPERATION),),
)
NETWORK = Signal(
    title="What the network lost",
    what=(
        "*Sent again* (left): segments per second that had to be sent again while calls waited. *Lost* (right): seconds "
        "per second of the calls' wait that surely were the network's. By the kernel's account; Linux only."
    ),
    high="packets to the agent are dropped, or it is far away. Consul is innocent of this part.",
    next="the way to that agent: firewalls, connection tracking, overloaded links; `ss -ti` on this host.",
    unit="cps",
    queries=(
        Query(
            q.total(q.rate(q.RETRANSMISSIONS, q.RESOURCE), q.SERVER_ADDRESS, q.SERVER_PORT),
            f"sent again to {{{{{q.SERVER_ADDRESS}}}}}:{{{{{q.SERVER_PORT}}}}}",
        ),
        Query(q.total(q.rate(q.NETWORK_DELAY_TIME, q.ALL_CALLS), q.OPERATION), f"{BY_OPERATION} lost", unit="s"),
    ),
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
    title="Retries, new connections and clients",
    what=(
        "What happens below the API call, per second: requests sent again, connections opened, and client objects that "
        "made their first call."
    ),
    high=(
        "retries: attempts fail and callers wait through all of them. Connections near the rate of calls: none is "
        "reused, and every call pays for connect and TLS. Clients near it: one is made for each call, and an agent "
        "refuses a client's 201st connection."
    ),
    next="*Time by phase*: `connect` and `tls`. In the code: one client for the process; the log names who makes them.",
    unit="cps",
    queries=(
        Query(q.total(q.rate(q.RETRIES, q.ALL_CALLS), q.OPERATION), f"retries {BY_OPERATION}"),
        Query(
            q.total(q.rate(q.CONNECTIONS_OPENED, q.RESOURCE), q.SERVER_ADDRESS, q.SERVER_PORT),
            f"connections to {{{{{q.SERVER_ADDRESS}}}}}:{{{{{q.SERVER_PORT}}}}}",
        ),
        Query(
            q.total(q.rate(q.INSTANCES_CREATED, q.RESOURCE), q.SERVER_ADDRESS, q.SERVER_PORT),
            f"clients of {{{{{q.SERVER_ADDRESS}}}}}:{{{{{q.SERVER_PORT}}}}}",
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
        Query(q.total(q.latest(q.ACTIVE, q.WATCHES), q.OPERATION), f"{BY_OPERATION} open"),
        Query(
            # Of the operations that have watches: the others are zero for ever.
            f"{q.total(q.rate(q.LATE_TIME, q.ALL_CALLS), q.OPERATION)}"
            f" and on ({q.OPERATION}) {q.latest(q.ACTIVE, q.WATCHES)}",
            f"{BY_OPERATION} late",
            unit="s",
        ),
        Query(q.total(q.latest(q.STALLED, q.WATCHES), q.OPERATION), f"{BY_OPERATION} stalled"),
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
