"""The warmer: who is pinged when (pure), and the task over real sockets with a clock of our own."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm_unified
from llm_unified import ConnectionWarmer, UnifiedLLMService, get_llm_warmer, load_settings
from llm_unified.calls import ping as ping_room
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.lease import Lease
from llm_unified.pool.rotation import Rotation
from llm_unified.response import FailureKind
from llm_unified.schedule import COLD, WarmState, due, next_ping
from llm_unified.testing import Simulator, faults, replies
from llm_unified.testing.exchange import Outcome
from llm_unified.testing.journal import Request
from tests.hang import HANG_SECONDS

K = FailureKind
HELLO = [{"role": "user", "content": "Hello!"}]
MINUTE, HOUR = 60.0, 3600.0


class Time:
    """Seconds that pass when a test says so; whoever sleeps is woken in order."""

    def __init__(self) -> None:
        self.now = 1e6  # as if the machine had been up for a while
        self._asleep = asyncio.Event()
        self._until = 0.0
        self._wake: asyncio.Future[None] | None = None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._until = self.now + seconds
        self._wake = asyncio.get_running_loop().create_future()
        self._asleep.set()
        try:
            await self._wake
        finally:
            self._asleep.clear()

    async def settle(self) -> None:
        """Wait until the warmer sleeps."""
        async with asyncio.timeout(HANG_SECONDS):
            await self._asleep.wait()

    async def pass_by(self, seconds: float) -> None:
        """Let this much time go by, with every round that falls into it."""
        target = self.now + seconds
        await self.settle()
        while self._until <= target:
            assert self._wake is not None
            self.now = max(self.now, self._until)
            self._asleep.clear()
            self._wake.set_result(None)
            await self.settle()
        self.now = target


@asynccontextmanager
async def warming(
    sim: Simulator, *names: str, **settings: Any
) -> AsyncIterator[tuple[UnifiedLLMService, ConnectionWarmer, Time]]:
    """A service and its running warmer, both on the test's time; the first round is over."""
    options = {"enable_connection_warming": True, "pool_size": 1, "timeout": 5.0} | settings
    time = Time()
    async with UnifiedLLMService(load_settings(sim.environ(*names), **options)) as service:
        (await service.dispatcher()).rotation._terms.clock = time
        warmer = ConnectionWarmer(service, clock=time, sleep=time.sleep)
        await warmer.start()
        await time.settle()
        yield service, warmer, time
        await warmer.stop()


@pytest.fixture(autouse=True)
def fresh_singletons() -> Iterator[None]:
    yield
    sys.modules["llm_unified.warmer"]._warmer = None
    sys.modules["llm_unified.service"]._service = None


# -- who is pinged when -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (WarmState("p#0", "p"), 0.0),
        (WarmState("p#0", "p", idle=59.0), 1.0),
        (WarmState("p#0", "p", idle=60.0), 0.0),
        (WarmState("f#0", "f", rank=1, idle=60.0), 140.0),
        (WarmState("f#0", "f", rank=1, idle=60.0, unused=599.0), 0.0),
        (WarmState("f#0", "f", rank=1, idle=60.0, unused=600.0), 140.0),
        (WarmState("f#0", "f", rank=3, idle=200.0), 0.0),
        (WarmState("p#0", "p", failed=0.0), 15.0),
        (WarmState("p#0", "p", failed=15.0), 0.0),
        (WarmState("p#0", "p", idle=90.0, cooldown=7.0), 7.0),
        (WarmState("p#0", "p", idle=1.0, failed=0.0, cooldown=7.0, probe=True), 7.0),
        (WarmState("p#0", "p", idle=1.0, probe=True), 0.0),
    ],
)
def test_when_the_next_ping_is_due(state: WarmState, expected: float) -> None:
    """Each rule with the edges of its numbers, at an interval of one minute."""
    assert next_ping(state, MINUTE) == expected


def test_an_idle_fallback_never_cools_fully() -> None:
    """However long the interval, it is no reason to ping more; however short, 200 s are the most."""
    assert next_ping(WarmState("f#0", "f", rank=1, idle=0.0), 10.0) == 40.0
    assert next_ping(WarmState("f#0", "f", rank=1, idle=0.0), MINUTE) == COLD
    assert next_ping(WarmState("f#0", "f", rank=1, idle=0.0), 600.0) == 600.0


