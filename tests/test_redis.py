"""Cooldowns that services share over a real Redis; without it, calls go on. See `test_fleet` for the fleet alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import structlog

from llm_unified import (
    AllProvidersFailedError,
    ConfigurationError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.pool import fleet as fleet_room
from llm_unified.pool.fleet import Fleet
from llm_unified.testing import Simulator, faults, replies
from tests.redis_server import Redis

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at Redis before every call, and give a loaded machine time to answer."""
    monkeypatch.setattr(fleet_room, "REFRESH_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(fleet_room, "REDIS_WAIT_SECONDS", 5.0)
    monkeypatch.setattr(fleet_room, "CLOSE_SECONDS", 5.0)


def service_for(sim: Simulator, url: str, **overrides: Any) -> UnifiedLLMService:
    environ = sim.environ("openai", "groq") | {"LLM_REDIS_URL": url}
    return UnifiedLLMService(load_settings(environ, **overrides))


def fleet_of(service: UnifiedLLMService) -> Fleet:
    dispatcher = service.dispatcher_if_built
    assert dispatcher is not None and dispatcher.ledger.fleet is not None
    return dispatcher.ledger.fleet


@pytest.mark.usefixtures("impatient")
async def test_one_process_learns_what_another_met(sim: Simulator, redis: Redis) -> None:
    """A provider that asked to be left alone is left alone by all who share the Redis."""
    sim.openai.script(faults.rate_limit(retry_after=60))
    async with service_for(sim, redis.url) as one:
        assert (await one.generate_response_async(HELLO)).provider == "groq"
        await fleet_of(one).aclose()  # what it publishes is there
        async with service_for(sim, redis.url) as two:
            assert (await two.generate_response_async(HELLO)).provider == "groq"
            assert two.get_health()["openai"]["rests_for"] == pytest.approx(60, abs=5)
    assert len(sim.openai.requests) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_wish_is_a_wish_in_every_process(sim: Simulator, redis: Redis) -> None:
    """Who said when it is back is asked by nobody before, not even when all others failed."""
    sim.openai.script(faults.status(503, headers={"retry-after": "60"}))
    sim.groq.script(replies.text("fine"), faults.status(500))
    async with service_for(sim, redis.url) as one:
        assert (await one.generate_response_async(HELLO)).provider == "groq"
        await fleet_of(one).aclose()
        async with service_for(sim, redis.url) as two:
            with pytest.raises(AllProvidersFailedError):
                await two.generate_response_async(HELLO)
    assert len(sim.openai.requests) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_recovery_is_published_as_well(sim: Simulator, redis: Redis) -> None:
    """Who finds a provider well again takes the common entry back."""
    sim.openai.script(faults.status(500))
    options = {"failure_threshold": 1, "cooldown": 30.0}
    async with service_for(sim, redis.url, **options) as one:
        await one.generate_response_async(HELLO)
        await fleet_of(one).aclose()
        sim.groq.script(faults.status(400))
        (await one.dispatcher()).rotation._terms.clock = lambda: 1e9  # long after
        fleet_of(one)._next_look = math.inf
        assert (await one.generate_response_async(HELLO)).provider == "openai"
        await fleet_of(one).aclose()
        async with service_for(sim, redis.url, **options) as two:
            assert (await two.generate_response_async(HELLO)).provider == "openai"


async def test_without_redis_calls_go_on(sim: Simulator, redis: Redis) -> None:
    """A dead Redis costs nothing but one warning."""
    async with service_for(sim, redis.url) as service:
        assert (await service.generate_response_async(HELLO)).provider == "openai"
        redis.stop()
        fleet = fleet_of(service)
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                fleet._next_look = -math.inf
                assert (await service.generate_response_async(HELLO)).provider == "openai"
    assert [e["event"] for e in logs].count("redis_unreachable") <= 1


async def test_the_missing_package_is_named(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`LLM_REDIS_URL` without the extra: the error says what to install, and not the URL."""
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "redis" else find(name, *a)
    )
    async with service_for(sim, "redis://:hunter2@127.0.0.1:1/0") as service:
        with pytest.raises(ConfigurationError, match=r"llm-unified\[redis\]") as caught:
            await service.generate_response_async(HELLO)
    assert "hunter2" not in str(caught.value)
