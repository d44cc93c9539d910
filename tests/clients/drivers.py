"""One small class per client and transport: how to build it and how to run one call to its end.

A contract test is written once, against `Driver`, and runs for every driver whose library is installed. A new client
is one subclass here with a `name`: nothing else has to know it. Which drivers an environment must have is said by
noxfile.py's rows (`OTEL_CONSUL_EXPECT_DRIVERS`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import importlib.metadata
import inspect
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal

Style = Literal["sync", "asyncio", "tornado", "twisted"]

HOST = "127.0.0.1"
DISTRIBUTIONS_NAMED_CONSUL = ("py-consul", "python-consul", "python-consul2")
CALL_LIMIT = 30.0
"""Seconds after which a call of a test is given up: longer than any time-out a test waits for."""


def version(distribution: str) -> tuple[int, ...] | None:
    """The installed version's numbers, or None."""
    try:
        text = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


def why_not_importable(*modules: str) -> str | None:
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # an old library on a new Python fails in many ways
            return f"import {module}: {type(error).__name__}: {error}"
    return None


def method_of(client: Any, operation: str) -> Callable[..., Any]:
    """`client.kv.get` for ``kv.get``."""
    return functools.reduce(getattr, operation.split("."), client)  # type: ignore[no-any-return]


class Driver(ABC):
    """How to use one client through one transport. One instance serves one test; `shutdown` ends all it opened."""

    name: ClassVar[str]
    style: ClassVar[Style]
    deadline: str | None = None
    """`consul.deadline` of a plain call on a client made without a time-out; None: nobody can know."""
    has_timeout = False
    """Whether `make(timeout=...)` is understood; else no time-out can be set on this client."""
    timeout_deadline: str | None = None
    """`consul.deadline` of a client made with a time-out."""
    blocking = True
    """Whether blocking queries can be asked for (`index=`, `wait=`)."""
    hides = frozenset[int]()
    """Statuses for which the transport raises before it calls back: only its own signals can tell the status."""

    @classmethod
    @abstractmethod
    def why_not(cls) -> str | None:
        """Why this driver cannot be used here, or None."""

    @abstractmethod
    def make(self, port: int, *, token: str | None = None, timeout: float | None = None, **options: Any) -> Any:
        """A client of the agent at this port."""

    @abstractmethod
    def run(self, function: Callable[[], Any]) -> Any:
        """Call the function where this transport's calls must be made, and wait for what it gives. Raises what it raises."""

    @abstractmethod
    def gather(self, functions: Iterable[Callable[[], Any]], concurrency: int) -> list[Any]:
        """Run all, at most `concurrency` at a time; values or exceptions, in order."""

    def call(self, client: Any, operation: str, /, *args: Any, **kwargs: Any) -> Any:
        """One call, run to its end: the value, or the exception raised."""
        return self.run(functools.partial(method_of(client, operation), *args, **kwargs))

    def many(self, client: Any, number: int, concurrency: int, operation: str, /, *args: Any, **kw: Any) -> list[Any]:
        """The same call `number` times."""
        call = functools.partial(method_of(client, operation), *args, **kw)
        return self.gather([call] * number, concurrency)

    def outcome(self, client: Any, operation: str, /, *args: Any, **kwargs: Any) -> Any:
        """What the caller got: the value or the exception."""
        try:
            return self.call(client, operation, *args, **kwargs)
        except BaseException as error:  # a cancellation is a result here
            return error

    def through_seam(self, client: Any, callback: Callable[[Any], Any], path: str) -> Any:
        """A GET with a callback of the test's own, where this library has such a thing."""
        return self.run(lambda: client.http.get(callback, path))

    def close(self, client: Any) -> None:  # noqa: B027 -- some keep no connection
        """Close the client's connections."""

    def shutdown(self) -> None:  # noqa: B027 -- as close
        """End everything this driver opened."""

    def __repr__(self) -> str:
        return self.name


# --- the four ways to run a call -----------------------------------------------------------------------------------


class Sync(Driver):
    style = "sync"

    def run(self, function: Callable[[], Any]) -> Any:
        return function()

    def gather(self, functions: Iterable[Callable[[], Any]], concurrency: int) -> list[Any]:
        def outcome(function: Callable[[], Any]) -> Any:
            try:
                return function()
            except BaseException as error:
                return error

        with ThreadPoolExecutor(concurrency) as pool:
            return list(pool.map(outcome, functions))