def test_providers_in_use_come_first() -> None:
    """In use before idle, then the place in the chain, then who was quiet longest."""
    states = [
        WarmState("idle#0", "idle", rank=1),
        WarmState("used#0", "used", rank=2, idle=70.0, unused=5.0),
        WarmState("used#1", "used", rank=2, idle=90.0, unused=5.0),
        WarmState("first#0", "first", rank=0, idle=61.0),
        WarmState("first#1", "first", rank=0, idle=10.0),
    ]
    assert [state.id for state in due(states, MINUTE)] == ["first#0", "used#1", "used#0", "idle#0"]


SECONDS = st.floats(0.0, 1e6)


@given(
    state=st.builds(
        WarmState,
        id=st.just("c"),
        provider=st.just("p"),
        rank=st.integers(0, 3),
        idle=st.none() | SECONDS,
        unused=st.none() | SECONDS,
        failed=st.none() | SECONDS,
        cooldown=st.floats(0.001, 1e4),
        probe=st.booleans(),
    ),
    interval=st.floats(0.5, 1e4),
)
def test_nobody_is_pinged_while_it_cools_down(state: WarmState, interval: float) -> None:
    """Whatever else is known of a deployment, its cooldown is obeyed; and none waits for ever."""
    assert state.cooldown <= next_ping(state, interval) <= max(state.cooldown, interval, COLD)


# -- the probe of a breaker ----------------------------------------------------------------------------


def rotation() -> tuple[Rotation, list[Deployment], list[float]]:
    """One provider with two keys, a clock that is a list of one number, no jitter."""
    clock = [0.0]
    found = [
        Deployment(f"p#{i}", "p", "m", "openai/m", endpoint="e", credential=f"p/key{i}")
        for i in range(2)
    ]
    made = Rotation(found, threshold=1, cooldown=10.0, clock=lambda: clock[0], chance=lambda: 0.5)
    return made, found, clock


def claim(turns: Rotation, deployment: Deployment, **more: Any) -> Lease | None:
    return turns.claim(deployment, budget=5.0, **more)


def test_a_ping_makes_the_probe_before_any_user_can() -> None:
    """One ping may come a second early; users and other pings wait for what it finds."""
    turns, (first, second), clock = rotation()
    turns.lease(first).failed(K.SERVER)
    clock[0] = 8.9
    assert not claim(turns, first, ahead=1.0)
    assert turns.claimable_in(first, ahead=1.0) == pytest.approx(0.1)
    clock[0] = 9.0
    probe = claim(turns, first, ahead=1.0)
    assert probe is not None and probe.probe
    assert not claim(turns, second, ahead=1.0)
    assert turns.claimable_in(second, ahead=1.0) is None
    clock[0] = 11.0
    assert turns.acquire("p", budget=5.0) is None
    probe.succeeded()
    lease = turns.acquire("p", budget=5.0)
    assert lease is not None and lease.deployment == first


def test_a_failed_probe_cools_down_twice_as_long() -> None:
    """Also when the ping came early."""
    turns, (first, _), clock = rotation()
    turns.lease(first).failed(K.SERVER)
    clock[0] = 9.0
    probe = claim(turns, first, ahead=1.0)
    assert probe is not None
    assert probe.failed(K.SERVER) == pytest.approx(20.0)


def test_a_cancelled_probe_goes_to_whoever_comes_next() -> None:
    """A warmer that is stopped in the middle of it blocks nobody."""
    turns, (first, _), clock = rotation()
    turns.lease(first).failed(K.SERVER)
    clock[0] = 9.5
    probe = claim(turns, first, ahead=1.0)
    assert probe is not None
    assert turns.acquire("p", budget=5.0) is None
    probe.released()
    assert turns.acquire("p", budget=5.0) is not None


def test_a_probe_whose_budget_is_over_is_free_for_the_next() -> None:
    """A ping that never says how it ended blocks nobody for longer than it may take."""
    turns, (first, _), clock = rotation()
    turns.lease(first).failed(K.SERVER)
    clock[0] = 10.0
    assert claim(turns, first)
    clock[0] = 14.9
    assert not claim(turns, first)
    clock[0] = 15.0
    assert claim(turns, first)


def test_retry_after_is_kept_to_the_second() -> None:
    """What the upstream asked for is not shortened for a ping."""
    turns, (first, second), clock = rotation()
    turns.lease(first).failed(K.RATE_LIMIT, retry_after=30.0)
    clock[0] = 29.9
    assert not claim(turns, first, ahead=1.0)
    assert claim(turns, second, ahead=1.0)
    clock[0] = 30.0
    assert claim(turns, first, ahead=1.0)


