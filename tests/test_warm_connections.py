"""`warm_connections()`: every deployment's own connection, open and used by the next request."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from llm_unified import UnifiedLLMClient, UnifiedLLMService, load_settings
from llm_unified.testing import NetworkProxy, Simulator, faults
from llm_unified.testing.exchange import Outcome
from llm_unified.testing.journal import Request

HELLO = [{"role": "user", "content": "Hello!"}]
ORDER = ("openai", "azure_openai", "groq", "anthropic")
PROBES = ("completion", "connection")


def service_of(sim: Simulator, *names: str, **settings: Any) -> UnifiedLLMService:
    return UnifiedLLMService(load_settings(sim.environ(*names), **settings))


@pytest.mark.parametrize("probe", PROBES)
async def test_every_deployment_gets_its_connection_and_keeps_it(
    sim: Simulator, probe: str
) -> None:
    """One connection per deployment, all providers at once; its next request takes it."""
    async with service_of(sim, warm_probe=probe, pool_size=3) as service:
        assert await service.warm_connections() == dict.fromkeys(ORDER, True)
        for provider in sim:
            assert (provider.connections, provider.open_connections) == (3, 3)
            warmed = {request.client_port for request in provider.requests}
            for _ in range(3):
                await service.generate_response_async(HELLO, provider=provider.name)
            assert {request.client_port for request in provider.requests[3:]} == warmed
            assert provider.connections == 3


async def test_the_connection_probe_spends_no_token(sim: Simulator) -> None:
    """It asks for the list of models with the deployment's own key, in each vendor's way."""
    async with service_of(sim, warm_probe="connection", pool_size=1) as service:
        await service.warm_connections()
        assert [p.requests[0].method for p in sim] == ["GET"] * 4
        assert [p.requests[0].outcome for p in sim] == ["text"] * 4  # none was refused
        assert [p.requests[0].api_key for p in sim] == [p.api_key for p in sim]
        spent = [service.health.spent(name) for name in ORDER]
        assert [(s["pings"], s["failures"], s["tokens"]) for s in spent] == [(1, 0, 0)] * 4


async def test_pings_are_not_users_requests(sim: Simulator) -> None:
    """Statistics count what users asked; the health report has both."""
    async with service_of(sim, "openai") as service:
        await service.warm_connections()
        stats = service.get_stats()["stats"]
        assert stats["total_requests"] == stats["requests_by_provider"]["openai"] == 0
        report = service.get_health()["openai"]
        assert (report["status"], report["pings"]["total_pings"]) == ("healthy", 3)


@pytest.mark.parametrize("probe", PROBES)
async def test_a_dead_provider_is_false_and_no_exception(sim: Simulator, probe: str) -> None:
    """Its breaker is open afterwards, so that no user's call tries it first."""
    sim.openai.refuse()
    async with service_of(sim, "openai", "groq", warm_probe=probe) as service:
        assert await service.warm_connections() == {"openai": False, "groq": True}
        report = service.get_health()["openai"]
        assert (report["status"], report["breaker"]) == ("unhealthy", "open")
        assert report["last_failure"] == "connection"
        assert [found["reason"] for found in report["copies"].values()] == ["connection"] * 3
        response = await service.generate_response_async(HELLO)
        assert [attempt.provider for attempt in response.attempts] == ["groq"]


@pytest.mark.parametrize("probe", PROBES)
async def test_it_takes_no_longer_than_it_may(sim: Simulator, probe: str) -> None:
    """A provider that hangs is cut off; too short a limit is no proof against it."""
    sim.openai.always(faults.blackhole())
    async with service_of(sim, "openai", "groq", warm_probe=probe) as service:
        await service.generate_response_async(HELLO, provider="groq")
        assert await service.warm_connections(timeout=0.5) == {"openai": False, "groq": True}
        # Cut off by this limit and not by the attempt's own, which would have been a failure.
        assert service.get_health()["openai"]["breaker"] == "closed"
        assert service.get_health()["openai"]["last_failure"] is None
        await sim.openai.wait_for_async(open_connections=0)


async def test_the_limit_covers_the_loading(sim: Simulator) -> None:
    """Whatever it was doing when the time was up: everything cold is `False`, nothing is raised."""
    async with service_of(sim, "openai") as service:
        assert await service.warm_connections(timeout=0.0) == {"openai": False}