class Asyncio(Driver):
    """Calls run on a loop of this driver's own, in the test's thread."""

    style = "asyncio"
    deadline = "total"  # aiohttp's 300 s

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._clients: list[Any] = []

    @abstractmethod
    def build(self, port: int, token: str | None, timeout: float | None, **options: Any) -> Any:
        """Make the client; a loop is running."""

    def make(self, port: int, *, token: str | None = None, timeout: float | None = None, **options: Any) -> Any:
        async def build() -> Any:  # constructors look for the running loop
            return self.build(port, token, timeout, **options)

        client = self.loop.run_until_complete(build())
        self._clients.append(client)
        return client

    def run(self, function: Callable[[], Any]) -> Any:
        async def run() -> Any:
            # A task of its own, as `asyncio.run` and servers have it: a leaked context would show.
            return await asyncio.wait_for(_task(function), CALL_LIMIT)

        return self.loop.run_until_complete(run())

    def gather(self, functions: Iterable[Callable[[], Any]], concurrency: int) -> list[Any]:
        async def gather() -> list[Any]:
            gate = asyncio.Semaphore(concurrency)

            async def one(function: Callable[[], Any]) -> Any:
                async with gate:
                    return await function()

            return await asyncio.gather(*(one(f) for f in functions), return_exceptions=True)

        return self.loop.run_until_complete(gather())

    def cancelled(self, function: Callable[[], Any], when: Callable[[], bool]) -> Any:
        """Start the call, cancel it once `when()` holds: what the caller got."""

        async def cancel() -> Any:
            task = _task(function)
            while not when() and not task.done():  # noqa: ASYNC110 -- what it waits for happens in another thread
                await asyncio.sleep(0.005)
            task.cancel()
            return (await asyncio.gather(task, return_exceptions=True))[0]

        return self.loop.run_until_complete(cancel())

    def expired(self, function: Callable[[], Any], seconds: float, how: str) -> Any:
        """The call under an expiring `asyncio.wait_for` or `asyncio.timeout`: what the caller got."""

        async def expire() -> Any:
            try:
                if how == "wait_for":
                    return await asyncio.wait_for(_awaiting(function), seconds)
                async with asyncio.timeout(seconds):  # type: ignore[attr-defined]
                    return await function()
            except BaseException as error:
                return error

        return self.loop.run_until_complete(expire())

    def close(self, client: Any) -> None:
        session = getattr(client.http, "_session", None)
        if session is not None and not session.closed:
            self.loop.run_until_complete(session.close())

    def shutdown(self) -> None:
        for client in self._clients:
            self.close(client)
        self._clients.clear()
        self.loop.run_until_complete(_end_other_tasks())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


async def _end_other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)


async def _awaiting(function: Callable[[], Any]) -> Any:
    return await function()


