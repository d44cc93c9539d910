"""Metric names and selectors in PromQL, made from the package's own vocabulary: rename a metric, and all of it follows.

The classic Prometheus names are used (dots to underscores, the unit and ``_total`` at the end), because every
pipeline from OpenTelemetry to Prometheus can produce them.
"""

from __future__ import annotations

from otel_consul import semconv
from otel_consul.metrics import definitions

UNIT_SUFFIX = {"s": "_seconds", "By": "_bytes"}
COUNTERS = ("counter", "observable_counter")


def classic_name(name: str, unit: str, kind: str) -> str:
    """The name Prometheus gives to an OpenTelemetry metric."""
    classic = label(name) + UNIT_SUFFIX.get(unit, "")
    return classic + "_total" if kind in COUNTERS else classic


def of(metric: definitions.Metric) -> str:
    """The Prometheus name of one of our metrics."""
    return classic_name(metric.name, metric.unit, metric.instrument)


def label(attribute: str) -> str:
    """The label an attribute becomes."""
    return attribute.replace(".", "_")


DURATION = of(definitions.DURATION)
PHASE_TIME = of(definitions.PHASE_TIME)
LOCAL_DELAY_TIME = of(definitions.LOCAL_DELAY_TIME)
OPERATIONS = of(definitions.OPERATIONS)
ACTIVE = of(definitions.ACTIVE)
OLDEST_AGE = of(definitions.OLDEST_AGE)
STALLED = of(definitions.STALLED)
RETRIES = of(definitions.RETRIES)
LATE_TIME = of(definitions.LATE_TIME)
LEADERLESS_READS = of(definitions.LEADERLESS_READS)
MAX_LAST_CONTACT = of(definitions.MAX_LAST_CONTACT)
CONNECTIONS_OPENED = of(definitions.CONNECTIONS_OPENED)
NETWORK_DELAY_TIME = of(definitions.NETWORK_DELAY_TIME)
RETRANSMISSIONS = of(definitions.RETRANSMISSIONS)
INSTANCES = of(definitions.INSTANCES)
INSTANCES_CREATED = of(definitions.INSTANCES_CREATED)

# opentelemetry-instrumentation-system-metrics
CPU_TIME = classic_name("process.cpu.time", "s", "observable_counter")
MEMORY = classic_name("process.memory.usage", "By", "observable_up_down_counter")
THREADS = classic_name("process.thread.count", "{thread}", "observable_up_down_counter")
COLLECTIONS = classic_name("cpython.gc.collections", "{collection}", "observable_counter")

OPERATION = label(semconv.OPERATION)
OUTCOME = label(semconv.OUTCOME)
BLOCKING = label(semconv.BLOCKING)
DEADLINE = label(semconv.DEADLINE)
PHASE = label(semconv.PHASE)
CAUSE = label(semconv.LOCAL_DELAY_CAUSE)
NETWORK_STATE = label(semconv.NETWORK_STATE)
ERROR_TYPE = label(semconv.ERROR_TYPE)
SERVER_ADDRESS = label(semconv.SERVER_ADDRESS)
SERVER_PORT = label(semconv.SERVER_PORT)
RELEASE = label("service.version")

RESOURCE = 'job=~"$job",service_name=~"$service"'
"""Everything of the chosen services. Regex matchers: they match an absent label, and pipelines differ in labels."""
ALL_CALLS = f'{RESOURCE},{OPERATION}=~"$operation"'
CALLS = f'{ALL_CALLS},{BLOCKING}="false"'
"""Calls that should be quick."""
WATCHES = f'{ALL_CALLS},{BLOCKING}="true"'
"""Blocking queries: they wait on purpose, for minutes, and would spoil every latency they are added to."""

INTERVAL = "$__rate_interval"
RANGE = "$__range"


def rate(metric: str, selector: str, window: str = INTERVAL) -> str:
    """Per second."""
    return f"rate({metric}{{{selector}}}[{window}])"


def latest(metric: str, selector: str) -> str:
    """The newest value of a gauge. At a step where the next one is still on its way, this is no gap, and never 0."""
    return f"last_over_time({metric}{{{selector}}}[{INTERVAL}])"


def total(vector: str, *by: str) -> str:
    """Sum, by labels."""
    return f"sum by ({', '.join(by)}) ({vector})" if by else f"sum({vector})"


def quantile(share: float, buckets: str) -> str:
    """A quantile of classic buckets."""
    return f"histogram_quantile({share}, {buckets})"


def or_zero(vector: str, like: str) -> str:
    """Zero where `vector` has nothing but `like` has: a service that never failed, not one that is not there."""
    return f"({vector} or 0 * {like})"


def by_release(vector: str, *by: str, aggregate: str = "sum", window: str = "") -> str:
    """Aggregate by ``service.version``, wherever the pipeline put it.

    `vector` has ``{RELEASE}`` where the selector takes one more matcher. Where resource attributes are labels the first
    half finds the release on the series; elsewhere the second half takes it from ``target_info``.
    """
    labels = ", ".join((*by, RELEASE))
    info = f"last_over_time(target_info[{window}])" if window else "target_info"
    promoted = vector.replace("{RELEASE}", f'{RELEASE}!=""')
    joined = vector.replace("{RELEASE}", f'{RELEASE}=""')
    join = f"* on (job, instance) group_left ({RELEASE}) topk by (job, instance) (1, {info})"
    return f"({aggregate} by ({labels}) ({promoted}) or {aggregate} by ({labels}) ({joined} {join}))"
