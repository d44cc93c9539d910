"""The stand-in agent: real sockets, a thread per connection, faults on demand."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.limits import allow_many_files
from testbed.stub_agent.api import Api
from testbed.stub_agent.connection import Connection, Gone
from testbed.stub_agent.control import CONTROL_PREFIX, control
from testbed.stub_agent.faults import Fault, Faults, Gate, Injected
from testbed.stub_agent.messages import Answer, Request
from testbed.stub_agent.tls import server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

_STOP_SECONDS = 10.0
_ENDED_THREADS = 100
"""Beyond so many, threads that have ended are forgotten."""


class StubAgent:
    """`with StubAgent() as agent:` an agent on `agent.base_url`, from then until the block ends.

    `port` 0 takes a free one. `tls` speaks HTTPS with a certificate of its own (`ca_file`), shaking hands
    `delay_handshake` seconds late (math.inf: never).
    """

    def __init__(
        self, port: int = 0, *, host: str = "127.0.0.1", tls: bool = False, delay_handshake: float = 0.0
    ) -> None:
        self.host = host
        self.delay_handshake = delay_handshake
        self.api = Api(host)
        self.faults = Faults()
        self.ca_file: Path | None = None
        self._tls: ssl.SSLContext | None = None
        self.port = port
        self._wants_tls = tls
        self._requests: list[Request] = []
        self._seen = threading.Condition()
        self._connections: dict[int, Connection] = {}
        self._accepted = 0
        self._stopping = Gate()
        self._threads: list[threading.Thread] = []
        """Those that have not ended, and some that have: none takes itself out, for then stop() would not wait for it."""

    # What happened

    @property
    def requests(self) -> list[Request]:
        """What clients sent, oldest first, each listed before it is answered. Control requests are not in it."""
        with self._seen:
            return list(self._requests)

    def wait_for_requests(self, count: int, path: str = "*", timeout: float = 5.0) -> list[Request]:
        """The requests that fit the glob, once they are `count`. TimeoutError after `timeout` seconds."""
        fits = Fault(path=path).matches

        def found() -> list[Request] | None:
            fitting = [r for r in self._requests if fits(r)]
            return fitting if len(fitting) >= count else None

        with self._seen:
            result = self._seen.wait_for(found, timeout)
        if result is None:
            raise TimeoutError(f"{path}: fewer than {count} requests in {timeout} s")
        return result

    def forget_requests(self) -> None:
        with self._seen:
            self._requests.clear()

    @property
    def connections_accepted(self) -> int:
        return self._accepted

    @property
    def connections_open(self) -> int:
        with self._seen:
            return len(self._connections)

    # What shall happen

    def fault(self, path: str = "*", **what: Any) -> Injected:
        """From now on, this happens to requests for `path` (a glob): the fields of `Fault`.

        The first fault that fits a request is taken, in the order they were made.
        """
        return self.faults.add(Fault(path=path, **what))

    def heal(self) -> None:
        """End all faults; answers they held back go on."""
        self.faults.release()

    def put(self, key: str, value: bytes | str) -> None:
        """Write a key as if another client had: wakes whoever blocks on it."""
        with self.api.world.changed:
            self.api.kv.put(key, value.encode() if isinstance(value, str) else value)

    def fill(self, prefix: str, megabytes: float, keys: int = 8) -> None:
        """Put so much under `prefix` that a recursive read of it has a body of about `megabytes`."""
        self.api.fill(prefix, megabytes, keys)

    # Life

    @property
    def base_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def start(self) -> Self:
        """OSError when the port is taken, RuntimeError when TLS cannot be had."""
        if self._wants_tls:
            self._folder = tempfile.TemporaryDirectory()
            self._tls, self.ca_file = server_context(Path(self._folder.name))
        allow_many_files()
        self._listener = socket.create_server((self.host, self.port), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self._acceptor = self._spawn(self._accept)
        return self

    def stop(self) -> None:
        """End every connection, held answers included, and wait for every thread. Safe to call twice."""
        end = time.monotonic() + _STOP_SECONDS
        self._stopping.open()
        self.api.world.close()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close() would not
        self._acceptor.join(_STOP_SECONDS)  # from here on nobody comes
        with self._seen:
            connections, threads = list(self._connections.values()), list(self._threads)
        for connection in connections:
            connection.shut()
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._listener.close()
        if self._wants_tls:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # Within

    def _spawn(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, name=f"stub-agent {self.port}", daemon=True)
        with self._seen:
            if len(self._threads) > 2 * len(self._connections) + _ENDED_THREADS:
                self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()  # still with the lock: stop() cannot join what has not started
        return thread

    def _accept(self) -> None:
        while not self._stopping.is_open:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._seen:
                self._accepted += 1
                connection = Connection(sock, self._accepted, self._stopping)
                self._connections[self._accepted] = connection
            self._spawn(self._serve, connection)

    def _serve(self, connection: Connection) -> None:
        try:
            if self._stopping.is_open:
                return
            if self._tls is not None:
                connection.start_tls(self._tls, self.delay_handshake)
            connection.serve(self._answer)
        except (Gone, OSError, ValueError):
            pass  # the client went away, or was sent away on purpose
        finally:
            with self._seen:
                self._connections.pop(connection.number, None)
            connection.close()

    def _answer(self, request: Request) -> tuple[Answer, Injected | None]:
        if request.path.startswith(CONTROL_PREFIX):
            return control(request, self.faults, self.requests), None
        with self._seen:
            self._requests.append(request)
            self._seen.notify_all()
        injected = self.faults.take(request)
        if injected is None:
            return self.api.answer(request), None
        fault = injected.fault
        answer = replace_answer(fault) if fault.replaces_answer else self.api.answer(request)
        return disguised(answer, fault), injected


def replace_answer(fault: Fault) -> Answer:
    """The answer a fault gives in place of Consul's."""
    status = fault.status or (302 if fault.redirect is not None else 200)
    kind = "application/json" if status == 200 else "text/plain; charset=utf-8"
    headers = {"Content-Type": kind} | ({"Location": fault.redirect} if fault.redirect is not None else {})
    return Answer(status, headers=headers)


def disguised(answer: Answer, fault: Fault) -> Answer:
    """The answer with the fault's body and headers."""
    headers = dict(answer.headers)
    body = answer.body if fault.body is None else fault.body
    if fault.known_leader is not None:
        headers["X-Consul-Knownleader"] = str(fault.known_leader).lower()
    if fault.last_contact is not None:
        headers["X-Consul-Lastcontact"] = str(fault.last_contact)
    headers |= fault.headers
    dropped = {name.lower() for name in fault.drop_headers}
    return replace(answer, body=body, headers={k: v for k, v in headers.items() if k.lower() not in dropped})
