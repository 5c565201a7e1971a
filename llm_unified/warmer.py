"""Keeps the pool warm: a task that pings what nobody used, and finds out who is well again.

Who is pinged when is the rule of `schedule`. `ConnectionWarmer` asks it, sends the pings that are due (see
`llm_unified.calls.ping`) and sleeps until the next. Users' requests and pings of anybody else move the plan,
because each attempt of the service is seen here.
"""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, retry_if_result

from llm_unified.errors import ServiceClosedError
from llm_unified.forksafe import ForkSafeLock, after_fork
from llm_unified.logs import log
from llm_unified.observe.events import AttemptEnded
from llm_unified.schedule import WarmState, due, next_ping
from llm_unified.service import UnifiedLLMService, get_llm_service
from llm_unified.traffic import Traffic

if TYPE_CHECKING:  # loaded with the first call
    from llm_unified.calls.dispatcher import Dispatcher
    from llm_unified.pool.deployments import Deployment

__all__ = ["ConnectionWarmer", "get_llm_warmer"]

LEAD_SECONDS: Final = 1.0
"""The warmer's probe comes so long before the end of a cooldown, at most a quarter of it."""
_SHORTEST_NAP_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 5.0
"""So long `stop` waits for a task in another loop, which may be blocked or end meanwhile."""
_SHORTEST_PING_SECONDS, _LONGEST_PING_SECONDS = 5.0, 10.0


class ConnectionWarmer:
    """Pings the deployments of a service, by `next_ping`, until it is stopped.

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
        self._lock = ForkSafeLock()
        self._task: asyncio.Task[None] | None = None
        self._service: UnifiedLLMService | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._rounds = self._crashes = 0
        self._first = asyncio.Event()
        self._traffic = Traffic(clock)
        after_fork(self)

    @property
    def service(self) -> UnifiedLLMService:
        """Whose connections are kept warm."""
        return self._service or self._given or get_llm_service()

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin, in this event loop; with ``LLM_WARM_ON_STARTUP`` all deployments are pinged at once.

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
            self._traffic.forget(began=None if settings.warm_on_startup else self._clock())
            self._unsubscribe = self._service.subscribe(
                self._note, only=(AttemptEnded,), inline=True
            )
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
            ended = asyncio.run_coroutine_threadsafe(_end(task), loop)
            await asyncio.wait({asyncio.wrap_future(ended)}, timeout=_STOP_SECONDS)
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

    def after_fork(self) -> None:
        """In the child: the task and its loop are the parent's; it does not run until `start`."""
        self._unsubscribe()
        self._task, self._first = None, asyncio.Event()

    # -- what was seen ---------------------------------------------------------------------------

    def _note(self, event: AttemptEnded) -> None:
        """Every attempt of the service comes by here, in the loop that made it."""
        if not event.attempt.sent:
            return
        task = self._task
        here = task is not None and asyncio.get_running_loop() is task.get_loop()
        counted = event.operation != "ping"
        self._traffic.note(event.attempt, counted=counted, here=here)

    def _states(self, dispatcher: Dispatcher) -> list[WarmState]:
        return self._traffic.states(dispatcher, self.service.settings.chain, self._claims())

    def _claims(self) -> dict[str, Any]:
        from llm_unified.calls.ping import CURED_BY_CONNECTION

        settings = self.service.settings
        only = CURED_BY_CONNECTION if settings.warm_probe == "connection" else None
        return {"ahead": min(LEAD_SECONDS, settings.cooldown / 4.0), "only": only}

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
        from llm_unified.calls.ping import each

        try:
            dispatcher = await self.service.dispatcher()
        except ServiceClosedError:
            return False
        interval = self.service.settings.keep_alive_interval
        states = self._states(dispatcher)
        chosen = [dispatcher.engine.deployments[state.id] for state in due(states, interval)]
        self._traffic.count_skipped(states, {deployment.id for deployment in chosen}, interval)
        raised = await each(chosen, functools.partial(self._ping, dispatcher))
        self._rounds += 1
        if raised:
            raise raised[0]
        self._crashes = 0
        return True

    async def _ping(self, dispatcher: Dispatcher, deployment: Deployment) -> None:
        from llm_unified.calls.ping import ping

        settings = self.service.settings
        seconds = max(_SHORTEST_PING_SECONDS, settings.keep_alive_interval)
        seconds = min(_LONGEST_PING_SECONDS, seconds)
        lease = dispatcher.rotation.claim(deployment, budget=seconds, **self._claims())
        if lease is None:
            return  # it began to cool down, or somebody else has its probe
        try:
            await ping(dispatcher, lease, settings.warm_probe, seconds=seconds)
        except Exception:
            self._traffic.broke(deployment.id)
            raise

    def _nap(self, state: RetryCallState) -> float:
        """Seconds until the next round: until somebody is due, but soon enough to see a cooldown's end."""
        settings = self.service.settings
        outcome = state.outcome
        if outcome is not None and outcome.failed:
            self._crashes += 1
            log("warning", "warmer_round_failed", error=type(outcome.exception()).__name__)
            return float(min(settings.keep_alive_interval, 2.0 ** min(self._crashes, 16)))
        dispatcher = self.service.dispatcher_if_built
        states = [] if dispatcher is None else self._states(dispatcher)
        soonest = min(
            (next_ping(s, settings.keep_alive_interval) for s in states), default=math.inf
        )
        longest = min(settings.keep_alive_interval, max(1.0, settings.cooldown / 2.0))
        return max(_SHORTEST_NAP_SECONDS, min(soonest, longest))

    # -- reports ---------------------------------------------------------------------------------

    def get_stats(self) -> dict[str, Any]:
        """What it does and what that costs; pings of `warm_connections` are counted, too."""
        settings, health = self.service.settings, self.service.health
        providers = {
            name: {**health.spent(name), "skipped": self._traffic.skipped[name]}
            for name in settings.chain
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
        "failure_rate"}}`` for each provider of the chain; see `llm_unified.observe.health`.
        """
        service = self.service
        return {
            name: {
                "status": service.status_of(name),
                **service.health.pings(name),
            }
            for name in service.settings.chain
        }


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # seen: asyncio need not complain


_warmer: ConnectionWarmer | None = None
_warmer_lock = ForkSafeLock()


async def get_llm_warmer() -> ConnectionWarmer:
    """The process's warmer, for the process's service. It is not started by this."""
    global _warmer  # noqa: PLW0603 - one per process is the contract
    with _warmer_lock:
        if _warmer is None:
            _warmer = ConnectionWarmer()
        return _warmer