def _task(function: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(_awaiting(function))


class Tornado(Asyncio):
    """Tornado runs on asyncio; its calls start at once and give a Future."""

    style = "tornado"  # type: ignore[assignment]
    deadline = "total"  # tornado's 20 s
    has_timeout = True
    timeout_deadline = "total"

    @classmethod
    def why_not(cls) -> str | None:
        return why_not_importable("consul.tornado")

    def build(self, port: int, token: str | None, timeout: float | None, **options: Any) -> Any:
        from consul.tornado import Consul
        from tornado.httpclient import AsyncHTTPClient

        client = Consul(HOST, port, token=token, **options)
        # Else all clients of a loop share one AsyncHTTPClient. Its defaults are the only way to a time-out here.
        defaults = {} if timeout is None else {"request_timeout": timeout}
        client.http.client = AsyncHTTPClient(force_instance=True, defaults=defaults)
        return client

    def close(self, client: Any) -> None:
        client.http.client.close()


class Twisted(Driver):
    """Twisted has one reactor for the process: it runs in a daemon thread, as crochet does it."""

    style = "twisted"
    deadline = "none"
    _reactor_lock = threading.Lock()

    def __init__(self) -> None:
        self._clients: list[Any] = []

    @classmethod
    def why_not(cls) -> str | None:
        return why_not_importable("consul.twisted")

    @classmethod
    def reactor(cls) -> Any:
        from twisted.internet import reactor

        with cls._reactor_lock:
            if not reactor.running:
                ready = threading.Event()
                reactor.callWhenRunning(ready.set)
                threading.Thread(
                    target=reactor.run, kwargs={"installSignalHandlers": False}, name="twisted-reactor", daemon=True
                ).start()
                ready.wait(10)
        return reactor

    def _in_reactor(self, function: Callable[[], Any]) -> Any:
        from twisted.internet.threads import blockingCallFromThread

        return blockingCallFromThread(self.reactor(), function)

    def make(self, port: int, *, token: str | None = None, timeout: float | None = None, **options: Any) -> Any:
        from consul.twisted import Consul

        assert timeout is None, "this transport has no time-out"
        client = self._in_reactor(lambda: Consul(HOST, port, token=token, **options))
        self._clients.append(client)
        return client

    def run(self, function: Callable[[], Any]) -> Any:
        return self._in_reactor(function)

    def gather(self, functions: Iterable[Callable[[], Any]], concurrency: int) -> list[Any]:
        from twisted.internet.defer import DeferredSemaphore, gatherResults

        def gather() -> Any:
            gate = DeferredSemaphore(concurrency)
            return gatherResults([gate.run(f).addErrback(lambda failure: failure.value) for f in functions])

        return list(self._in_reactor(gather))

    def cancelled(self, function: Callable[[], Any], when: Callable[[], bool]) -> Any:
        from twisted.internet.task import LoopingCall

        def cancel() -> Any:
            deferred = function()

            def look() -> None:
                if when() or deferred.called:
                    looking.stop()
                    deferred.cancel()

            looking = LoopingCall(look)
            looking.start(0.005)
            return deferred.addErrback(lambda failure: failure.value)

        return self._in_reactor(cancel)

    def close(self, client: Any) -> None:
        self._in_reactor(client.http.client._agent._pool.closeCachedConnections)

    def shutdown(self) -> None:
        for client in self._clients:
            self.close(client)
        self._clients.clear()


# --- the libraries that install the package `consul` ------------------------------------------------------------------


class OfDistribution(Driver):
    """A driver of one of the distributions whose import name is `consul`; they exclude each other."""

    distribution: ClassVar[str]

    @classmethod
    def why_not(cls) -> str | None:
        if version(cls.distribution) is None:
            return f"{cls.distribution} is not installed"
        return super().why_not()


class ConsulStd(Sync):
    deadline = "none"
    timeout_option: ClassVar[str | None] = None
    """The constructor's name for a time-out."""

    @classmethod
    def why_not(cls) -> str | None:
        return why_not_importable("consul.std")

    def make(self, port: int, *, token: str | None = None, timeout: float | None = None, **options: Any) -> Any:
        import consul

        if timeout is not None:
            assert self.timeout_option, "no time-out can be set on this client"
            options[self.timeout_option] = timeout
        return consul.Consul(HOST, port, token=token, **options)

    def close(self, client: Any) -> None:
        client.http.session.close()


class ConsulAio(Asyncio):
    timeout_option: ClassVar[str | None] = None

    @classmethod
    def why_not(cls) -> str | None:
        return why_not_importable("consul.aio")

    def build(self, port: int, token: str | None, timeout: float | None, **options: Any) -> Any:
        from consul.aio import Consul

        if timeout is not None:
            assert self.timeout_option, "no time-out can be set on this client"
            options[self.timeout_option] = timeout
        return Consul(HOST, port, token=token, **options)


class PlainObject(Sync):
    """A transport of the user's own that inherits from nothing and makes its verbs in `__getattr__`."""

    deadline = None

    @classmethod
    def why_not(cls) -> str | None:
        return why_not_importable("consul.base")

    def make(self, port: int, *, token: str | None = None, timeout: float | None = None, **options: Any) -> Any:
        assert timeout is None, "no time-out can be set on this client"
        return plain_object_client(HttpClientTransport, HOST, port, token=token, **options)


class HttpClientTransport:
    """The standard library's http.client behind the four verbs."""

    def __init__(self, host: str, port: int, *_: Any, **__: Any) -> None:
        self.base_uri = f"http://{host}:{port}"
        self.address = host, port

    def __getattr__(self, verb: str) -> Any:
        if verb not in ("get", "put", "post", "delete"):
            raise AttributeError(verb)

        def send(callback: Any, path: str, params: Any = None, data: Any = "", headers: Any = None, **_: Any) -> Any:
            from http.client import HTTPConnection
            from urllib.parse import quote, urlencode

            from consul import base

            query = f"?{urlencode(params)}" if params else ""
            connection = HTTPConnection(*self.address)
            with contextlib.closing(connection):
                connection.request(verb.upper(), quote(path, safe="/:") + query, data or None, headers or {})
                answer = connection.getresponse()
                body = answer.read()
            fields = {"code": answer.status, "headers": answer.headers, "body": body.decode(), "content": body}
            return callback(base.Response(*(fields[name] for name in base.Response._fields)))

        return send


def plain_object_client(transport: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A client written as Patroni's is: its own subclass, both names of the constructor's hook."""
    from consul import base

    class Client(base.Consul):  # type: ignore[misc]
        def http_connect(self, *args: Any, **kwargs: Any) -> Any:
            return transport(*args, **kwargs)

        connect = http_connect  # the hook's name before py-consul 1.2.1, and in python-consul

    return Client(*args, **kwargs)


PY_CONSUL = version("py-consul") or ()


class PyConsulStd(OfDistribution, ConsulStd):
    name = "py-consul/std"
    distribution = "py-consul"
    has_timeout = PY_CONSUL >= (1, 8)
    timeout_option = "connections_timeout"
    deadline = "per_read" if has_timeout else "none"
    timeout_deadline = "per_read"


class PyConsulAio(OfDistribution, ConsulAio):
    name = "py-consul/aio"
    distribution = "py-consul"
    has_timeout = PY_CONSUL >= (1, 1, 5)  # before: none, or accepted and ignored
    timeout_option = "connections_timeout"
    timeout_deadline = "total"


class PyConsulTornado(OfDistribution, Tornado):
    name = "py-consul/tornado"
    distribution = "py-consul"


class PyConsulTwisted(OfDistribution, Twisted):
    name = "py-consul/twisted"
    distribution = "py-consul"


class PyConsulPlainObject(OfDistribution, PlainObject):
    name = "py-consul/plain-object"
    distribution = "py-consul"


class PythonConsulStd(OfDistribution, ConsulStd):
    name = "python-consul/std"
    distribution = "python-consul"


class PythonConsulAio(OfDistribution, ConsulAio):
    name = "python-consul/aio"
    distribution = "python-consul"


class PythonConsulTornado(OfDistribution, Tornado):
    name = "python-consul/tornado"
    distribution = "python-consul"


class PythonConsulTwisted(OfDistribution, Twisted):
    name = "python-consul/twisted"
    distribution = "python-consul"


class PythonConsulPlainObject(OfDistribution, PlainObject):
    name = "python-consul/plain-object"
    distribution = "python-consul"


class PythonConsul2Std(OfDistribution, ConsulStd):
    name = "python-consul2/std"
    distribution = "python-consul2"
    has_timeout = True
    timeout_option = "timeout"
    timeout_deadline = "per_read"


class PythonConsul2Aio(OfDistribution, ConsulAio):
    name = "python-consul2/aio"
    distribution = "python-consul2"


class PythonConsul2Tornado(OfDistribution, Tornado):
    name = "python-consul2/tornado"
    distribution = "python-consul2"


class PythonConsul2Twisted(OfDistribution, Twisted):
    name = "python-consul2/twisted"
    distribution = "python-consul2"


class PythonConsul2PlainObject(OfDistribution, PlainObject):
    name = "python-consul2/plain-object"
    distribution = "python-consul2"


# --- the others ---------------------------------------------------------------------------------------------------


class Consulate(Sync):
    name = "consulate/requests"
    deadline = "none"
    has_timeout = True
    timeout_deadline = "per_read"
    blocking = False

    @classmethod
    def why_not(cls) -> str | None:
        return why_not_importable("consulate")

    def make(self, port: int, *, token: str | None = None, timeout: float | None = None, **options: Any) -> Any:
        import consulate

        adapter = functools.partial(consulate.adapters.Request, timeout=timeout)
        return consulate.Consul(HOST, port, token=token, adapter=adapter, **options)

    def through_seam(self, client: Any, callback: Callable[[Any], Any], path: str) -> Any:
        raise NotImplementedError("consulate's calls take no callback")

    def close(self, client: Any) -> None:
        client._adapter.session.close()


class Patroni(Sync):
    name = "patroni/urllib3"
    hides = frozenset({500})
    deadline = "per_read"
    has_timeout = True
    timeout_deadline = "per_read"

    @classmethod
    def why_not(cls) -> str | None:
        return why_not_importable("patroni.dcs.consul")

    def make(self, port: int, *, token: str | None = None, timeout: float | None = None, **options: Any) -> Any:
        from patroni.dcs.consul import ConsulClient

        client = ConsulClient(host=HOST, port=port, token=token, **options)
        if timeout is not None:
            client.http.set_read_timeout(timeout * 3)  # Patroni takes a third of its retry time-out
        return client

    def close(self, client: Any) -> None:
        client.http.http.clear()


def every_driver() -> list[type[Driver]]:
    """Each concrete driver of this module, in the order written."""
    return [
        item
        for item in vars(sys.modules[__name__]).values()
        if inspect.isclass(item) and issubclass(item, Driver) and not inspect.isabstract(item) and hasattr(item, "name")
    ]


def available() -> list[type[Driver]]:
    """The drivers that can be used in this environment."""
    return [driver for driver in every_driver() if driver.why_not() is None]
