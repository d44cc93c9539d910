"""The vocabulary: every attribute, event and value this package writes (`metrics.definitions` has the metrics).

Stable names come from `opentelemetry.semconv.attributes`; names under ``consul.`` are ours and are this
package's public interface. Durations are seconds. A name here has exactly one meaning, on spans and metrics alike.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.semconv.attributes.code_attributes import (
    CODE_FILE_PATH,
    CODE_FUNCTION_NAME,
    CODE_LINE_NUMBER,
    CODE_STACKTRACE,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HTTP_REQUEST_RESEND_COUNT,
    HTTP_RESPONSE_STATUS_CODE,
)
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PEER_ADDRESS, NETWORK_PEER_PORT
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT

__all__ = [
    "CODE_FILE_PATH",
    "CODE_FUNCTION_NAME",
    "CODE_LINE_NUMBER",
    "CODE_STACKTRACE",
    "ERROR_TYPE",
    "HTTP_REQUEST_METHOD",
    "HTTP_REQUEST_RESEND_COUNT",
    "HTTP_RESPONSE_STATUS_CODE",
    "NETWORK_PEER_ADDRESS",
    "NETWORK_PEER_PORT",
    "SERVER_ADDRESS",
    "SERVER_PORT",
]

SCOPE_NAME: Final = "otel_consul"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"

# --- span attributes, set at the start -----------------------------------------------------------------------
OPERATION: Final = "consul.operation"
MODE: Final = "consul.mode"
URL_TEMPLATE: Final = "url.template"
KV_KEY: Final = "consul.kv.key"
SERVICE_NAME: Final = "consul.service.name"
NODE_NAME: Final = "consul.node.name"
CONSISTENCY: Final = "consul.consistency"
CACHED: Final = "consul.cached"
DATACENTER: Final = "consul.datacenter"
BLOCKING: Final = "consul.blocking"
WAIT: Final = "consul.wait"
DEADLINE: Final = "consul.deadline"
TIMEOUT_CONNECT: Final = "consul.timeout.connect"
TIMEOUT_READ: Final = "consul.timeout.read"
TIMEOUT_TOTAL: Final = "consul.timeout.total"
CLIENT_FORKED: Final = "consul.client.forked"

# --- span attributes, set at the end -------------------------------------------------------------------------
OUTCOME: Final = "consul.outcome"
RESPONSE_INDEX: Final = "consul.response.index"
RESPONSE_KNOWN_LEADER: Final = "consul.response.known_leader"
RESPONSE_LAST_CONTACT: Final = "consul.response.last_contact"
RESPONSE_CACHE: Final = "consul.response.cache"
RESPONSE_AGE: Final = "consul.response.age"
RESPONSE_CONSISTENCY: Final = "consul.response.consistency"
RESPONSE_QUERY_BACKEND: Final = "consul.response.query_backend"
RESPONSE_FILTERED_BY_ACLS: Final = "consul.response.filtered_by_acls"
WAKEUP: Final = "consul.wakeup"
LATE: Final = "consul.late"
CONNECTION_REUSED: Final = "consul.connection.reused"
NETWORK_DELAY: Final = "consul.network.delay"
NETWORK_RETRANSMITS: Final = "consul.network.retransmits"
NETWORK_RTT: Final = "consul.network.rtt"
PHASE_PREFIX: Final = "consul.phase."
LOCAL_DELAY_PREFIX: Final = "consul.local_delay."

# --- names of the older HTTP conventions, written unless OTEL_SEMCONV_STABILITY_OPT_IN contains `http` ---------
OLD_SERVER_ADDRESS: Final = "net.peer.name"
OLD_SERVER_PORT: Final = "net.peer.port"
OLD_STATUS_CODE: Final = "http.status_code"
OLD_PEER_SERVICE: Final = "peer.service"
PEER_SERVICE_VALUE: Final = "consul"

# --- events, and the attributes only they and stalled calls carry ----------------------------------------------
EVENT_TIMEOUT: Final = "consul.timeout"
EVENT_CANCELLED: Final = "consul.cancelled"
EVENT_RETRY: Final = "consul.retry"
EVENT_ABANDONED: Final = "consul.abandoned"
EVENT_STALLED: Final = "consul.operation.stalled"
TIMEOUT_KIND: Final = "consul.timeout.kind"
CANCEL_REASON: Final = "consul.cancel.reason"
PHASE: Final = "consul.phase"
ELAPSED: Final = "consul.elapsed"
LOCAL_DELAY_CAUSE: Final = "consul.local_delay.cause"
NETWORK_STATE: Final = "consul.network.state"
NETWORK_SILENT_FOR: Final = "consul.network.silent_for"


class NetworkState:
    """Whose silence a call hears that waits for its answer (`consul.network.state`)."""

    UNACKNOWLEDGED: Final = "unacknowledged"
    ACKNOWLEDGED: Final = "acknowledged"
    CLOSED_BY_PEER: Final = "closed_by_peer"
    UNKNOWN: Final = "unknown"
    """On the metric only: there every attribute is always there."""


class Outcome:
    """How a call ended (`consul.outcome`)."""

    OK: Final = "ok"
    NOT_FOUND: Final = "not_found"
    NOT_APPLIED: Final = "not_applied"
    ERROR: Final = "error"
    TIMEOUT: Final = "timeout"
    CANCELLED: Final = "cancelled"
    ABANDONED: Final = "abandoned"

    FAILURES: Final = (ERROR, TIMEOUT, ABANDONED)
    """Those that are somebody's fault: the span's status is an error."""


class Deadline:
    """What stops a call when the other side goes silent (`consul.deadline`)."""

    NONE: Final = "none"
    PER_READ: Final = "per_read"
    TOTAL: Final = "total"


class TimeoutKind:
    """Which time-out struck (`consul.timeout.kind`)."""

    CONNECT: Final = "connect"
    READ: Final = "read"
    TOTAL: Final = "total"
    POOL: Final = "pool"
    DEADLINE: Final = "deadline"


class CancelReason:
    """Why a call was cancelled (`consul.cancel.reason`)."""

    DEADLINE: Final = "deadline"
    CALLER: Final = "caller"
    UNKNOWN: Final = "unknown"


class Wakeup:
    """What ended a blocking query (`consul.wakeup`)."""

    CHANGED: Final = "changed"
    EXPIRED: Final = "expired"
    WOKEN_UNCHANGED: Final = "woken_unchanged"
    RESET: Final = "reset"


class Phase:
    """The parts of one call, in the order they happen. An index into a clock's list of seconds.

    Plain integers, not an enum: they are read many times on the call path.
    """

    POOL: Final = 0
    DNS: Final = 1
    CONNECT: Final = 2
    TLS: Final = 3
    SEND: Final = 4
    WAIT: Final = 5
    RECEIVE: Final = 6
    DECODE: Final = 7
    BACKOFF: Final = 8
    OTHER: Final = 9


PHASES: Final[tuple[str, ...]] = (
    "pool",
    "dns",
    "connect",
    "tls",
    "send",
    "wait",
    "receive",
    "decode",
    "backoff",
    "other",
)
"""The value of `consul.phase` for each `Phase`, by index."""
PHASE_ATTRIBUTES: Final[tuple[str, ...]] = tuple(PHASE_PREFIX + name for name in PHASES)
"""The span attribute for each `Phase`, by index."""

PHASE_FLOOR: Final = 10e-6
"""Seconds below which a phase is not worth an attribute: it joins `other`."""


class LocalDelay:
    """Time lost inside this process while a call ran. Overlaps the phases. An index into a list of seconds."""

    EVENT_LOOP: Final = 0
    GC: Final = 1
    GIL: Final = 2
    CPU: Final = 3
    THROTTLED: Final = 4


LOCAL_DELAYS: Final[tuple[str, ...]] = ("event_loop", "gc", "gil", "cpu", "throttled")
"""The value of `consul.local_delay.cause` for each `LocalDelay`, by index."""
LOCAL_DELAY_ATTRIBUTES: Final[tuple[str, ...]] = tuple(LOCAL_DELAY_PREFIX + name for name in LOCAL_DELAYS)


# --- Consul's own facts ----------------------------------------------------------------------------------------
DEFAULT_WAIT: Final = 300.0
"""Seconds a blocking query is held when it names no `wait` (Consul's `default_query_time`)."""
MAX_WAIT: Final = 600.0
"""Seconds Consul caps any `wait` at (`max_query_time`)."""
JITTER: Final = 1 / 16
"""Consul adds up to this share of the wait, so that watchers do not wake together."""
