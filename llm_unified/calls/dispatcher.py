"""What all calls of one service share: the configuration in force, turns and cooldowns, connections."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from llm_unified.calls.chain import Chain
from llm_unified.calls.ledger import Ledger, tell_news
from llm_unified.calls.request import Asked
from llm_unified.engine.engine import Engine
from llm_unified.forksafe import ForkSafeLock, after_fork
from llm_unified.observe.publisher import Publisher
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.fleet import Fleet
from llm_unified.pool.rotation import Rotation
from llm_unified.pool.upstream import Upstream
from llm_unified.settings import Settings
from llm_unified.wire.connections import Connections
from llm_unified.wire.transport import ConnectionPool

__all__ = ["Dispatcher"]


class Dispatcher:
    """Begins the calls of one service. Safe from any event loop of any thread."""

    def __init__(
        self,
        engine: Engine,
        connections: Connections[ConnectionPool],
        *,
        publisher: Publisher,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.engine = engine
        self.connections = connections
        self.rotation = Rotation(
            engine.deployments.values(),
            threshold=engine.settings.failure_threshold,
            cooldown=engine.settings.cooldown,
            clock=clock,
            elsewhere=functools.partial(tell_news, publisher),
        )
        self.ledger = Ledger(self.rotation, _fleet(engine.settings), publisher)
        self._sleep = sleep
        self._lock = ForkSafeLock()
        self._closed = False
        self._busy: Counter[Engine] = Counter()
        self.enough_tokens: dict[str, int] = {}
        """Endpoints that refused a ping for one token, and what they get instead (`ping`)."""
        after_fork(self)

    @property
    def settings(self) -> Settings:
        return self.engine.settings

    def chain(self, asked: Asked) -> _Call:
        """The chain of one call, which keeps its configuration and connections until it is over."""
        return _Call(self, asked)

    async def begin(self, engine: Engine, asked: Asked) -> Chain:
        """A call on this configuration.

        Raises:
            ConfigurationError: the request names a provider that this configuration does not have.
        """
        request = asked(engine.settings)
        pools = await self.connections.here()
        if self.ledger.fleet is not None:
            await self.ledger.fleet.refresh(engine.deployments, self.rotation)
        return Chain(
            request,
            engine,
            self.rotation,
            self.ledger,
            pools,
            sleep=self._sleep,
            closed=lambda: self._closed,
            superseded=lambda: self.engine is not engine,
        )

    def take(self) -> Engine:
        """The configuration in force, kept until it is given back as often as it was taken."""
        with self._lock:
            self._busy[self.engine] += 1
            return self.engine

    def give_back(self, engine: Engine) -> None:
        """A call on this configuration is over."""
        with self._lock:
            self._busy[engine] -= 1
            over = not self._busy[engine] and engine is not self.engine
            if over:
                del self._busy[engine]
        if over:
            self._retire()

    async def pool_of(self, deployment: Deployment) -> ConnectionPool | None:
        """This deployment's connections in this loop; ``None`` where LiteLLM uses its own."""
        return self.engine.pool(deployment, await self.connections.here())

    def sockets(self) -> dict[Upstream, tuple[int, int]]:
        """Each deployment's connections ``(busy, idle)``, in all event loops together."""
        found = {}
        for upstream, key in self.engine.connections():
            pairs = [pool.sockets for pool in self.connections.everywhere(key)]
            found[upstream] = sum(busy for busy, _ in pairs), sum(idle for _, idle in pairs)
        return found

    def timeout_of(self, provider: str) -> float:
        """Seconds for one attempt."""
        return self.settings.provider(provider).timeout or self.settings.timeout

    # -- another configuration -------------------------------------------------------------------

    def replace(self, engine: Engine) -> None:
        """Calls from now on go to ``engine``; those under way end where they are.

        Raises:
            ConfigurationError: Redis cannot be used; nothing has changed.
        """
        same_fleet = engine.settings.redis_url == self.settings.redis_url
        fleet = self.ledger.fleet if same_fleet else _fleet(engine.settings)  # may raise: first
        for deployment in engine.changed(self.engine):
            self.rotation.forget(deployment)
        self.rotation.replace(
            engine.deployments.values(),
            threshold=engine.settings.failure_threshold,
            cooldown=engine.settings.cooldown,
        )
        with self._lock:
            self.engine, self.ledger.fleet = engine, fleet
        self._retire()

    def _retire(self) -> None:
        """Close what neither this configuration nor a call under way needs."""
        with self._lock:
            needed = {self.engine, *(engine for engine, calls in self._busy.items() if calls)}
        self.connections.retire(frozenset().union(*(engine.connection_keys for engine in needed)))

    def after_fork(self) -> None:
        """In the child: the calls under way are the parent's."""
        self._busy.clear()

    async def aclose(self) -> None:
        """Close all sockets, in whatever loops they are; calls under way end."""
        self._closed = True
        if self.ledger.fleet is not None:
            await self.ledger.fleet.aclose()
        await self.connections.aclose()
        await self.engine.aclose()


def _fleet(settings: Settings) -> Fleet | None:
    url = settings.redis_url
    return None if url is None else Fleet(url.get_secret_value())


class _Call:
    """``async with`` one call. No generator: an event loop that ends closes all of them at once, in any order."""

    __slots__ = ("_asked", "_dispatcher", "_engine")

    def __init__(self, dispatcher: Dispatcher, asked: Asked) -> None:
        self._dispatcher, self._asked = dispatcher, asked

    async def __aenter__(self) -> Chain:
        self._engine = engine = self._dispatcher.take()
        try:
            return await self._dispatcher.begin(engine, self._asked)
        except BaseException:
            self._dispatcher.give_back(engine)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._dispatcher.give_back(self._engine)
