"""What is believed of the kernel's account of a connection, and what is made of it."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from otel_consul.network import tcp_info
from otel_consul.network.connections import Connections, Lost
from otel_consul.network.tcp_info import CLOSE_WAIT, ESTABLISHED, TcpInfo
from otel_consul.semconv import NetworkState

linux = pytest.mark.skipif(not tcp_info.AVAILABLE, reason="needs Linux")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        with peer:
            yield client, peer


def info(**known: Any) -> TcpInfo:
    """A connection on which all is well: a request went out 1 s ago and was acknowledged at once."""
    usual = {"state": ESTABLISHED, "probes": 0, "unacked": 0, "sent_ago": 1.0, "received_ago": 2.0, "heard_ago": 1.0,
             "retransmitted": 0, "not_sent": 0, "round_trip": 0.001, "busy": 0.001, "duplicates": 0}  # fmt: skip
    return TcpInfo(**{**usual, **known})


# --- reading ------------------------------------------------------------------------------------------------------------


@linux
def test_each_number_is_read_where_it_stands(pair: tuple[socket.socket, socket.socket]) -> None:
    client, peer = pair
    client.sendall(b"question")
    peer.recv(100)
    time.sleep(0.2)
    peer.sendall(b"answer")
    client.recv(100)
    time.sleep(0.1)
    found = tcp_info.read(client, 0.3)
    assert found is not None
    assert found.state == ESTABLISHED
    assert found.sent_ago == pytest.approx(0.3, abs=0.15)
    assert found.received_ago == pytest.approx(0.1, abs=0.09)
    assert (found.unacked, found.not_sent, found.retransmitted, found.duplicates) == (0, 0, 0, 0)
    assert 0 < found.round_trip < 0.1
    assert 0 <= found.busy < 0.25


@linux
def test_what_is_no_connection_is_not_known(pair: tuple[socket.socket, socket.socket]) -> None:
    client, _ = pair
    client.close()
    assert tcp_info.read(client) is None
    assert tcp_info.read(None) is None
    assert tcp_info.read(object()) is None
    left, right = socket.socketpair()
    with left, right:
        assert tcp_info.read(left) is None


WELL = struct.Struct("=B23xI16xI4xII40xI40xII16xQ40xI12x").pack(ESTABLISHED, 0, 500, 900, 500, 0, 0, 1000, 300, 0)


@pytest.mark.parametrize(
    "answer",
    [WELL[:104], WELL[:216], bytes(232), b"\x01" + bytes(231), WELL[:16] + bytes(216), b"", None],
    ids=["before 4.6", "before 4.19", "nothing", "the state", "gVisor", "empty", "refused"],
)
def test_zeros_and_short_answers_are_no_answer(answer: bytes | None) -> None:
    assert tcp_info.parse(WELL, 0.5) is not None
    assert tcp_info.parse(answer, 0.5) is None


def test_a_kernel_that_has_sent_nothing_is_not_believed_but_just_after_the_request() -> None:
    never = struct.Struct("=B23xI16xI4xII40xI40xII16xQ40xI12x").pack(ESTABLISHED, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert tcp_info.parse(never, 0.001) is not None
    assert tcp_info.parse(never, 1.0) is None


# --- a wait that is over ------------------------------------------------------------------------------------------------


class Sock:
    """As much of a socket as is remembered."""


@pytest.mark.parametrize(
    ("known", "sent_ago", "expected"),
    [
        ({}, 1.0, Lost(0.0, 0, 0.001)),
        ({"round_trip": 0.06}, 1.0, Lost(0.06, 0, 0.06)),
        # sent again twice, the last time 0.4 s ago
        ({"retransmitted": 2, "sent_ago": 0.4, "busy": 0.6}, 1.0, Lost(0.601, 2, 0.001)),
        # only the acknowledgement was lost: the other side says that it had the request already
        ({"retransmitted": 2, "sent_ago": 0.4, "busy": 0.6, "duplicates": 2}, 1.0, Lost(0.0, 2, 0.001)),
        # sent again, but not since the request: nothing says that this wait is longer for it
        ({"retransmitted": 1, "sent_ago": 1.0}, 1.0, Lost(0.0, 1, 0.001)),
        # sent late, says one number; nothing was on its way, says another
        ({"retransmitted": 1, "sent_ago": 0.4, "busy": 0.01}, 1.0, Lost(0.0, 1, 0.001)),
    ],
)
def test_what_the_network_took(known: dict[str, Any], sent_ago: float, expected: Lost) -> None:
    assert Connections().lost(Sock(), info(**known), sent_ago) == pytest.approx(expected)


def test_of_a_request_that_never_got_through_it_is_all_of_the_wait() -> None:
    found = Connections().lost(Sock(), info(retransmitted=3, unacked=1, sent_ago=0.8, busy=3.0), 3.0, answered=False)
    assert found == pytest.approx(Lost(3.001, 3, 0.001))


def test_what_was_sent_again_before_is_not_counted_twice() -> None:
    connections, sock = Connections(), Sock()
    assert connections.lost(sock, info(retransmitted=2, sent_ago=0.4, busy=0.6), 1.0).retransmits == 2
    assert connections.lost(sock, info(retransmitted=2), 1.0) == Lost(0.0, 0, 0.001)
    connections.note(sock, info(retransmitted=5))  # sent again while the request was sent
    assert connections.lost(sock, info(retransmitted=6, sent_ago=0.4, busy=2.0), 1.0).retransmits == 1


def test_a_connection_that_is_gone_is_forgotten_and_its_number_is_anothers() -> None:
    connections, sock = Connections(), Sock()
    connections.lost(sock, info(retransmitted=2), 1.0)
    assert connections._totals
    del sock
    gc.collect()
    assert not connections._totals


def test_where_nothing_can_be_remembered_nothing_is_counted() -> None:
    assert Connections().lost(object(), info(retransmitted=2, sent_ago=0.4, busy=0.6), 1.0).retransmits == 0


# --- a call that hangs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ({}, NetworkState.ACKNOWLEDGED),
        ({"unacked": 1}, NetworkState.UNACKNOWLEDGED),
        ({"not_sent": 100}, NetworkState.UNACKNOWLEDGED),
        ({"state": CLOSE_WAIT}, NetworkState.CLOSED_BY_PEER),
        ({"probes": 3}, NetworkState.UNACKNOWLEDGED),
        ({"probes": 1}, NetworkState.ACKNOWLEDGED),
        ({"state": 7}, None),
        ({"state": 2}, None),
    ],
)
def test_whose_silence_it_is(known: dict[str, Any], state: str | None) -> None:
    found = Connections().silence(Sock(), info(**known), 1.0)
    assert (found and found.state) == state


def test_an_acknowledgement_may_take_a_while() -> None:
    assert Connections().silence(Sock(), info(unacked=1, sent_ago=0.1), 0.1) is None


def test_it_says_how_often_and_for_how_long() -> None:
    found = Connections().silence(Sock(), info(unacked=1, retransmitted=4, heard_ago=5.0, received_ago=7.0), 6.0)
    assert found is not None
    assert found[:3] == (NetworkState.UNACKNOWLEDGED, 4, 5.0)


@linux
def test_a_socket_may_be_closed_while_it_is_asked() -> None:
    """Its number in the kernel is soon somebody else's: nothing is said of that."""
    stop = threading.Event()
    socks: list[socket.socket] = []
    found: list[TcpInfo | None] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def churn() -> None:
            while not stop.is_set():
                with socket.create_connection(server.getsockname()) as client:
                    socks[:] = [client]
                    peer, _ = server.accept()
                    peer.close()

        thread = threading.Thread(target=churn)
        thread.start()
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            found += [tcp_info.read(sock) for sock in socks]
        stop.set()
        thread.join()
    assert {one.state for one in found if one is not None} <= {ESTABLISHED, CLOSE_WAIT}