def test_a_probe_of_the_connection_leaves_the_probe_of_answers_to_others() -> None:
    """It can find that a connection is back, not that a model answers again."""
    turns, (first, _), clock = rotation()
    turns.lease(first).failed(K.SERVER)
    clock[0] = 20.0
    assert not claim(turns, first, only={K.CONNECTION})
    turns.lease(first).reconnected({K.CONNECTION})
    assert turns.claimable_in(first, only={K.CONNECTION}) is None
    turns.lease(first).failed(K.CONNECTION)
    turns.lease(first).reconnected({K.CONNECTION})
    assert claim(turns, first, only={K.CONNECTION})


# -- the task, over sockets -----------------------------------------------------------------------------


async def test_ten_hours(sim: Simulator) -> None:
    """The counts that the rules promise: every minute in use, every 200 s idle, none beside traffic."""
    names = ("openai", "groq")
    async with warming(sim, *names, warm_probe="connection") as (service, warmer, time):

        def pings() -> tuple[int, int]:
            found = warmer.get_stats()["providers"]
            return found["openai"]["pings"], found["groq"]["pings"]

        assert pings() == (1, 1)  # on start
        await time.pass_by(2 * HOUR)
        assert pings() == (1 + 120, 1 + 36)

        for _ in range(int(2 * HOUR / 30)):  # two busy hours: the primary needs no ping
            await service.generate_response_async(HELLO)
            await time.pass_by(30.0)
        assert pings() == (121, 1 + 72)
        assert warmer.get_stats()["providers"]["openai"]["skipped"] == 120
        assert warmer.get_stats()["providers"]["groq"]["skipped"] == 0

        await time.pass_by(HOUR)
        assert pings()[0] in (121 + 59, 121 + 60)
        before = pings()[1]
        await service.generate_response_async(HELLO, provider="groq")  # ten minutes in use
        await time.pass_by(HOUR)
        assert pings()[1] - before == 9 + 15

        await time.pass_by(4 * HOUR)
        openai, groq = pings()
        assert openai == pytest.approx(8 * 60 + 1, abs=2)
        assert groq == pytest.approx(10 * 18 + 1 + 6, abs=3)
        assert sim.openai.connections == sim.groq.connections == 1  # one socket each, all day
        assert len(sim.groq.requests) == groq + 1
        stats = warmer.get_stats()
        assert (stats["failures"], stats["tokens"], stats["estimated_cost_usd"]) == (0, 0, 0.0)
        assert service.get_stats()["stats"]["total_requests"] == 241


async def test_pings_cost_and_the_cost_is_shown(sim: Simulator) -> None:
    """Tiny completions: one token asked for, tokens and dollars in `get_stats()`, no user counted."""
    async with warming(sim, "openai", pool_size=2) as (service, warmer, time):
        await time.pass_by(10 * MINUTE)
        stats = warmer.get_stats()
        assert (stats["pings"], stats["running"], stats["interval"]) == (22, True, MINUTE)
        assert stats["tokens"] > 22
        assert 0.0 < stats["estimated_cost_usd"] < 0.01
        bodies = [request.body for request in sim.openai.requests]
        assert {body.get("max_completion_tokens") or body["max_tokens"] for body in bodies} == {1}
        counted = service.get_stats()["stats"]
        assert counted["total_requests"] == counted["requests_by_provider"]["openai"] == 0
        health = warmer.get_provider_health()["openai"]
        assert (health["status"], health["total_pings"], health["failure_rate"]) == (
            "healthy",
            22,
            0.0,
        )
        assert list(health) == [
            "status",
            "last_ping",
            "seconds_since_ping",
            "total_pings",
            "failures",
            "failure_rate",
        ]


async def test_without_warm_on_startup_the_first_ping_comes_an_interval_later(
    sim: Simulator,
) -> None:
    """Starting sends nothing then."""
    async with warming(sim, "openai", warm_on_startup=False) as (_, _, time):
        await time.pass_by(59.0)
        assert not sim.openai.requests
        await time.pass_by(1.0)
        assert len(sim.openai.requests) == 1


async def test_the_warmer_notices_who_is_well_again(sim: Simulator) -> None:
    """A provider that recovered gets its probe from a ping; the next user's call just works."""
    async with warming(sim, "openai", "groq", failure_threshold=1) as (service, _, time):
        sim.openai.refuse()
        assert (await service.generate_response_async(HELLO)).provider == "groq"
        assert service.get_health()["openai"]["breaker"] == "open"
        await time.pass_by(8.0)
        sim.openai.listen()
        await time.pass_by(3.5)  # what is left of 10 s, with their jitter
        assert service.get_health()["openai"]["breaker"] == "closed"
        response = await service.generate_response_async(HELLO)
        assert [attempt.provider for attempt in response.attempts] == ["openai"]
        assert sim.openai.requests[1].body["messages"][0]["content"] == "ping"


