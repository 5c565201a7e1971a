"""Deadline, breaker, cooldowns, secrets, cancellation: what a call costs when somebody is down."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import traceback
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from llm_unified import (
    AllProvidersFailedError,
    Attempt,
    DeadlineExceededError,
    FailureKind,
    LLMError,
    ServiceClosedError,
    StreamInterruptedError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.testing import Simulator, faults

ALL = ("openai", "azure_openai", "groq", "anthropic")
HELLO = [{"role": "user", "content": "Hello"}]


def service_for(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    return UnifiedLLMService(load_settings(sim.environ(*names), **overrides))


async def started(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    """A service whose engine is built, for tests that look at the clock."""
    service = service_for(sim, *names, **overrides)
    await service._ready()
    return service


def allowed(attempts: Sequence[Attempt]) -> list[float]:
    """How many seconds each had, in its own words."""
    return [float(a.reason.removesuffix(" s").rpartition(" ")[2]) for a in attempts]


class Clock:
    """Monotonic seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def with_clock(service: UnifiedLLMService) -> Clock:
    clock = Clock()
    assert service._dispatcher is not None
    service._dispatcher.rotation._terms.clock = clock
    return clock


# -- deadline ------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_hanging_primary_leaves_time_for_the_second(
    sim: Simulator, provider: str, stream: bool
) -> None:
    """With ``deadline=2`` it is given up after 1 s, whatever the attempt timeout, and the second answers."""
    second = ALL[(ALL.index(provider) + 1) % 4]
    sim[provider].always(faults.blackhole())
    async with await started(sim, provider, second, timeout=600.0) as service:
        if stream:
            async with service.stream_response_async(HELLO, deadline=2.0) as answer:
                async for _ in answer:
                    pass
            response = answer.response
            assert response is not None
        else:
            response = await service.generate_response_async(HELLO, deadline=2.0)
    assert response.provider == second
    assert response.attempts[0].kind is FailureKind.TIMEOUT
    (seconds,) = allowed(response.attempts[:1])
    assert 0.0 < seconds <= 1.0


@pytest.mark.parametrize("provider", ALL)
async def test_a_stream_without_a_first_token_is_given_up(sim: Simulator, provider: str) -> None:
    """``LLM_FIRST_TOKEN_TIMEOUT`` is a limit of streams alone, shorter than the attempt's."""
    second = ALL[(ALL.index(provider) + 1) % 4]
    sim[provider].script(faults.blackhole())
    limits = {"first_token_timeout": 1.0, "timeout": 600.0, "deadline": 600.0}
    async with await started(sim, provider, second, **limits) as service:
        answer = service.stream_response_async(HELLO)
        assert [chunk async for chunk in answer]
    assert answer.response is not None
    assert [(a.provider, a.kind) for a in answer.response.attempts] == [
        (provider, FailureKind.TIMEOUT),
        (second, None),
    ]
    assert "no first token within 1.00 s" in answer.response.attempts[0].reason


async def test_when_all_hang_the_error_comes_at_the_deadline(sim: Simulator) -> None:
    """The attempts were allowed all of it and no more, and it says how the time was spent."""
    for provider in ALL:
        sim[provider].always(faults.blackhole())
    async with await started(sim, *ALL) as service:
        with pytest.raises(DeadlineExceededError, match="deadline of 2 s") as caught:
            await service.generate_response_async(HELLO, deadline=2.0)
    assert [a.provider for a in caught.value.attempts] == list(ALL)
    # Each after the first has what those before it left: what a busy machine adds shortens the next ones.
    spent = [a.seconds for a in caught.value.attempts]
    for number, seconds in enumerate(allowed(caught.value.attempts)):
        assert seconds <= (2.0 - sum(spent[:number])) / (4 - number) + 0.01  # rounded in the words
    assert all(a.deployment in str(caught.value) for a in caught.value.attempts)


async def test_the_last_provider_gets_all_that_remains(sim: Simulator) -> None:
    """A single provider may use its whole deadline."""
    sim.openai.always(faults.slow_drip(interval=0.02, size=32))
    async with await started(sim, "openai") as service:
        response = await service.generate_response_async(HELLO, deadline=20.0)
    assert response.content


async def test_a_stream_may_not_outlast_the_deadline(sim: Simulator) -> None:
    """The deadline is the whole call's, also after the first content."""
    sim.openai.always(faults.stall(after=2))
    async with await started(sim, "openai") as service:
        with pytest.raises(StreamInterruptedError, match="the deadline passed") as caught:
            async for _ in service.stream_response_async(HELLO, deadline=1.0):
                pass
    assert caught.value.kind is FailureKind.TIMEOUT


