"""Keeps the pool warm: a task that pings what nobody used, and finds out who is well again.

`next_ping` is the whole rule of who is pinged when; it is pure. `ConnectionWarmer` asks it, sends the pings
that are due (see `llm_unified.probe`) and sleeps until the next. Users' requests and pings of
anybody else move the plan, because each attempt of the service is seen here.
"""

from __future__ import annotations

import asyncio
import functools
import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, retry_if_result

from llm_unified.errors import ServiceClosedError
from llm_unified.service import get_llm_service
from llm_unified.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from llm_unified.dispatch import Dispatcher
    from llm_unified.engine import Engine
    from llm_unified.pool.deployments import Deployment
    from llm_unified.response import Attempt
    from llm_unified.service import UnifiedLLMService

__all__ = ["ConnectionWarmer", "Copy", "due", "get_llm_warmer", "next_ping"]

IN_USE: Final = 10.0
"""Intervals for which a provider counts as in use after a user's request."""
IDLE: Final = 4.0
"""Intervals between two pings of an idle fallback …"""
COLD: Final = 200.0
"""… but at most so many seconds: load balancers forget a connection after 240 s and more."""
AGAIN: Final = 0.25
"""Intervals to wait after a ping that failed."""
LEAD: Final = 1.0
"""Seconds by which the warmer's trial comes before the end of a rest, at most a quarter of it."""
_SHORTEST_NAP: Final = 0.05
_PATIENCE: Final = (5.0, 10.0)  # seconds for one ping: at least, at most; between them the interval


@dataclass(frozen=True, slots=True)
class Copy:
    """One pool copy at one moment, as `next_ping` sees it. Durations in seconds; ``None``: never."""

    id: str
    provider: str
    rank: int = 0
    """The provider's place in the chain; 0 is asked first."""
    idle: float | None = None
    """Since its connection carried an answer, a user's or a ping's; ``None`` also once it broke."""
    unused: float | None = None
    """Since a user's request to the provider, by whatever copy."""
    failed: float | None = None
    """Since its connection broke or could not be made; ``None`` once it carried an answer again."""
    rests: float = 0.0
    """Until a ping may be sent."""
    trial: bool = False
    """That ping decides whether it rests again."""


def in_use(copy: Copy, interval: float) -> bool:
    """Whether a user's request will probably go there: the first of the chain, or recently asked."""
    return copy.rank == 0 or (copy.unused is not None and copy.unused < IN_USE * interval)


def next_ping(copy: Copy, interval: float) -> float:
    """Seconds until this copy is to be pinged; not positive: now.

    1. Never before its rest is over, and a trial as soon as it is due: whoever is well again is noticed.
    2. After its connection broke: not before a quarter of the interval.
    3. A provider in use (`in_use`): when the connection carried nothing for one interval.
    4. An idle fallback: after four intervals, but at most 200 s, so that it never cools fully.
    """
    if copy.trial:
        return copy.rests
    silence = interval if in_use(copy, interval) else max(interval, min(IDLE * interval, COLD))
    wait = 0.0 if copy.idle is None else silence - copy.idle
    again = 0.0 if copy.failed is None else AGAIN * interval - copy.failed
    return max(copy.rests, wait, again)


def due(copies: Iterable[Copy], interval: float) -> list[Copy]:
    """Those to be pinged now: providers in use first, then by place in the chain, the quietest first."""
    return sorted(
        (copy for copy in copies if next_ping(copy, interval) <= 0.0),
        key=lambda copy: (
            not in_use(copy, interval),
            copy.rank,
            -math.inf if copy.idle is None else -copy.idle,
        ),
    )


