"""The event loop ends before its calls do: they are abandoned, whoever runs the loop; a deadline stays a time-out."""

from __future__ import annotations

import pytest

from testbed.otlp_receiver import OtlpReceiver
from tests.support.programs import Start

CALLS = """
    import asyncio, os, signal
    import consul.aio
    providers(); instrument(stall_threshold=0)
    print("ready", flush=True)
    client = None
    def start():
        global client
        client = consul.aio.Consul(port=int(os.environ["AGENT"]))
        return [asyncio.ensure_future(client.kv.get("hang")) for _ in range(3)]
    async def main():
        tasks = start()
        await asyncio.sleep(0.2)
"""
RUNNERS = {
    "asyncio": "asyncio.run(main())",
    "uvloop": "import uvloop; uvloop.run(main())",
    "anyio": "import anyio; anyio.run(main)",
    "aiohttp.web": """
    from aiohttp import web
    async def on_startup(app):
        app["tasks"] = start()
        asyncio.get_running_loop().call_later(0.3, os.kill, os.getpid(), signal.SIGINT)
    app = web.Application()
    app.on_startup.append(on_startup)
    web.run_app(app, port=0, print=None)
    """,
}


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_is_cancelled_for_the_end_of_the_loop_is_abandoned(
    runner: str, program: Start, receiver: OtlpReceiver
) -> None:
    pytest.importorskip(runner)
    with program(CALLS.rstrip() + "\n    " + RUNNERS[runner]) as running:
        end = running.end()
    assert end.code == 0, end.err
    assert [span.attributes["consul.outcome"] for span in receiver.spans] == ["abandoned"] * 3


def test_a_deadline_that_expires_meanwhile_is_a_timeout(program: Start, receiver: OtlpReceiver) -> None:
    code = """
    import asyncio, contextlib, os
    import consul.aio
    providers(); instrument(stall_threshold=0)
    print("ready", flush=True)
    async def worker():
        client = consul.aio.Consul(port=int(os.environ["AGENT"]))
        try:
            await asyncio.sleep(30)
        finally:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(client.kv.get("hang"), 0.2)
    async def main():
        asyncio.ensure_future(worker())
        await asyncio.sleep(0.1)
    asyncio.run(main())
    """
    with program(code) as running:
        running.end()
    (span,) = receiver.spans
    assert span.attributes["consul.outcome"] == "timeout"
    assert [event.name for event in span.events] == ["consul.cancelled", "consul.timeout"]