async def test_the_connect_timeout_is_a_trigger_of_its_own(sim: Simulator) -> None:
    """A port that drops the handshake costs the connect timeout, not the attempt's."""
    environ = sim.environ("openai", "groq")
    environ["OPENAI_BASE_URL"] = sim.openai.base_url_for("blackhole").replace("http:", "https:")
    service = UnifiedLLMService(load_settings(environ, connect_timeout=0.3, timeout=600.0))
    await service._ready()
    async with service:
        response = await service.generate_response_async(HELLO, deadline=600.0)
    assert response.attempts[0].kind is FailureKind.TIMEOUT
    assert response.attempts[0].reason == "connect timeout"


@pytest.mark.parametrize("dead_end", ["refused", "dns", "tls"])
@pytest.mark.parametrize("provider", ALL)
async def test_a_host_that_is_not_there_is_a_connection_failure(
    sim: Simulator, provider: str, dead_end: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, unknown name, no TLS spoken: the next provider answers at once."""
    second = ALL[(ALL.index(provider) + 1) % 4]
    environ = sim.environ(provider, second)
    look_up = socket.getaddrinfo

    def without_network(host: Any, *args: Any, **more: Any) -> Any:
        if str(host).endswith(".invalid"):  # RFC 6761: no resolver knows it, so none is asked
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", without_network)
    name = "AZURE_OPENAI_ENDPOINT" if provider == "azure_openai" else f"{provider.upper()}_BASE_URL"
    environ[name] = sim[provider].base_url_for(dead_end)
    service = UnifiedLLMService(load_settings(environ))
    async with service:
        response = await service.generate_response_async(HELLO)
    assert response.provider == second
    assert response.attempts[0].kind is FailureKind.CONNECTION


# -- breaker and cooldowns -----------------------------------------------------------------------------


async def test_in_steady_state_a_dead_primary_is_not_asked(sim: Simulator) -> None:
    """After ``LLM_FAILURE_THRESHOLD`` failures it cools down, with all its deployments, and calls start at the next."""
    sim.openai.always(faults.status(500))
    async with service_for(sim, "openai", "groq", pool_size=3) as service:
        answers = [await service.generate_response_async(HELLO) for _ in range(10)]
        stats = service.get_stats()["stats"]
    assert len(sim.openai.requests) == 3
    assert [len(a.attempts) for a in answers] == [2, 2, 2] + [1] * 7
    assert stats["fallback_count"] == 10


async def test_exactly_one_probe_when_the_cooldown_ends(sim: Simulator) -> None:
    """A hundred calls at once: one of them tries the primary, the others do not wait for it."""
    sim.openai.always(faults.status(500))
    async with await started(sim, "openai", "groq", pool_size=3) as service:
        clock = with_clock(service)
        for _ in range(3):
            await service.generate_response_async(HELLO)
        clock.now += 12.0
        await asyncio.gather(*(service.generate_response_async(HELLO) for _ in range(100)))
        assert len(sim.openai.requests) == 4
        clock.now += 12.0  # the failed probe doubled the cooldown: still open
        await service.generate_response_async(HELLO)
        assert len(sim.openai.requests) == 4
        sim.openai.always(None)
        clock.now += 12.0
        answers = await asyncio.gather(*(service.generate_response_async(HELLO) for _ in range(10)))
        assert sum(a.provider == "openai" for a in answers) >= 1
        assert (await service.generate_response_async(HELLO)).provider == "openai"


async def test_a_cancelled_probe_leaves_room_for_another(sim: Simulator) -> None:
    """The probe that its caller gave up does not block the provider for ever."""
    sim.openai.script(faults.status(500) * 3, faults.blackhole())
    async with await started(sim, "openai", "groq") as service:
        clock = with_clock(service)
        for _ in range(3):
            await service.generate_response_async(HELLO)
        clock.now += 12.0
        probe = asyncio.create_task(service.generate_response_async(HELLO))
        await sim.openai.wait_for_async(requests=4)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert (await service.generate_response_async(HELLO)).provider == "openai"


async def test_a_429_cools_down_only_that_key(sim: Simulator) -> None:
    """For exactly its ``Retry-After``; the other key of the same provider answers at once and goes on."""
    environ = sim.environ("openai", "groq") | {"OPENAI_API_KEYS": ",".join(sim.openai.api_keys[:2])}
    environ.pop("OPENAI_API_KEY")
    sim.openai.script(faults.rate_limit(retry_after=7))
    service = UnifiedLLMService(load_settings(environ, pool_size=2))
    await service._ready()
    async with service:
        clock = with_clock(service)
        first = await service.generate_response_async(HELLO)
        assert [(a.deployment, a.kind) for a in first.attempts] == [
            ("openai#0", FailureKind.RATE_LIMIT),
            ("openai#1", None),
        ]
        assert service.get_stats()["stats"]["fallback_count"] == 0
        for _ in range(3):
            assert (await service.generate_response_async(HELLO)).attempts[
                0
            ].deployment == "openai#1"
        clock.now += 6.99
        assert (await service.generate_response_async(HELLO)).attempts[0].deployment == "openai#1"
        clock.now += 0.02
        turns = [
            (await service.generate_response_async(HELLO)).attempts[0].deployment for _ in "ab"
        ]
    assert sorted(turns) == ["openai#0", "openai#1"]


async def test_the_last_provider_is_never_ejected(sim: Simulator) -> None:
    """A single provider is asked however often it failed, and answers as soon as it can."""
    sim.openai.script(faults.status(500) * 10)
    async with service_for(sim, "openai") as service:
        for _ in range(10):
            with pytest.raises(AllProvidersFailedError):
                await service.generate_response_async(HELLO)
        assert (await service.generate_response_async(HELLO)).provider == "openai"
    assert len(sim.openai.requests) == 11


async def test_when_all_cool_down_the_one_that_reopens_soonest_is_tried(sim: Simulator) -> None:
    """Rather than failing without an attempt."""
    for provider in ("openai", "groq"):
        sim[provider].script(faults.status(500) * 3)
    async with service_for(sim, "openai", "groq") as service:
        for _ in range(3):
            with pytest.raises(AllProvidersFailedError):
                await service.generate_response_async(HELLO)
        assert (await service.generate_response_async(HELLO)).provider in ("openai", "groq")


async def test_a_retry_after_past_the_deadline_is_told_at_once(sim: Simulator) -> None:
    """Nothing is sent; the error says when to come back."""
    for provider in ("openai", "groq"):
        sim[provider].script(faults.rate_limit(retry_after=30 if provider == "openai" else 40))
    async with await started(sim, "openai", "groq") as service:
        with pytest.raises(AllProvidersFailedError) as first:
            await service.generate_response_async(HELLO)
        with pytest.raises(AllProvidersFailedError, match="left alone") as second:
            await service.generate_response_async(HELLO, deadline=5.0)
    assert first.value.retry_after == pytest.approx(30, abs=1)
    assert second.value.retry_after == pytest.approx(30, abs=1)
    assert second.value.attempts == ()
    assert len(sim.openai.requests) == len(sim.groq.requests) == 1


async def test_a_retry_after_within_the_deadline_is_waited_for(sim: Simulator) -> None:
    """When nobody else is there, the call waits as long as it was asked to (time is injected)."""
    sim.openai.script(faults.rate_limit(retry_after=3))
    async with await started(sim, "openai") as service:
        clock = with_clock(service)
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            clock.now += seconds

        assert service._dispatcher is not None
        service._dispatcher._sleep = sleep
        with pytest.raises(AllProvidersFailedError):
            await service.generate_response_async(HELLO)
        assert (await service.generate_response_async(HELLO, deadline=10.0)).provider == "openai"
    assert waits == [pytest.approx(3.0)]


async def test_a_wrong_key_is_loud_and_cools_down(sim: Simulator) -> None:
    """401: the next provider answers, one error event, the key is not tried with each call."""
    sim.openai.always(faults.status(401))
    async with service_for(sim, "openai", "groq", pool_size=1) as service:
        with structlog.testing.capture_logs() as logs:
            for _ in range(5):
                assert (await service.generate_response_async(HELLO)).provider == "groq"
    loud = [entry for entry in logs if entry["event"] == "provider_misconfigured"]
    assert len(loud) == len(sim.openai.requests) == 1
    assert loud[0]["log_level"] == "error"


async def test_a_callers_wrong_model_cools_down_nobody(sim: Simulator) -> None:
    """A 404 for ``model=`` of one call says nothing about the configuration."""
    async with service_for(sim, "openai", "groq") as service:
        for _ in range(4):
            sim.openai.script(faults.status(404))
            await service.generate_response_async(HELLO, model="no-such-model")
        assert (await service.generate_response_async(HELLO)).provider == "openai"


async def test_fallback_on_changes_who_is_asked(sim: Simulator) -> None:
    """A kind that is not in ``LLM_FALLBACK_ON`` ends the call."""
    sim.openai.script(faults.status(500), faults.rate_limit())
    async with service_for(sim, "openai", "groq", fallback_on="rate_limit,timeout") as service:
        with pytest.raises(AllProvidersFailedError):
            await service.generate_response_async(HELLO)
        assert (await service.generate_response_async(HELLO)).provider == "groq"


async def test_retries_ask_again_only_when_all_have_failed(sim: Simulator) -> None:
    """With ``LLM_RETRIES`` a second round goes to those whose failure was transient."""
    sim.openai.script(faults.status(500))
    sim.groq.script(faults.rate_limit())
    async with await started(sim, "openai", "groq", retries=1) as service:
        response = await service.generate_response_async(HELLO)
    assert [(a.provider, a.kind) for a in response.attempts] == [
        ("openai", FailureKind.SERVER),
        ("groq", FailureKind.RATE_LIMIT),
        ("openai", None),
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_retry_is_made_although_the_failure_opened_the_breaker(
    sim: Simulator, stream: bool
) -> None:
    """``LLM_RETRIES`` means it, also with ``LLM_FAILURE_THRESHOLD=1``."""
    sim.openai.script(faults.status(500))
    async with await started(sim, "openai", retries=1, failure_threshold=1) as service:
        if stream:
            assert [chunk async for chunk in service.stream_response_async(HELLO)]
        else:
            assert (await service.generate_response_async(HELLO)).content
        assert service.get_health()["openai"]["breaker"] == "closed"
    assert len(sim.openai.requests) == 2


async def test_a_retry_waits_as_long_as_it_was_asked_to(sim: Simulator) -> None:
    """A 503 with ``Retry-After``: not before, even when nobody else is there."""
    sim.openai.script(faults.status(503, headers={"retry-after": "3"}))
    async with await started(sim, "openai", retries=1, failure_threshold=1) as service:
        clock, waits = with_clock(service), []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            clock.now += seconds

        assert service._dispatcher is not None
        service._dispatcher._sleep = sleep
        assert (await service.generate_response_async(HELLO)).content
    assert waits == [pytest.approx(3.0)]
    assert len(sim.openai.requests) == 2


# -- secrets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("code", [400, 401, 429, 500])
async def test_nothing_that_an_upstream_echoes_is_shown(
    sim: Simulator, provider: str, stream: bool, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys and prompts echoed by an error are in no text, log (LiteLLM's neither), traceback or statistic."""
    caplog.set_level(logging.DEBUG)
    prompt = "the launch code is 0000-swordfish"
    sim[provider].script(faults.echo_secrets(code))
    async with service_for(sim, provider) as service:
        with pytest.raises(LLMError) as caught:
            messages = [{"role": "user", "content": prompt}]
            if stream:
                async for _ in service.stream_response_async(messages):
                    pass
            else:
                await service.generate_response_async(messages)
        error = caught.value
        shown = "\n".join(
            [
                str(error),
                repr(error),
                repr(error.attempts),
                "".join(traceback.format_exception(error)),
                str(service.get_stats()),
                *(record.getMessage() for record in caplog.records),
            ]
        )
    assert error.__cause__ is None  # the wire digested the refusal: there is no foreign exception
    assert "swordfish" not in shown
    assert sim[provider].api_key not in shown


# -- cancellation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_cancelled_call_leaves_nothing_behind(
    sim: Simulator, provider: str, stream: bool
) -> None:
    """No socket busy, no task, no warning; counted as cancelled, and nobody else is asked."""
    sim[provider].always(faults.stall(after=2) if stream else faults.blackhole())
    second = ALL[(ALL.index(provider) + 1) % 4]

    async def read() -> None:
        async for _ in service.stream_response_async(HELLO):
            pass

    async with await started(sim, provider, second) as service:
        before = asyncio.all_tasks()
        work = read() if stream else service.generate_response_async(HELLO)
        task = asyncio.create_task(work)  # type: ignore[arg-type]
        await sim[provider].wait_for_async(requests=1)
        if stream:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await sim[provider].wait_for_async(open_connections=0)
        stats = service.get_stats()["stats"]
        del task
        gc.collect()
        assert asyncio.all_tasks() <= before
    assert stats["errors_by_kind"][provider] == {"cancelled": 1}
    assert stats["cancelled_requests"] == 1
    assert not sim[second].requests


async def test_a_call_cancelled_before_it_was_sent_warns_of_nothing(sim: Simulator) -> None:
    """In its first turns of the loop LiteLLM would lose a coroutine; warnings are errors here."""
    async with await started(sim, "openai") as service:
        for turns in range(12):
            task = asyncio.create_task(service.generate_response_async(HELLO))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # a quick one may have its answer
                await task
        gc.collect()
        assert (await service.generate_response_async(HELLO)).content


async def test_closing_ends_the_calls_under_way(sim: Simulator) -> None:
    """Twenty calls in all stages end with an error of ours, and no socket is opened afterwards."""
    sim.openai.always(faults.blackhole())
    service = await started(sim, "openai", "groq")
    calls = [asyncio.create_task(service.generate_response_async(HELLO)) for _ in range(20)]
    await sim.openai.wait_for_async(requests=3)
    await service.aclose()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} <= {ServiceClosedError, AllProvidersFailedError}
    for provider in ("openai", "groq"):
        await sim[provider].wait_for_async(open_connections=0)