class ConnectionWarmer:
    """Pings the copies of a service's pool, by `next_ping`, until it is stopped.

    Does nothing at all unless ``LLM_ENABLE_CONNECTION_WARMING``. `start` and `stop` may be called any
    number of times, from any event loop; sockets belong to the loop in which `start` was called.
    """

    def __init__(
        self,
        service: UnifiedLLMService | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``service``: ``None`` is the process's own, as it is when `start` is called."""
        self._given = service
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._task: asyncio.Task[None] | None = None
        self._service: UnifiedLLMService | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._rounds = self._crashes = 0
        self._first = asyncio.Event()
        self._skipped: Counter[str] = Counter()
        self._forget()

    def _forget(self) -> None:
        """Nothing is known of the connections of a new loop."""
        self._began: float | None = None  # copies that carried nothing count as used at that moment
        self._carried: dict[str, float] = {}
        self._failed: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._planned: dict[str, float] = {}
        self._engine: Engine | None = None

    @property
    def service(self) -> UnifiedLLMService:
        """Whose connections are kept warm."""
        return self._service or self._given or get_llm_service()

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin, in this event loop; with ``LLM_WARM_ON_STARTUP`` all copies are pinged at once.

        Returns at once. Does nothing if it runs, or if warming is not enabled.

        Raises:
            ConfigurationError: there is no service yet, and the environment does not make one.
        """
        with self._lock:
            if self.running:
                return
            self._drop(self._task)
            self._service = self._given or get_llm_service()
            settings = self._service.settings
            if not settings.enable_connection_warming:
                return
            self._forget()
            self._began = None if settings.warm_on_startup else self._clock()
            self._unsubscribe = self._service.subscribe(self._note)
            self._first = asyncio.Event()
            work = self._run(self._unsubscribe, self._first)
            self._task = asyncio.get_running_loop().create_task(work, name="llm-unified-warmer")

    async def stop(self) -> None:
        """End it and wait until it has ended; a ping under way is cancelled and its socket closed.

        Connections that were warmed stay with the service, which closes them.
        """
        with self._lock:
            task, self._task = self._task, None
            self._unsubscribe()
        if task is None or task.done():
            return
        loop = task.get_loop()
        if loop is asyncio.get_running_loop():
            await _end(task)
        elif loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_end(task), loop))
        else:
            self._drop(task)

    async def first_round(self) -> None:
        """Wait until the pings of the start are over (at most ten seconds after LiteLLM is loaded)."""
        if self.running:
            await self._first.wait()

    @property
    def running(self) -> bool:
        """Whether the task is alive; it is not when its event loop has ended."""
        task = self._task
        return task is not None and not task.done() and not task.get_loop().is_closed()

    def _drop(self, task: asyncio.Task[None] | None) -> None:
        """Forget a task whose loop ended without a word: nobody can await it any more."""
        self._unsubscribe()
        if task is not None and not task.done():
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio does

    # -- what was seen ---------------------------------------------------------------------------

    def _note(self, attempt: Attempt, counted: bool) -> None:
        """Every attempt of the service comes by here, in the loop that made it."""
        now = self._clock()
        if counted:
            self._asked[attempt.provider] = now
        task = self._task
        if task is None or asyncio.get_running_loop() is not task.get_loop():
            return  # over the sockets of another loop
        whole = attempt.outcome == "answered" or (attempt.status or 0) >= 400  # noqa: PLR2004
        if whole:
            self._carried[attempt.deployment] = now
            self._failed.pop(attempt.deployment, None)
        else:
            self._carried.pop(attempt.deployment, None)
            self._failed[attempt.deployment] = now
        if not counted:
            self._planned[attempt.deployment] = now

    def _copies(self, dispatcher: Dispatcher) -> list[Copy]:
        """All copies of the chain that a ping may be sent to, now or later."""
        now = self._clock()
        found = []
        self._follow(dispatcher.engine)
        for rank, provider in enumerate(self.service.settings.chain):
            for deployment, endpoint, credential, _ in dispatcher.rotation.state(provider):
                wait = dispatcher.rotation.claimable_in(deployment, **self._claims())
                if wait is None:
                    continue
                key = deployment.id
                copy = Copy(
                    id=key,
                    provider=provider,
                    rank=rank,
                    idle=_since(self._carried.get(key, self._began), now),
                    unused=_since(self._asked.get(provider), now),
                    failed=_since(self._failed.get(key), now),
                    rests=wait,
                    trial=endpoint.trial or credential.trial,
                )
                found.append(copy)
        return found

    def _follow(self, engine: Engine) -> None:
        """After a reload: copies that lead elsewhere have connections of which nothing is known."""
        if self._engine is not None and engine is not self._engine:
            for deployment in engine.changed(self._engine):
                self._carried.pop(deployment.id, None)
                self._failed.pop(deployment.id, None)
        self._engine = engine

    def _claims(self) -> dict[str, Any]:
        from llm_unified.probe import CURED_BY_CONNECTION

        settings = self.service.settings
        only = CURED_BY_CONNECTION if settings.warm_probe == "connection" else None
        return {"ahead": min(LEAD, settings.cooldown / 4.0), "only": only}

    # -- the task --------------------------------------------------------------------------------

    async def _run(self, unsubscribe: Callable[[], None], first: asyncio.Event) -> None:
        again = retry_if_result(bool) | retry_if_exception_type(Exception)
        retrying = AsyncRetrying(
            retry=again, wait=self._nap, sleep=self._sleep, after=lambda _: first.set()
        )
        try:
            await retrying(self._round)
        finally:
            first.set()
            unsubscribe()

    async def _round(self) -> bool:
        """Ping who is due; whether to go on."""
        from llm_unified.probe import each

        try:
            dispatcher = await self.service.dispatcher()
        except ServiceClosedError:
            return False
        interval = self.service.settings.keep_alive_interval
        copies = self._copies(dispatcher)
        chosen = [dispatcher.engine.deployments[copy.id] for copy in due(copies, interval)]
        self._count_skipped(copies, {deployment.id for deployment in chosen})
        raised = await each(chosen, functools.partial(self._ping, dispatcher))
        self._rounds += 1
        if raised:
            raise raised[0]
        self._crashes = 0
        return True

    async def _ping(self, dispatcher: Dispatcher, deployment: Deployment) -> None:
        from llm_unified.probe import ping

        if not dispatcher.rotation.claim(deployment, **self._claims()):
            return  # it began to rest, or somebody else makes the trial
        settings = self.service.settings
        shortest, longest = _PATIENCE
        seconds = min(longest, max(shortest, settings.keep_alive_interval))
        try:
            await ping(dispatcher, deployment, settings.warm_probe, seconds=seconds)
        except Exception:
            self._failed[deployment.id] = self._clock()
            raise

    def _nap(self, state: RetryCallState) -> float:
        """Seconds until the next round: until somebody is due, but soon enough to see a rest's end."""
        settings = self.service.settings
        outcome = state.outcome
        if outcome is not None and outcome.failed:
            self._crashes += 1
            log("warning", "warmer_round_failed", error=type(outcome.exception()).__name__)
            return float(min(settings.keep_alive_interval, 2.0 ** min(self._crashes, 16)))
        dispatcher = self.service.dispatcher_if_built
        copies = [] if dispatcher is None else self._copies(dispatcher)
        soonest = min(
            (next_ping(c, settings.keep_alive_interval) for c in copies), default=math.inf
        )
        longest = min(settings.keep_alive_interval, max(1.0, settings.cooldown / 2.0))
        return max(_SHORTEST_NAP, min(soonest, longest))

    def _count_skipped(self, copies: Iterable[Copy], chosen: Collection[str]) -> None:
        """Count the pings that users' requests made unnecessary."""
        now, interval = self._clock(), self.service.settings.keep_alive_interval
        for copy in copies:
            at = self._planned.setdefault(copy.id, now)
            alone = replace(copy, idle=_since(at, now), failed=None)
            if copy.id not in chosen and copy.rests <= 0.0 and next_ping(alone, interval) <= 0.0:
                self._planned[copy.id] = now
                self._skipped[copy.provider] += 1

    # -- reports ---------------------------------------------------------------------------------

    def get_stats(self) -> dict[str, Any]:
        """What it does and what that costs; pings of `warm_connections` are counted, too."""
        settings, health = self.service.settings, self.service.health
        providers = {
            name: {**health.spent(name), "skipped": self._skipped[name]} for name in settings.chain
        }
        keys = ("pings", "failures", "skipped", "tokens", "estimated_cost_usd")
        return {
            "enabled": settings.enable_connection_warming,
            "running": self.running,
            "interval": settings.keep_alive_interval,
            "probe": settings.warm_probe,
            "rounds": self._rounds,
            **{key: sum(entry[key] for entry in providers.values()) for key in keys},
            "providers": providers,
        }

    def get_provider_health(self) -> dict[str, dict[str, Any]]:
        """``{"openai": {"status", "last_ping", "seconds_since_ping", "total_pings", "failures",
        "failure_rate"}}`` for each provider of the chain; see `llm_unified.health`.
        """
        service = self.service
        return {
            name: {
                "status": service.health.status(name, service.copy_states(name)).value,
                **service.health.pings(name),
            }
            for name in service.settings.chain
        }


def _since(at: float | None, now: float) -> float | None:
    """Seconds since then; ``None`` also when the clock was set back before it."""
    return None if at is None or at > now else now - at


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # seen: asyncio need not complain


_warmer: ConnectionWarmer | None = None
_warmer_lock = threading.Lock()


async def get_llm_warmer() -> ConnectionWarmer:
    """The process's warmer, for the process's service. It is not started by this."""
    global _warmer  # noqa: PLW0603 - one per process is the contract
    with _warmer_lock:
        if _warmer is None:
            _warmer = ConnectionWarmer()
        return _warmer
