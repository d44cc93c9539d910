"""What the dashboards ask: each query, its unit and what a high value means, stated once. Panels only draw it."""

from __future__ import annotations

from dataclasses import dataclass

from examples.grafana import promql as q
from otel_consul import semconv

CONSUL_PHASES = (semconv.Phase.WAIT,)
NETWORK_PHASES = (
    semconv.Phase.DNS,
    semconv.Phase.CONNECT,
    semconv.Phase.TLS,
    semconv.Phase.SEND,
    semconv.Phase.RECEIVE,
)
OWN_PHASES = (semconv.Phase.POOL, semconv.Phase.DECODE, semconv.Phase.BACKOFF, semconv.Phase.OTHER)

FAILURES = "|".join(semconv.Outcome.FAILURES)
UNHAPPY = f"{FAILURES}|{semconv.Outcome.CANCELLED}"

HUNG_SECONDS = 60.0
"""From this age on a call that should be quick surely hangs; rules.yaml says the same."""
SLOW_SECONDS = 1.0
"""A P99 that rules.yaml alerts on."""
FAILED_LIMITS = (0.01, 0.05)
"""Shares of failed calls; rules.yaml alerts on the second."""
ZOOM = "Drag over the bad minutes in *Time by phase*: this panel follows the time range."

UNUSED_ON_PURPOSE: dict[str, str] = {
    "consul.client.instances": "How many clients there are says little; how many are made does, and is shown.",
}
"""Metrics that no panel shows, each with the reason. A metric in neither place fails a test."""


@dataclass(frozen=True)
class Query:
    """One target. `name` is the legend, or the column of a table."""

    expr: str
    name: str
    unit: str = ""
    """Its own unit, where it differs from the signal's."""
    exemplar: bool = False
    limits: tuple[float, float] | None = None
    """Yellow from the first, red from the second, where a number means something by itself."""


@dataclass(frozen=True)
class Signal:
    """What one panel shows. `high`: what a high value means; `next`: where to look then."""

    title: str
    what: str
    high: str
    next: str
    unit: str
    queries: tuple[Query, ...]

    @property
    def description(self) -> str:
        """The panel's help text."""
        return f"{self.what}\n\n**When it is high:** {self.high}\n\n**Look next:** {self.next}"


def phase_time(phases: tuple[int, ...]) -> str:
    """Seconds per second spent in some phases, by operation."""
    names = "|".join(semconv.PHASES[phase] for phase in phases)
    return q.total(q.rate(q.PHASE_TIME, f'{q.CALLS},{q.PHASE}=~"{names}"'), q.OPERATION)


def _culprits() -> tuple[Query, ...]:
    """Shares of the calls' time. What was lost here or by the network is taken out of the wait."""
    spent = q.total(q.rate(q.PHASE_TIME, q.CALLS), q.OPERATION)
    wait = q.or_zero(phase_time(CONSUL_PHASES), spent)
    own = q.or_zero(phase_time(OWN_PHASES), spent)
    delay = q.total(q.rate(q.LOCAL_DELAY_TIME, q.ALL_CALLS), q.OPERATION)
    hidden = q.or_zero(f"clamp_min({delay} - {own}, 0)", spent)
    lost = q.or_zero(q.total(q.rate(q.NETWORK_DELAY_TIME, q.CALLS), q.OPERATION), spent)
    consul = f"sum(clamp_min({wait} - {hidden} - {lost}, 0)) / sum({spent})"
    network = f"sum({q.or_zero(phase_time(NETWORK_PHASES), spent)} + {lost}) / sum({spent})"
    return (
        Query(consul, "Consul"),
        Query(network, "Network"),
        Query(f"1 - {consul} - {network}", "This process"),
    )


def _failed_share(selector: str, window: str, *by: str) -> str:
    count = f"{q.DURATION}_count"
    failed = q.total(q.rate(count, f'{selector},{q.OUTCOME}=~"{FAILURES}"', window), *by)
    started = q.total(q.rate(count, selector, window), *by)
    return f"{q.or_zero(failed, started)} / {started}"


# --- Where the time goes -----------------------------------------------------------------------------------------

