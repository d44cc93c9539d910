"""The process ends, calls are open: they arrive as `abandoned`, and the end is as it would have been."""

from __future__ import annotations

import signal
import sys

import pytest

from otel_consul.in_flight import process_end as shutdown
from testbed.otlp_receiver import OtlpReceiver
from tests.support.programs import Start

ORDERS = {"provider first": "providers(); instrument()", "plugin first": "instrument(); providers()"}
WAIT = "\nimport time\nwhile True: time.sleep(0.1)"
"""Not for long at a time: from Python 3.14 on, a signal that comes just before a wait is handled after it."""


@pytest.fixture(params=ORDERS.values(), ids=ORDERS)
def both(request: pytest.FixtureRequest) -> str:
    """Both orders of making the provider and switching on the plugin, and so of their exit hooks."""
    return str(request.param)


def outcomes(receiver: OtlpReceiver) -> list[object]:
    return [span.attributes.get("consul.outcome") for span in receiver.spans if not span.name.endswith(" stalled")]


def abandoned(receiver: OtlpReceiver) -> int:
    assert set(outcomes(receiver)) <= {"abandoned"}
    calls = [span for span in receiver.spans if not span.name.endswith(" stalled")]  # a slow machine may have some
    for span in calls:
        assert span.status == "ERROR"
        assert [event.name for event in span.events] == ["consul.abandoned"]
    return len(calls)


# --- exit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["", "sys.exit(3)", "raise KeyError('bug')", "raise KeyboardInterrupt"])
def test_exit(both: str, how: str, program: Start, receiver: OtlpReceiver) -> None:
    code = {"": 0, "sys.exit(3)": 3, "raise KeyError('bug')": 1, "raise KeyboardInterrupt": -signal.SIGINT}[how]
    with program(f"import sys\n{both}\nopen_calls(3)\n{how}") as running:
        end = running.end()
    assert end.code == code
    assert end.seconds < 3
    assert abandoned(receiver) == 3


def test_exit_with_a_provider_made_after_other_calls(program: Start, receiver: OtlpReceiver) -> None:
    code = """
    import os, consul, time
    instrument()
    consul.Consul(port=int(os.environ["AGENT"])).catalog.nodes()  # nobody records this one
    time.sleep(2.5)
    providers()
    open_calls()
    """
    with program(code) as running:
        running.end()
    assert abandoned(receiver) == 1


def test_exit_with_more_calls_than_the_sdk_queues(program: Start, receiver: OtlpReceiver) -> None:
    code = """
    import asyncio, os
    import aiohttp, consul.aio
    providers(); instrument(stall_threshold=0)
    async def main():
        client = consul.aio.Consul(port=int(os.environ["AGENT"]), connections_limit=5)
        tasks = [asyncio.ensure_future(client.kv.get("hang")) for _ in range(3000)]
        await asyncio.sleep(0.5)
        return tasks
    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(main())
    print("ready", flush=True)
    """
    with program(code) as running:
        end = running.end()
    assert end.code == 0, end.err
    assert abandoned(receiver) == 3000


def test_an_exporter_that_hangs_delays_the_exit_by_its_own_timeout_only(program: Start, receiver: OtlpReceiver) -> None:
    receiver.hang()
    with program("providers(); instrument(); open_calls()", OTEL_EXPORTER_OTLP_TIMEOUT="1") as running:
        end = running.end()
    assert end.code == 0
    assert end.seconds < 8  # three exporters, one second each, tried again by some versions


def test_asyncio_run_that_ends_abandons_what_it_cancels(program: Start, receiver: OtlpReceiver) -> None:
    code = """
    import asyncio, os
    import consul.aio
    providers(); instrument()
    async def main():
        client = consul.aio.Consul(port=int(os.environ["AGENT"]))
        task = asyncio.create_task(client.kv.get("hang"))
        await asyncio.sleep(0.2)
        print("ready", flush=True)
        return task
    asyncio.run(main())
    """
    with program(code) as running:
        running.end()
    assert abandoned(receiver) == 1


# --- SIGTERM ----------------------------------------------------------------------------------------------------------