async def test_whoever_closed_the_service_gets_false(sim: Simulator) -> None:
    """It never raises."""
    service = service_of(sim, "openai")
    await service.aclose()
    assert await service.warm_connections() == {"openai": False}


@pytest.mark.parametrize("probe", PROBES)
async def test_a_wrong_key_is_misconfigured(sim: Simulator, probe: str) -> None:
    """401 to a ping: somebody has to change a setting."""
    environ = sim.environ("openai", "groq") | {"OPENAI_API_KEY": "sk-wrong-000000000001"}
    async with UnifiedLLMService(load_settings(environ, warm_probe=probe)) as service:
        assert await service.warm_connections() == {"openai": False, "groq": True}
        assert service.get_health()["openai"]["status"] == "misconfigured"


def may_not_list_models(request: Request) -> Outcome | None:
    return faults.status(403) if request.method == "GET" else None


async def test_a_key_that_may_not_list_models_still_answers_users(sim: Simulator) -> None:
    """A connection probe's 403 cools down nothing, and the first answer takes the suspicion away."""
    sim.openai.handler = may_not_list_models
    async with service_of(sim, "openai", "groq", warm_probe="connection", pool_size=1) as service:
        assert (await service.warm_connections())["openai"] is False
        assert service.get_health()["openai"]["status"] == "misconfigured"
        assert (await service.generate_response_async(HELLO)).provider == "openai"
        assert service.get_health()["openai"]["status"] == "degraded"


@pytest.mark.parametrize("probe", PROBES)
async def test_pings_carry_no_key_elsewhere(sim: Simulator, probe: str) -> None:
    """A redirect to another host is not followed."""
    sim.openai.always(faults.redirect(same_host=False))
    async with service_of(sim, "openai", warm_probe=probe) as service:
        await service.warm_connections()
        assert not sim.stranger.requests


async def test_deployments_that_cool_down_are_left_alone(sim: Simulator) -> None:
    """`Retry-After` binds a ping, too."""
    async with service_of(sim, "openai", "groq") as service:
        sim.openai.script(faults.rate_limit(retry_after=60))
        await service.generate_response_async(HELLO)
        assert await service.warm_connections() == {"openai": False, "groq": True}
        assert len(sim.openai.requests) == 1


def test_the_synchronous_form_warms_the_synchronous_connections(sim: Simulator) -> None:
    """The background loop's sockets, which `generate_response` takes."""
    with service_of(sim, "openai") as service:
        assert service.warm_connections_sync() == {"openai": True}
        for _ in range(3):
            service.generate_response(HELLO)
        assert sim.openai.connections == 3


async def test_the_synchronous_form_refuses_to_block_a_loop(sim: Simulator) -> None:
    """It says what to call instead."""
    async with service_of(sim, "openai") as service:
        with pytest.raises(RuntimeError, match=r"await service\.warm_connections"):
            service.warm_connections_sync()


async def test_the_old_client_has_it_too(sim: Simulator) -> None:
    """`UnifiedLLMClient.warm_connections` is the same."""
    async with service_of(sim, "openai") as service:
        assert await UnifiedLLMClient(service).warm_connections() == {"openai": True}


async def test_each_loop_warms_its_own_connections(sim: Simulator) -> None:
    """Sockets belong to the loop that opened them."""
    async with service_of(sim, "openai", pool_size=1) as service:
        await service.warm_connections()
        await asyncio.to_thread(service.warm_connections_sync)
        assert sim.openai.open_connections == 2
        await service.generate_response_async(HELLO)
        await asyncio.to_thread(service.generate_response, HELLO)
        assert sim.openai.connections == 2


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_an_idle_connection_that_the_server_closed_is_noticed(
    sim: Simulator, reset: bool
) -> None:
    """The user's next request goes over a new one: one attempt, no failure."""
    async with service_of(sim, "openai", "groq", pool_size=1) as service:
        await service.warm_connections()
        sim.openai.drop_connections(reset=reset)
        await sim.openai.wait_for_async(open_connections=0)
        response = await service.generate_response_async(HELLO)
        assert [(a.provider, a.kind) for a in response.attempts] == [("openai", None)]
        assert sim.openai.connections == 2