CULPRIT = Signal(
    title="Is it Consul, the network, or us?",
    what=(
        "Shares of the time of finished calls (no blocking queries). *Consul*: waiting for the first byte of the "
        "answer. *Network*: DNS, connect, TLS, sending, receiving, and what the kernel proves of the wait: requests "
        "that had to be sent again, the way there and back. *This process*: waiting for a pooled connection, "
        "decoding, the client library, and waits that were really a busy event loop, the garbage collector, the GIL, a missing processor or a CPU limit."
    ),
    high="that one is to blame for most of the time. Shares say who, not how bad: a fast service has a culprit too.",
    next=(
        "*Time by phase* for when it began, *Mean call by phase* for which operation. An answer that is lost after the "
        "request was acknowledged leaves no trace on this side, and counts as Consul's; behind a sidecar or a load "
        "balancer, so does all that lies behind it."
    ),
    unit="percentunit",
    queries=_culprits(),
)
HEALTH = Signal(
    title="How bad is it now?",
    what=(
        "*P99*: 99 of 100 calls were faster (no blocking queries). *Failed*: share of calls that ended in an error or a "
        "time-out. *Stalled*: open calls older than the stall threshold, blocking queries beyond their wait included. "
        "*Oldest*: age of the oldest open call that is not a blocking query."
    ),
    high=(
        "callers wait (P99), see errors (failed), or wait for an answer that may never come (stalled, oldest). A call "
        "that hangs is in no share and no P99: it has not ended."
    ),
    next="P99: the shares beside it. The others: the dashboard *Hung calls and failures* (click a value).",
    unit="short",
    queries=(
        Query(
            q.quantile(0.99, q.total(q.rate(f"{q.DURATION}_bucket", q.CALLS), "le")),
            "P99",
            unit="s",
            limits=(SLOW_SECONDS / 4, SLOW_SECONDS),
        ),
        Query(_failed_share(q.ALL_CALLS, q.INTERVAL), "Failed", unit="percentunit", limits=FAILED_LIMITS),
        Query(
            q.total(q.latest(q.STALLED, q.ALL_CALLS)),
            "Stalled",
            unit="none",
            limits=(1, 1),
        ),
        Query(
            f"max({q.latest(q.OLDEST_AGE, q.CALLS)})",
            "Oldest",
            unit="s",
            limits=(5, HUNG_SECONDS),
        ),
    ),
)
TIME_BY_PHASE = Signal(
    title="Time by phase (seconds spent per second)",
    what=(
        "Where finished calls spent their time. The height is the mean number of calls in progress; the colours say "
        "what they were doing: purple is Consul, blues are the network, oranges are this process."
    ),
    high=(
        "`wait`: Consul is slow, or the event loop came back late (see *Local delay*). `pool`: too few connections. "
        "`dns`, `connect`, `tls`: connections are not reused. `receive`: large answers or a slow link. `decode`: large "
        "answers."
    ),
    next="*Mean call by phase* for the operation. An open call is counted only when it ends: *Hung calls and failures*.",
    unit="s",
    queries=(Query(q.total(q.rate(q.PHASE_TIME, q.CALLS), q.PHASE), f"{{{{{q.PHASE}}}}}"),),
)
MEAN_CALL = Signal(
    title="Mean call by phase, one bar per operation",
    what="The average call of each operation over the time range, taken apart. Blocking queries are left out.",
    high="the longest bar is the slowest operation; its widest colour is why.",
    next=f"*Operations*: a slow operation that is rare costs little. Choose it there to see only it. {ZOOM}",
    unit="s",
    queries=(
        Query(
            f"sort_desc({q.total(q.rate(q.PHASE_TIME, q.CALLS, q.RANGE), q.OPERATION, q.PHASE)}"
            f" / on ({q.OPERATION}) group_left "
            f"{q.total(q.rate(f'{q.DURATION}_count', q.CALLS, q.RANGE), q.OPERATION)})",
            "mean",
        ),
    ),
)
LOCAL_DELAY = Signal(
    title="Local delay by cause (seconds lost per second)",
    what=(
        "Time calls lost inside this process while they ran: the event loop was busy (`event_loop`), the garbage "
        "collector ran (`gc`), another thread held the GIL (`gil`), or the process was ready to run and was not run: other "
        "processes had the processors (`cpu`), or its container's CPU limit was used up (`throttled`). It overlaps the "
        "phases, and counts every call that had to wait. Where the kernel does not tell (other systems than Linux, "
        "gVisor), `gil` is all three."
    ),
    high=(
        "as high as `wait` in *Time by phase*: Consul is innocent. `event_loop`: something blocks the loop. `gil`: a "
        "thread computes. `gc`: many live objects. `cpu`: fewer processes or more processors. `throttled`: raise the "
        "CPU limit, or compute less."
    ),
    next="*Releases side by side* for CPU, threads and collections; a trace's `consul.local_delay.*` for one call.",
    unit="s",
    queries=(Query(q.total(q.rate(q.LOCAL_DELAY_TIME, q.ALL_CALLS), q.CAUSE), f"{{{{{q.CAUSE}}}}}"),),
)
HEATMAP = Signal(
    title="Call duration",
    what="How long calls took, by when they ended. Dots are exemplars: each opens the trace of one such call.",
    high=(
        "a second band above the first is another kind of call (a retry, a new connection, a cold cache); a sharp top "
        "edge is a time-out."
    ),
    next="open a dot in the upper band: its trace has the phases of that very call.",
    unit="s",
    queries=(
        Query(
            q.total(f"increase({q.DURATION}_bucket{{{q.CALLS}}}[{q.INTERVAL}])", "le"),
            "{{le}}",
            exemplar=True,
        ),
    ),
)
TOP_OPERATIONS = Signal(
    title="Operations, by time spent",
    what="Every operation over the time range, most time spent first. Blocking queries are left out.",
    high=(
        "*Time spent* is calls times duration: what there is to gain. High by *Calls* it wants a cache or a blocking "
        "query; high by *P99* it wants a look at its phases."
    ),
    next=f"click an operation: this dashboard, its hung calls, or its slow traces, for that operation alone. {ZOOM}",
    unit="s",
    queries=(
        Query(q.total(q.rate(f"{q.DURATION}_sum", q.CALLS, q.RANGE), q.OPERATION), "Time spent per second"),
        Query(q.total(q.rate(f"{q.DURATION}_count", q.CALLS, q.RANGE), q.OPERATION), "Calls", unit="ops"),
        Query(
            q.quantile(0.99, q.total(q.rate(f"{q.DURATION}_bucket", q.CALLS, q.RANGE), "le", q.OPERATION)),
            "P99",
        ),
        Query(_failed_share(q.CALLS, q.RANGE, q.OPERATION), "Failed", unit="percentunit", limits=FAILED_LIMITS),
    ),
)