def test_sigterm_ends_it_as_ever_and_nothing_is_lost(both: str, program: Start, receiver: OtlpReceiver) -> None:
    with program(f"{both}; open_calls(5)" + WAIT) as running:
        end = running.end(signal.SIGTERM)
    assert end.code == -signal.SIGTERM
    assert end.seconds < shutdown.DEFAULT_PATIENCE + 2
    assert abandoned(receiver) == 5
    assert end.err == ""
    durations = [point for point in receiver.metrics if point.name == "consul.client.operation.duration"]
    assert [point.attributes["consul.outcome"] for point in durations] == ["abandoned"]


@pytest.mark.parametrize(
    "stuck",
    [
        "time.sleep(60)",
        "while True: pass",
        "threading.Lock().acquire() and threading.Event().wait()",
        "asyncio.run(asyncio.sleep(60))",
        "thread = threading.Thread(target=time.sleep, args=(60,)); thread.start(); thread.join()",
        "threading.Thread(target=time.sleep, args=(60,)).start()",  # the main thread waits in threading._shutdown
        "client.kv.get('hang')",
    ],
)
def test_sigterm_wherever_the_main_thread_is(stuck: str, program: Start, receiver: OtlpReceiver) -> None:
    code = f"""
    import asyncio, consul, os, threading, time
    providers(); instrument()
    client = consul.Consul(port=int(os.environ["AGENT"]), connections_timeout=None)
    open_calls()
    {stuck}
    """
    with program(code) as running:
        import time

        time.sleep(0.3)
        end = running.end(signal.SIGTERM)
    assert end.code == -signal.SIGTERM
    assert end.seconds < 4
    assert abandoned(receiver) == 1 + ("client" in stuck)


def test_sigterm_while_the_main_thread_holds_a_lock_of_the_sdk(program: Start, receiver: OtlpReceiver) -> None:
    code = """
    import time
    providers(); instrument()
    from opentelemetry import trace
    processor = trace.get_tracer_provider()._active_span_processor
    open_calls()
    import otel_consul.instrumentor
    (call,) = otel_consul.ConsulInstrumentor()._recorder.shared.registry
    with call.span._lock:
        time.sleep(1)
        end = time.monotonic() + 0.5
        while time.monotonic() < end: pass
    while True: time.sleep(1)
    """
    with program(code) as running:
        import time

        time.sleep(0.2)
        end = running.end(signal.SIGTERM)
    assert end.code == -signal.SIGTERM
    assert end.seconds < 6
    assert abandoned(receiver) == 1


def test_a_second_sigterm_does_not_wait(program: Start, receiver: OtlpReceiver) -> None:
    import time

    receiver.hang()
    with program("providers(); instrument(); open_calls()" + WAIT) as running:
        running.signal(signal.SIGTERM)
        time.sleep(0.5)
        end = running.end(signal.SIGTERM)
    assert (end.code, end.seconds < 1) == (-signal.SIGTERM, True)


def test_sigterm_with_an_exporter_that_hangs(program: Start, receiver: OtlpReceiver) -> None:
    receiver.hang()
    with program("providers(); instrument(); open_calls()" + WAIT, OTEL_EXPORTER_OTLP_TIMEOUT="1") as running:
        end = running.end(signal.SIGTERM)
    assert end.code == -signal.SIGTERM
    assert end.seconds < 2.5


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_program_that_handles_sigterm_itself(when: str, program: Start, receiver: OtlpReceiver) -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"
    lines = [own, "providers(); instrument()"] if when == "before" else ["providers(); instrument()", own]
    code = "\n".join(["import signal, sys, time", *lines, "open_calls()", "while True: time.sleep(1)"])
    with program(code) as running:
        end = running.end(signal.SIGTERM)
    assert end.code == 7
    assert abandoned(receiver) == 1