async def test_the_warmer_notices_who_is_down(sim: Simulator) -> None:
    """Failed pings open the breaker, so that no user's call has to."""
    async with warming(sim, "openai", "groq", failure_threshold=2) as (service, warmer, time):
        sim.openai.refuse()
        await time.pass_by(80.0)  # a ping, another one a quarter of an interval later
        assert warmer.get_provider_health()["openai"]["status"] == "unhealthy"
        response = await service.generate_response_async(HELLO)
        assert [attempt.provider for attempt in response.attempts] == ["groq"]


async def test_retry_after_binds_pings(sim: Simulator) -> None:
    """A provider that asked to be left alone for five minutes is left alone for five minutes."""
    async with warming(sim, "openai", "groq") as (service, _, time):
        sim.openai.script(faults.rate_limit(retry_after=300))
        assert (await service.generate_response_async(HELLO)).provider == "groq"
        seen = len(sim.openai.requests)
        await time.pass_by(299.0)
        assert len(sim.openai.requests) == seen
        await time.pass_by(2.0)
        assert len(sim.openai.requests) == seen + 1


def needs_sixteen_tokens(request: Request) -> Outcome | None:
    if isinstance(request.body, dict):
        asked = request.body.get("max_completion_tokens") or request.body.get("max_tokens")
        if asked == 1:
            return faults.bad_request()
    return None


async def test_a_model_that_wants_more_tokens_gets_them_next_time(sim: Simulator) -> None:
    """The refusal proves that it is alive; it is not asked for one token again."""
    sim.openai.handler = needs_sixteen_tokens
    async with warming(sim, "openai") as (service, warmer, time):
        assert warmer.get_provider_health()["openai"]["status"] == "healthy"
        await time.pass_by(2 * MINUTE)
        asked = [
            r.body.get("max_completion_tokens") or r.body["max_tokens"] for r in sim.openai.requests
        ]
        assert asked == [1, 16, 16]
        assert warmer.get_stats()["failures"] == 0
        assert service.get_health()["openai"]["breaker"] == "closed"


async def test_a_provider_that_hangs_does_not_stop_the_others(sim: Simulator) -> None:
    """Its ping ends with the attempt's limit; the others are pinged as ever."""
    sim.openai.always(faults.blackhole())
    async with warming(sim, "openai", "groq", timeout=0.3, deadline=1.0) as (_, warmer, time):
        await time.pass_by(201.0)
        assert len(sim.groq.requests) == 2
        assert warmer.get_provider_health()["openai"]["failures"] >= 2
        await warmer.stop()
        await sim.openai.wait_for_async(open_connections=0)


async def test_stop_cancels_a_ping_under_way(sim: Simulator) -> None:
    """Its task is gone and its socket closed, although the provider never answered."""
    sim.openai.always(faults.blackhole())
    service = UnifiedLLMService(
        load_settings(sim.environ("openai"), enable_connection_warming=True)
    )
    await service.dispatcher()
    before = asyncio.all_tasks()
    warmer = ConnectionWarmer(service)
    await warmer.start()
    await sim.openai.wait_for_async(requests=3)
    await warmer.stop()
    await sim.openai.wait_for_async(open_connections=0)
    assert (asyncio.all_tasks(), warmer.running) == (before, False)
    await service.aclose()


async def test_start_and_stop_as_often_as_you_like(sim: Simulator) -> None:
    """Twice is once; stopped is as before; a second life works."""
    async with warming(sim, "openai") as (_, warmer, time):
        task = warmer._task
        await warmer.start()
        assert warmer._task is task
        await warmer.stop()
        await warmer.stop()
        assert not warmer.running
        await warmer.start()
        await time.settle()
        assert warmer.running and len(sim.openai.requests) == 2


