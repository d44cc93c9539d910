"""The heartbeat and the collector's signals: where they are, and that they end."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from typing import Any

import pytest

from otel_consul import ConsulInstrumentor
from otel_consul.local_delay import LocalDelay, loops
from testbed.stub_agent import StubAgent
from tests.support.lost import causes
from tests.support.telemetry import Telemetry

aio = pytest.importorskip("consul.aio")
consul = pytest.importorskip("consul")


def local_delay() -> LocalDelay:
    recorder = ConsulInstrumentor()._recorder
    assert recorder is not None
    assert recorder.shared.local_delay is not None
    return recorder.shared.local_delay


async def get(port: int, key: str = "a") -> Any:
    client = aio.Consul(port=port)
    try:
        return await client.kv.get(key)
    finally:
        await client.close()


def heartbeats() -> int:
    """Those due in the loop running here."""
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum("LoopWatch" in repr(timer) for timer in timers)


def block(seconds: float) -> None:
    time.sleep(seconds)


def test_switched_off_there_is_nothing_of_it(telemetry: Telemetry, stub: StubAgent) -> None:
    before = list(gc.callbacks)
    telemetry.instrument(local_delay=False)
    stub.fault(delay=0.1)

    async def main() -> int:
        call = asyncio.ensure_future(get(stub.port))
        asyncio.get_running_loop().call_later(0.05, block, 0.2)
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        beats = heartbeats()
        await call
        return beats

    assert asyncio.run(main()) == 0
    assert gc.callbacks == before
    assert causes(telemetry) == {}
    assert telemetry.points("consul.client.local_delay.time") == []


def test_what_was_lost_is_in_the_metric_too(instrumented: Telemetry, stub: StubAgent) -> None:
    stub.fault(delay=0.05)

    async def main() -> None:
        call = asyncio.ensure_future(get(stub.port))
        await asyncio.sleep(0.02)
        block(0.4)
        await call

    asyncio.run(main())
    (attributes, seconds), *rest = instrumented.points("consul.client.local_delay.time")
    assert attributes == {"consul.operation": "kv.get", "consul.local_delay.cause": "event_loop"}
    assert seconds == pytest.approx(causes(instrumented)["event_loop"])
    assert not [point for point in rest if point[0]["consul.local_delay.cause"] == "gil" and point[1] > 0.1]


def test_uninstrument_leaves_nothing(telemetry: Telemetry, stub: StubAgent) -> None:
    before = list(gc.callbacks)

    async def main() -> int:
        telemetry.instrument()
        await get(stub.port)
        telemetry.uninstrument()
        await asyncio.sleep(3 * loops.PERIOD)
        return heartbeats()

    assert asyncio.run(main()) == 0
    assert gc.callbacks == before


def test_the_heartbeat_ends_when_no_call_is_open(
    instrumented: Telemetry, stub: StubAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "LINGER", 0.05)

    async def main() -> None:
        await get(stub.port)
        assert local_delay()._watching()
        await asyncio.sleep(0.3)
        assert local_delay()._watching() is None
        assert heartbeats() == 0
        await get(stub.port)
        assert local_delay()._watching()
        assert heartbeats() == 1

    asyncio.run(main())


def test_a_call_that_is_cancelled_or_dropped_is_watched_no_more(instrumented: Telemetry, stub: StubAgent) -> None:
    fault = stub.fault(stop="hang")

    async def main() -> None:
        call = asyncio.ensure_future(get(stub.port))
        await asyncio.to_thread(fault.wait)
        (watch,) = local_delay()._watches.values()
        assert len(watch.calls) == 1
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert not watch.calls

    asyncio.run(main())


def test_a_loop_is_not_kept_alive(instrumented: Telemetry, stub: StubAgent) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(get(stub.port))
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    assert local_delay()._watching() is None


def test_each_loop_has_its_own(instrumented: Telemetry, stub: StubAgent) -> None:
    """One loop is blocked, another in another thread is not."""
    stub.fault("/v1/kv/blocked", delay=0.1)
    stub.fault("/v1/kv/free", delay=0.4)

    async def blocked() -> None:
        call = asyncio.ensure_future(get(stub.port, "blocked"))
        await asyncio.sleep(0.05)
        block(0.5)
        await call

    threads = [threading.Thread(target=asyncio.run, args=(main,)) for main in (blocked(), get(stub.port, "free"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lost: dict[Any, Any] = {}
    for span in instrumented.spans:
        attributes = dict(span.attributes or {})
        lost[attributes["consul.kv.key"]] = attributes.get("consul.local_delay.event_loop", 0.0)
    assert lost["blocked"] == pytest.approx(0.45, abs=0.15)
    assert lost["free"] < 0.15


def test_a_call_that_times_out_behind_a_blocked_loop_says_so(instrumented: Telemetry, stub: StubAgent) -> None:
    stub.fault(delay=0.2)

    async def main() -> None:
        client = aio.Consul(port=stub.port, connections_timeout=0.3)
        call = asyncio.ensure_future(client.kv.get("a"))
        await asyncio.sleep(0.05)
        block(0.6)
        with pytest.raises(asyncio.TimeoutError):
            await call
        await client.close()

    try:
        asyncio.run(main())
    except pytest.fail.Exception:
        pytest.skip("the loop delivered the answer before it looked at its timers")
    assert causes(instrumented)["event_loop"] == pytest.approx(0.6, abs=0.15)


def test_own_decoding_is_not_the_loops_fault(instrumented: Telemetry, stub: StubAgent) -> None:
    stub.fill("big/", 20)

    async def main() -> None:
        client = aio.Consul(port=stub.port)
        await client.kv.get("big/", recurse=True)
        await client.close()

    asyncio.run(main())
    attributes = instrumented.span.attributes or {}
    decode = attributes["consul.phase.decode"]
    assert isinstance(decode, float)
    assert causes(instrumented).get("event_loop", 0.0) < 0.3 * decode


def test_uvloop(instrumented: Telemetry, stub: StubAgent) -> None:
    uvloop = pytest.importorskip("uvloop")
    stub.fault(delay=0.1)

    async def main() -> None:
        call = asyncio.ensure_future(get(stub.port))
        await asyncio.sleep(0.05)
        block(0.5)
        await call

    loop = uvloop.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    assert causes(instrumented)["event_loop"] == pytest.approx(0.45, abs=0.1)