@pytest.mark.parametrize("probe", PROBES)
async def test_a_ping_over_a_connection_that_breaks_is_sent_once_more(
    sim: Simulator, probe: str
) -> None:
    """The server hangs up when the ping arrives: a fresh connection answers, and nobody was ill."""
    async with service_of(sim, "openai", pool_size=1, warm_probe=probe) as service:
        await service.warm_connections()
        sim.openai.script(faults.reset())
        assert await service.warm_connections() == {"openai": True}
        assert len(sim.openai.requests) == 3
        report = service.get_health()["openai"]
        assert (report["status"], report["last_failure"]) == ("healthy", None)
        assert (report["pings"]["total_pings"], report["pings"]["failures"]) == (2, 0)


async def test_a_users_request_over_a_connection_that_breaks_is_no_failure_of_the_provider(
    sim: Simulator,
) -> None:
    """Both attempts are on the trail and counted; the provider is as healthy as before."""
    async with service_of(sim, "openai", "groq", pool_size=1) as service:
        await service.generate_response_async(HELLO)
        sim.openai.script(faults.reset())
        response = await service.generate_response_async(HELLO)
        assert [(a.deployment, a.stale) for a in response.attempts] == [
            ("openai#0", True),
            ("openai#0", False),
        ]
        assert service.get_health()["openai"]["status"] == "healthy"
        stats = service.get_stats()["stats"]
        assert (stats["requests_by_provider"]["openai"], stats["fallback_count"]) == (3, 0)
        assert stats["errors_by_kind"]["openai"] == {"connection": 1}


async def test_a_connection_that_died_without_a_word_is_found_by_a_ping(sim: Simulator) -> None:
    """A load balancer forgot it: the ping runs into its limit, the user's request does not."""
    with NetworkProxy(sim.openai.port) as proxy:
        environ = sim.environ("openai", "groq")
        environ["OPENAI_BASE_URL"] = proxy.rewrite(environ["OPENAI_BASE_URL"])
        settings = load_settings(environ, pool_size=1, timeout=2.0, warm_probe="connection")
        async with UnifiedLLMService(settings) as service:
            assert (await service.warm_connections())["openai"] is True
            proxy.half_open()
            assert (await service.warm_connections())["openai"] is False
            response = await service.generate_response_async(HELLO)
            assert [(a.provider, a.kind) for a in response.attempts] == [("openai", None)]


async def test_deployments_of_one_endpoint_share_its_probe(sim: Simulator) -> None:
    """After a breaker's cooldown one deployment is pinged first, and the others once that answered."""
    async with service_of(sim, "openai", failure_threshold=1) as service:
        sim.openai.refuse()
        assert await service.warm_connections() == {"openai": False}
        sim.openai.listen()
        (await service.dispatcher()).rotation._terms.clock = lambda: time.monotonic() + 20.0
        assert await service.warm_connections() == {"openai": True}
        first, *others = sim.openai.requests
        assert len(others) == 2
        assert first.finished_at is not None
        assert min(request.received_at for request in others) > first.finished_at


async def test_a_cancelled_warm_up_blocks_no_probe(sim: Simulator) -> None:
    """Whoever stops it, and when: the breaker's probe is free for the next."""
    async with service_of(sim, "openai", failure_threshold=1) as service:
        sim.openai.refuse()
        await service.warm_connections()
        sim.openai.listen()
        sim.openai.always(faults.blackhole())
        rotation = (await service.dispatcher()).rotation
        rotation._terms.clock = lambda: time.monotonic() + 20.0
        task = asyncio.create_task(service.warm_connections())
        await sim.openai.wait_for_async(requests=1)
        assert rotation.acquire("openai", budget=5.0) is None  # the probe is the ping's
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert rotation.acquire("openai", budget=5.0) is not None


async def test_health_is_plain_and_readable(sim: Simulator) -> None:
    """One entry per provider of the chain, durations in seconds, percentiles of users' requests."""
    async with service_of(sim, "openai", "groq", pool_size=1) as service:
        assert service.get_health()["openai"]["status"] == "unknown"
        await service.generate_response_async(HELLO)
        report = service.get_health()
        assert list(report) == ["openai", "groq"]
        assert report["openai"].pop("p50_seconds") > 0.0
        assert report["openai"].pop("p95_seconds") > 0.0
        assert report["openai"] == {
            "status": "healthy",
            "breaker": "closed",
            "rests_for": 0.0,
            "last_failure": None,
            "seconds_since_failure": None,
            "pings": {
                "last_ping": None,
                "seconds_since_ping": None,
                "total_pings": 0,
                "failures": 0,
                "failure_rate": 0.0,
            },
            "copies": {"openai#0": {"breaker": "closed", "rests_for": 0.0, "reason": None}},
        }