def test_a_handler_that_calls_the_one_before_it_keeps_its_say(program: Start, receiver: OtlpReceiver) -> None:
    code = """
    import signal, sys, time
    providers(); instrument()
    before = signal.getsignal(signal.SIGTERM)
    def graceful(number, frame):
        if callable(before):
            before(number, frame)
        print("in order")
        sys.exit(0)
    signal.signal(signal.SIGTERM, graceful)
    open_calls()
    while True: time.sleep(1)
    """
    with program(code) as running:
        end = running.end(signal.SIGTERM)
    assert (end.code, end.out) == (0, "in order\n")
    assert abandoned(receiver) == 1


def test_a_loop_that_handles_sigterm(program: Start, receiver: OtlpReceiver) -> None:
    code = """
    import asyncio, signal
    providers(); instrument()
    async def main():
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        open_calls()
        await stop.wait()
    asyncio.run(main())
    """
    with program(code) as running:
        end = running.end(signal.SIGTERM)
    assert end.code == 0
    assert abandoned(receiver) == 1


def test_ignored_sigterm_stays_ignored(program: Start, receiver: OtlpReceiver) -> None:
    code = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    providers(); instrument()
    open_calls()
    time.sleep(0.5)
    """
    with program(code) as running:
        end = running.end(signal.SIGTERM)
    assert (end.code, end.seconds > 0.3) == (0, True)


def test_after_uninstrument_the_signal_is_as_it_was(program: Start) -> None:
    code = """
    import signal, otel_consul
    instrument()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    otel_consul.ConsulInstrumentor().uninstrument()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    print("ready")
    """
    with program(code) as running:
        assert running.end().code == 0


# --- other processes --------------------------------------------------------------------------------------------------


def test_children_of_fork_tell_of_their_own_calls_only(program: Start, receiver: OtlpReceiver) -> None:
    code = """
    import os, signal, sys, time
    providers(); instrument(stall_threshold=0.2)
    if os.fork() == 0:  # as a web server starts its workers
        open_calls(2)
        time.sleep(0.5)
        sys.exit(0)
    os.wait()
    """
    with program(code) as running:
        end = running.end()
    assert end.code == 0, end.err
    assert outcomes(receiver) == ["abandoned"] * 2
    assert len([span for span in receiver.spans if span.name == "kv.get stalled"]) >= 2


def test_multiprocessing_children_end_as_ever(program: Start) -> None:
    code = """
    import multiprocessing, time
    if __name__ == "__main__":
        providers(); instrument()
        open_calls()
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        child.terminate()
        child.join(5)
        assert child.exitcode == -15, child.exitcode
    """
    with program(code) as running:
        end = running.end()
    assert end.code == 0, end.err


@pytest.mark.skipif(sys.version_info < (3, 11), reason="gevent's wheel")
@pytest.mark.parametrize("order", ["patched first", "plugin first"])
def test_gevent(order: str, program: Start, receiver: OtlpReceiver) -> None:
    pytest.importorskip("gevent")
    patch = "from gevent import monkey; monkey.patch_all()"
    on = "instrument(stall_threshold=0.2)"
    first, second = (patch, on) if order == "patched first" else (on, patch)
    code = f"""
    {first}
    {second}
    providers()
    import gevent, os, consul, otel_consul, time
    from gevent.monkey import get_original
    client = consul.Consul(port=int(os.environ["AGENT"]), connections_timeout=None)
    def guilty():
        client.kv.get("hang")
    def innocent():
        gevent.sleep(60)
    others = [gevent.spawn(innocent), gevent.spawn(guilty), gevent.spawn(innocent)]
    gevent.sleep(0.1)
    (call,) = otel_consul.open_calls()
    assert call.function == "guilty", call
    get_original("time", "sleep")(1)  # the hub is blocked
    assert call.waiter
    print("ready", flush=True)
    gevent.sleep(60)
    """
    with program(code) as running:
        end = running.end(signal.SIGTERM)
    assert end.code == -signal.SIGTERM, end.err
    assert outcomes(receiver) == ["abandoned"]
    stalled = [record for record in receiver.logs if record.event_name == "consul.operation.stalled"]
    assert len(stalled) >= 2  # while the hub was blocked
    assert {record.attributes["code.function.name"] for record in stalled} == {"guilty"}
