"""The totals: exact whatever the threads do, closed to additions, and honest at every collection."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from otel_consul import guard, semconv
from otel_consul.metrics import definitions, totals
from otel_consul.metrics.definitions import Metric
from tests.support.fake_client import OK, Response, observed, value_of
from tests.support.telemetry import Telemetry

PORT = {semconv.SERVER_ADDRESS: "127.0.0.1", semconv.SERVER_PORT: 8500}


def calls(client: Any, number: int, threads: int, path: str = "/v1/kv/a") -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: client.http.get(value_of, path), range(number)))


@pytest.mark.parametrize("number", [1, totals.LONG - 1, totals.LONG, totals.LONG + 1, 6400])
def test_counts_are_exact_under_64_threads(number: int, telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client()
        calls(client, number, 64)

        assert telemetry.total(definitions.OPERATIONS.name) == number
        assert telemetry.total(definitions.DURATION.name) == number
        assert telemetry.total(definitions.ACTIVE.name) == 0
        calls(client, 100, 64)
        assert telemetry.total(definitions.OPERATIONS.name) == number + 100


def test_journals_are_folded_without_any_collection(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client()
        longest = 0
        for _ in range(3 * totals.LONG):
            client.http.get(value_of, "/v1/kv/a")
            longest = max(longest, len(library.recorder.shared.totals.finished))

        assert longest <= totals.LONG + 2
        assert telemetry.total(definitions.OPERATIONS.name) == 3 * totals.LONG


def test_collections_while_calls_run_never_go_down(telemetry: Telemetry) -> None:
    seen: dict[tuple[Any, ...], list[float]] = {}
    done = threading.Event()

    def collect() -> None:
        while not done.is_set():
            for metric in (definitions.OPERATIONS, definitions.DURATION, definitions.PHASE_TIME, definitions.RETRIES):
                for point, value in telemetry.points(metric.name):
                    seen.setdefault((metric.name, *sorted(point.items())), []).append(value)

    with observed(telemetry) as library:
        collector = threading.Thread(target=collect)
        collector.start()
        calls(library.client(), 4000, 8)
        done.set()
        collector.join(20)
        assert telemetry.total(definitions.OPERATIONS.name) == 4000

    assert max(map(len, seen.values())) > 3
    for series, values in seen.items():
        assert values == sorted(values), series


def test_active_and_age_while_calls_are_open(telemetry: Telemetry) -> None:
    inside, go = threading.Semaphore(0), threading.Event()

    def work() -> Response:
        inside.release()
        go.wait(10)
        return OK

    with observed(telemetry, stall_threshold=0.001) as library:
        client = library.client(work)
        threads = [threading.Thread(target=client.http.get, args=(value_of, "/v1/kv/a")) for _ in range(3)]
        threads.append(threading.Thread(target=client.http.get, args=(value_of, "/v1/kv/a", [("index", 5)])))
        for thread in threads:
            thread.start()
        for _ in threads:
            assert inside.acquire(timeout=5)
        time.sleep(0.002)  # until each of them is older than the threshold
        telemetry.points(definitions.ACTIVE.name)

        plain = {semconv.OPERATION: "kv.get", semconv.BLOCKING: False}
        blocking = {semconv.OPERATION: "kv.get", semconv.BLOCKING: True}
        assert dict_of(telemetry, definitions.ACTIVE) == {key(plain | PORT): 3, key(blocking | PORT): 1}
        ages = dict_of(telemetry, definitions.OLDEST_AGE)
        assert set(ages) == {key(plain), key(blocking)}
        assert all(0 < age < 30 for age in ages.values())
        # a blocking query may be held for its wait of 300 s and a sixteenth
        unknown = {semconv.NETWORK_STATE: "unknown"}  # there is no socket here
        assert dict_of(telemetry, definitions.STALLED) == {key(plain | unknown): 3, key(blocking | unknown): 0}
        go.set()
        for thread in threads:
            thread.join(10)
        # known series stay, at zero: a push pipeline would show the last value for ever
        assert dict_of(telemetry, definitions.ACTIVE) == {key(plain | PORT): 0, key(blocking | PORT): 0}
        assert dict_of(telemetry, definitions.OLDEST_AGE) == {key(plain): 0, key(blocking): 0}
        assert dict_of(telemetry, definitions.STALLED) == {key(plain | unknown): 0, key(blocking | unknown): 0}


def key(attributes: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(attributes.items()))


def dict_of(telemetry: Telemetry, metric: Metric) -> dict[tuple[Any, ...], float]:
    return {key(point): value for point, value in telemetry.points(metric.name)}


def answering(*headers: dict[str, str]) -> Callable[[], Response]:
    answers = itertools.cycle(Response(200, one, "[]") for one in headers)
    return lambda: next(answers)


def test_greatest_last_contact_is_since_the_last_collection(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client(answering(*({"X-Consul-LastContact": text} for text in ("40", "4000", "0", "7"))))

        def collected() -> list[float]:
            return [value for _, value in telemetry.points(definitions.MAX_LAST_CONTACT.name)]

        assert collected() == []
        calls(client, 2, 1)
        assert collected() == [4.0]
        assert collected() == []  # nobody has read since
        calls(client, 1, 1)
        assert collected() == [0.0]
        calls(client, 1, 1)
        assert collected() == [0.007]


def test_leaderless_reads_are_counted(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client(answering({"X-Consul-KnownLeader": "false"}, {"X-Consul-KnownLeader": "true"}))
        calls(client, 6, 1)
        client.http.put(value_of, "/v1/kv/a")  # a write is no read
        assert dict_of(telemetry, definitions.LEADERLESS_READS) == {
            ((semconv.OPERATION, "kv.get"),): 3,
            ((semconv.OPERATION, "kv.put"),): 0,
        }


HOOKED = {"request_hook", "response_hook"}


def test_attributes_are_the_contracts_whatever_hooks_do(telemetry: Telemetry) -> None:
    def hook(span: Any, call: Any, response: Any = None) -> None:
        span.set_attribute("user.id", 5)
        span.set_attribute(semconv.OPERATION, "mine")
        span.update_name("mine")
        with pytest.raises(AttributeError):
            call.operation = "mine"

    with observed(telemetry, **dict.fromkeys(HOOKED, hook)) as library:
        client = library.client(answering({"X-Consul-KnownLeader": "false", "X-Consul-LastContact": "9"}))
        calls(client, 3, 1)
        calls(client, 1, 1, "/v1/kv/b?c")
        calls(client, 1, 1, "/v2/unknown/with/an/id/12345")
        client.work = None
        with pytest.raises(ZeroDivisionError):
            library.client(lambda: 1 / 0).http.put(value_of, "/v1/kv/a", [("cas", 1), ("dc", "dc9"), ("stale", "")])
        calls(library.client(answering({"X-Consul-Index": "6"})), 1, 1, "/v1/health/service/web")

        reported = set()
        for metric in definitions.METRICS:
            optional = {semconv.ERROR_TYPE, semconv.DEADLINE}  # the latter where nobody can know it
            for point, _ in telemetry.points(metric.name):
                reported.add(metric.name)
                assert set(point) <= set(metric.attributes), metric.name
                assert set(metric.attributes) - set(point) <= optional, metric.name
                assert point.get(semconv.OPERATION) in (None, "kv.get", "kv.put", "health.service", "other")
        assert {
            definitions.DURATION.name,
            definitions.OPERATIONS.name,
            definitions.ACTIVE.name,
            definitions.PHASE_TIME.name,
        } <= reported
        errors = {
            p[semconv.ERROR_TYPE]: n for p, n in telemetry.points(definitions.DURATION.name) if semconv.ERROR_TYPE in p
        }
        assert errors == {"ZeroDivisionError": 1}
    assert (telemetry.spans[0].attributes or {})["user.id"] == 5


def test_reset_keeps_the_series_and_nothing_else(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        client = library.client(answering({"X-Consul-KnownLeader": "false", "X-Consul-LastContact": "9"}))
        calls(client, 5, 1)
        library.recorder.shared.totals.reset()

        for metric in (
            definitions.OPERATIONS,
            definitions.PHASE_TIME,
            definitions.LEADERLESS_READS,
            definitions.MAX_LAST_CONTACT,
        ):
            assert telemetry.total(metric.name) == 0
        calls(client, 2, 1)
        assert telemetry.total(definitions.OPERATIONS.name) == 2
        assert telemetry.total(definitions.LEADERLESS_READS.name) == 2


def test_callback_that_fails_reports_nothing_and_stops_no_other(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "strict", False)
    with observed(telemetry) as library:
        calls(library.client(), 1, 1)
        del library.recorder.shared.totals.open_calls  # what the gauges are counted from

        assert telemetry.total(definitions.ACTIVE.name) == 0
        assert telemetry.total(definitions.OPERATIONS.name) == 1


def test_units_and_boundaries_are_the_contracts(telemetry: Telemetry) -> None:
    with observed(telemetry) as library:
        calls(library.client(answering({"X-Consul-LastContact": "9"})), 1, 1)
        data = telemetry.reader.get_metrics_data()
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    units = {metric.name: metric.unit for metric in scope.metrics}
    assert units == {metric.name: metric.unit for metric in definitions.METRICS if metric.name in units}
    (duration,) = (metric for metric in scope.metrics if metric.name == definitions.DURATION.name)
    (point,) = duration.data.data_points
    assert tuple(point.explicit_bounds) == definitions.DURATION_BOUNDARIES  # type: ignore[union-attr]
    (exemplar,) = point.exemplars
    (span,) = telemetry.spans
    assert (exemplar.trace_id, exemplar.span_id) == (span.context.trace_id, span.context.span_id)
