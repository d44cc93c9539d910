"""SIGTERM in a program whose handler calls the one it found: it ends, or goes on, as it would without the plugin."""

from __future__ import annotations

import signal

import pytest

from testbed.otlp_receiver import OtlpReceiver
from tests.support.programs import Start

RAISE = "signal.signal(number, signal.SIG_DFL); os.kill(os.getpid(), number)"
DIES = {
    "callable first": f"""
        if callable(before): before(number, frame)
        elif before == signal.SIG_DFL: {RAISE}
    """,
    "default first": f"""
        if before == signal.SIG_DFL: {RAISE}
        elif callable(before): before(number, frame)
    """,
    "truth": f"""
        if before: before(number, frame)
        else: {RAISE}
    """,
    "raise_signal": """
        if callable(before): return before(number, frame)
        if before is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
    """,
    "put back": """
        signal.signal(number, before)
        signal.raise_signal(number)
    """,
}
GOES_ON = {
    "callable": "if callable(before): before(number, frame)",
    "callable and not the default": "if callable(before) and before is not signal.SIG_DFL: before(number, frame)",
    "none of the special ones": "if before not in (None, signal.SIG_DFL, signal.SIG_IGN): before(number, frame)",
    "truth": "if before: before(number, frame)",
    "kills a child": "if callable(before): before(number, frame); os.kill(child, 0)",
}


def program_with(handler: str) -> str:
    return f"""
    import os, signal, time
    providers(); instrument()
    child = os.getpid()
    before = signal.getsignal(signal.SIGTERM)
    def handler(number, frame):
        os.write(1, b"cleaned up\\n")  # it may have interrupted a print, in which another one is an error from 3.14 on
        {handler}
    signal.signal(signal.SIGTERM, handler)
    open_calls()
    time.sleep(1)
    print("went on")
    """


@pytest.mark.parametrize("idiom", DIES)
def test_a_handler_that_does_the_default_ends_the_process(idiom: str, program: Start, receiver: OtlpReceiver) -> None:
    with program(program_with(DIES[idiom].strip())) as running:
        end = running.end(signal.SIGTERM)
    assert (end.code, end.out, end.err) == (-signal.SIGTERM, "cleaned up\n", "")
    if idiom not in ("default first", "truth"):  # in those, nobody asks the plugin
        assert [span.attributes["consul.outcome"] for span in receiver.spans] == ["abandoned"]


@pytest.mark.parametrize("idiom", GOES_ON)
def test_a_handler_that_has_no_use_for_the_default_goes_on(idiom: str, program: Start, receiver: OtlpReceiver) -> None:
    with program(program_with(GOES_ON[idiom])) as running:
        end = running.end(signal.SIGTERM)
    assert (end.code, end.out) == (0, "cleaned up\nwent on\n"), end.err
    assert [span.attributes["consul.outcome"] for span in receiver.spans] == ["abandoned"]


@pytest.mark.parametrize("number", ["SIGTERM", "SIGUSR2"])
def test_whoever_looks_for_a_free_signal_finds_one(number: str, program: Start) -> None:
    code = f"""
    import signal
    instrument(dump_signal="USR2")
    found = signal.getsignal(signal.{number})
    assert found == signal.SIG_DFL and signal.SIG_DFL == found and not found
    assert found != signal.SIG_IGN and found in (None, signal.SIG_DFL)
    assert signal.signal(signal.{number}, signal.SIG_IGN) is found
    signal.signal(signal.{number}, found)
    assert signal.getsignal(signal.{number}) is found
    print("ready")
    """
    with program(code) as running:
        end = running.end()
    assert (end.code, end.err) == (0, "")