async def test_an_exception_in_a_ping_is_survived(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warmer goes on, tenacity spacing the rounds out."""
    real, calls = ping_room.ping, []

    async def broken(*args: Any, **more: Any) -> Any:
        calls.append(args[1])
        if len(calls) < 4:
            raise ValueError("a bug")
        return await real(*args, **more)

    monkeypatch.setattr(ping_room, "ping", broken)
    async with warming(sim, "openai") as (_, warmer, time):
        assert not sim.openai.requests
        await time.pass_by(HOUR / 6)
        assert len(sim.openai.requests) >= 8
        assert warmer.running


@pytest.mark.parametrize("jump", [-HOUR, 10 * HOUR], ids=["back", "forward"])
async def test_a_clock_that_jumps_costs_one_round(sim: Simulator, jump: float) -> None:
    """After the jump everybody is pinged once; then the rhythm is the old one."""
    async with warming(sim, "openai", "groq") as (_, _, time):
        await time.pass_by(10.0)
        time.now += jump
        time._until = time.now + 1.0
        await time.pass_by(30.0)
        assert (len(sim.openai.requests), len(sim.groq.requests)) == (2, 2)
        await time.pass_by(MINUTE)
        assert (len(sim.openai.requests), len(sim.groq.requests)) == (3, 2)


async def test_nothing_at_all_unless_enabled(sim: Simulator) -> None:
    """No task, no request, not even an engine; `get_stats()` says that it is off."""
    async with UnifiedLLMService(load_settings(sim.environ())) as service:
        warmer = ConnectionWarmer(service)
        tasks = asyncio.all_tasks()
        await warmer.start()
        await warmer.first_round()
        assert asyncio.all_tasks() == tasks
        assert service.dispatcher_if_built is None
        stats = warmer.get_stats()
        assert (stats["enabled"], stats["running"], stats["pings"]) == (False, False, 0)
        assert warmer.get_provider_health()["openai"]["status"] == "unknown"
        await warmer.stop()


async def test_a_closed_service_ends_the_warmer(sim: Simulator) -> None:
    """It notices at its next round and leaves without a complaint."""
    async with warming(sim, "openai") as (service, warmer, time):
        task = warmer._task
        await service.aclose()
        assert time._wake is not None and task is not None
        time._wake.set_result(None)
        await task
        assert not warmer.running


def test_a_loop_that_ends_takes_the_warmer_along(sim: Simulator) -> None:
    """`asyncio.run` cancels it; the next loop starts it anew, and nothing leaks."""
    settings = load_settings(sim.environ("openai"), enable_connection_warming=True, pool_size=1)
    service = UnifiedLLMService(settings)
    warmer = ConnectionWarmer(service)

    async def life() -> None:
        await warmer.start()
        await warmer.first_round()

    for _ in range(3):
        asyncio.run(life())
        assert not warmer.running
        sim.openai.wait_for(open_connections=0)
    assert len(sim.openai.requests) == 3
    service.close()


def test_a_loop_that_is_just_closed_is_survived_too(sim: Simulator) -> None:
    """A loop closed with the task still in it: no warning, and `start` works in another loop."""
    settings = load_settings(sim.environ("openai"), enable_connection_warming=True, pool_size=1)
    service = UnifiedLLMService(settings)
    warmer = ConnectionWarmer(service)

    async def life() -> None:
        await warmer.start()
        await warmer.first_round()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(life())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert not warmer.running
    asyncio.run(life())
    asyncio.run(warmer.stop())
    gc.collect()
    sim.openai.wait_for(open_connections=0)
    service.close()


async def test_stop_from_another_loop(sim: Simulator) -> None:
    """Whoever stops it, and wherever: it ends in its own loop."""
    async with warming(sim, "openai") as (_, warmer, _):
        thread = threading.Thread(target=lambda: asyncio.run(warmer.stop()))
        task = warmer._task
        thread.start()
        assert task is not None
        await asyncio.wait({task})
        assert task.cancelled()
        await asyncio.to_thread(thread.join)


async def test_the_process_has_one_warmer_for_its_service(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the original API has it, from the environment."""
    for key, value in sim.environ("openai").items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("LLM_ENABLE_CONNECTION_WARMING", "true")
    warmer = await get_llm_warmer()
    assert await llm_unified.get_llm_warmer() is warmer
    await warmer.start()
    await warmer.first_round()
    assert warmer.get_stats()["pings"] == 3
    assert warmer.get_provider_health()["openai"]["status"] == "healthy"
    await warmer.stop()
    await llm_unified.get_llm_service().aclose()


async def test_a_connection_that_broke_is_opened_again(sim: Simulator) -> None:
    """A user's request whose answer was cut leaves no socket; a ping makes a new one soon."""
    async with warming(sim, "openai", "groq") as (service, _, time):
        sim.openai.script(faults.close())
        await service.generate_response_async(HELLO)
        await sim.openai.wait_for_async(open_connections=0)
        await time.pass_by(16.0)
        assert sim.openai.open_connections == 1
        sim.openai.script(replies.text("fine"))
        assert (await service.generate_response_async(HELLO)).content == "fine"
        assert len({r.client_port for r in sim.openai.requests[-2:]}) == 1
