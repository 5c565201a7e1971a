"""What happens is told once, in order, to whoever listens; and whoever listens hurts no request."""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from llm_unified import (
    AllProvidersFailedError,
    BadRequestError,
    LLMError,
    StreamInterruptedError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.events import (
    AttemptEnded,
    AttemptStarted,
    BreakerChanged,
    CallEnded,
    CallStarted,
    CooledDown,
    Event,
    FellBack,
    Misconfigured,
    QuotaSpent,
    Reloaded,
)
from llm_unified.observe.publisher import FAILURES_UNTIL_UNSUBSCRIBED
from llm_unified.observe.queued import QUEUED_EVENTS, Queued
from llm_unified.testing import Simulator, faults

HELLO = [{"role": "user", "content": "the secret word is swordfish"}]
PATIENCE = 10.0


def service_for(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    chosen = names or ("openai", "groq")
    return UnifiedLLMService(load_settings(sim.environ(*chosen), **{"pool_size": 1} | overrides))


def heard(service: UnifiedLLMService, *only: type[Event]) -> list[Any]:
    events: list[Any] = []
    service.subscribe(events.append, only=only, inline=True)
    return events


def names(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


async def test_a_rescued_call_is_told_from_its_beginning_to_its_end(sim: Simulator) -> None:
    """Started, one failed attempt, a fallback, one that answered, ended: with one id, also on the response."""
    sim.openai.script(faults.status(500))
    async with service_for(sim) as service:
        events = heard(service)
        response = await service.generate_response_async(HELLO, temperature=0.5)
    assert names(events) == [
        "CallStarted",
        "AttemptStarted",
        "AttemptEnded",
        "FellBack",
        "AttemptStarted",
        "AttemptEnded",
        "CallEnded",
    ]
    assert {event.call_id for event in events} == {response.call_id}
    started, _, failed, fell, _, answered, ended = events
    assert (started.operation, started.stream, started.chain) == ("chat", False, ("openai", "groq"))
    assert started.params["temperature"] == 0.5
    assert (started.upstream.vendor, started.upstream.server_port) == ("openai", sim.openai.port)
    assert (failed.attempt.kind, failed.upstream.deployment) == ("server", "openai#0")
    assert (fell.source, fell.target, fell.kind) == ("openai", "groq", "server")
    assert answered.attempt.usage == response.usage
    assert answered.response_model == response.raw_response["model"]
    assert (answered.finish_reason, answered.requests) == ("stop", 1)
    assert (answered.connections_opened, answered.connections_reused) == (1, 0)
    assert (ended.outcome, ended.by_fallback, ended.upstream.provider) == ("answered", True, "groq")
    assert ended.attempts == response.attempts
    assert (ended.usage, ended.cost_usd, ended.response) == (
        response.usage,
        response.cost_usd,
        response,
    )
    assert "swordfish" not in repr(events)


async def test_how_a_call_ended_is_told_with_its_error(sim: Simulator) -> None:
    """Failed, refused, cancelled, left early, interrupted: exactly one end each, and the id on the error."""
    async with service_for(sim, "openai") as service:
        ends = heard(service, CallEnded)
        sim.openai.script(faults.status(503))
        with pytest.raises(AllProvidersFailedError) as failed:
            await service.generate_response_async(HELLO)
        sim.openai.script(faults.bad_request())
        with pytest.raises(BadRequestError) as refused:
            await service.generate_response_async(HELLO)
        sim.openai.script(faults.blackhole())
        call = asyncio.create_task(service.generate_response_async(HELLO))
        await sim.openai.wait_for_async(requests=3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with service.stream_response_async(HELLO) as stream:
            async for _ in stream:
                break
        sim.openai.script(faults.cut_stream(after=2))
        with pytest.raises(StreamInterruptedError) as interrupted:
            async for _ in service.stream_response_async(HELLO):
                pass
    assert [(e.outcome, e.stream, e.kind) for e in ends] == [
        ("failed", False, "server"),
        ("failed", False, "bad_request"),
        ("cancelled", False, "cancelled"),
        ("cancelled", True, "cancelled"),
        ("interrupted", True, "connection"),
    ]
    errors: list[LLMError] = [failed.value, refused.value, interrupted.value]
    assert [error.call_id for error in errors] == [ends[i].call_id for i in (0, 1, 4)]
    assert [ends[i].error for i in (0, 1, 4)] == errors
    assert ends[4].first_token_seconds is not None
    assert not ends[4].by_fallback


async def test_breakers_cooldowns_keys_and_reloads_are_told(sim: Simulator) -> None:
    """A breaker opens, is tried and closes; a refused key and a spent one are told once each."""
    async with service_for(sim, "openai", "groq", failure_threshold=1, cooldown=0.001) as service:
        changes = heard(service, BreakerChanged, CooledDown)
        sim.openai.script(faults.status(500))
        await service.generate_response_async(HELLO)
        while not any(getattr(event, "after", "") == "closed" for event in changes):
            await service.generate_response_async(HELLO)  # until the probe was made
        moves = [(e.before, e.after) for e in changes if isinstance(e, BreakerChanged)]
        assert moves == [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]
        (cooled,) = (e for e in changes if isinstance(e, CooledDown))
        assert (cooled.provider, cooled.kind, cooled.asked_for) == ("openai", "server", False)
        assert all(event.call_id for event in changes)
    async with service_for(sim, "openai", "anthropic", "groq") as service:
        told = heard(service, Misconfigured, QuotaSpent, Reloaded)
        sim.openai.always(faults.status(401))
        sim.anthropic.always(faults.credit_spent())
        for _ in range(3):
            await service.generate_response_async(HELLO)
        await service.reload(load_settings(sim.environ("groq")))
    assert names(told) == ["Misconfigured", "QuotaSpent", "Reloaded"]
    assert [event.attempt.kind for event in told[:2]] == ["auth", "quota"]
    assert told[2].chain == ("groq",)


async def test_one_that_rests_is_told_as_a_fallback_without_an_attempt(sim: Simulator) -> None:
    """`FellBack.kind` is ``None``, and nothing was sent to the first."""
    sim.openai.script(faults.rate_limit(retry_after=600))
    async with service_for(sim) as service:
        await service.generate_response_async(HELLO)
        events = heard(service, FellBack, AttemptStarted, CallEnded)
        await service.generate_response_async(HELLO)
    assert names(events) == ["FellBack", "AttemptStarted", "CallEnded"]
    assert (events[0].kind, events[0].source_deployment) == (None, None)
    assert events[2].by_fallback


async def test_a_ping_is_one_attempt_and_no_call(sim: Simulator) -> None:
    """With ``operation="ping"``, so that whoever counts users' requests can leave it out."""
    async with service_for(sim) as service:
        events = heard(service)
        await service.warm_connections()
        await service.embed_async("text", model="text-embedding-3-small", provider="openai")
    pings, call = events[:4], events[4:]
    assert {event.operation for event in pings} == {"ping"}
    assert sorted(names(pings)) == ["AttemptEnded"] * 2 + ["AttemptStarted"] * 2
    assert names(call) == ["CallStarted", "AttemptStarted", "AttemptEnded", "CallEnded"]
    assert {event.operation for event in call} == {"embeddings"}
    assert call[2].upstream.model == "text-embedding-3-small"
    assert call[2].response_model


async def test_what_sent_nothing_is_told_so(sim: Simulator) -> None:
    """A request that this model cannot take begins and ends an attempt that counts nowhere."""
    async with service_for(sim, "openai", adapt=False) as service:
        events = heard(service, AttemptStarted, AttemptEnded)
        with pytest.raises(LLMError):
            await service.generate_response_async(HELLO, stop=["\n"] * 17)
        assert names(events) == ["AttemptStarted", "AttemptEnded"]
        assert not events[1].attempt.sent
        assert service.get_stats()["stats"]["providers"]["openai"]["attempts"] == 0
        assert service.get_stats()["stats"]["providers"]["openai"]["in_flight"] == 0
    assert not sim.openai.requests


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "queued"])
async def test_a_subscriber_that_raises_hurts_no_request(sim: Simulator, inline: bool) -> None:
    """It is said once in the log, and after ten failures in a row it hears no more."""
    called: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def broken(event: Event) -> None:
        called.put(event)
        raise asyncio.CancelledError if inline else RuntimeError(HELLO)

    async with service_for(sim) as service:
        with structlog.testing.capture_logs() as logs:
            service.subscribe(broken, only=(CallEnded,), inline=inline)
            for _ in range(FAILURES_UNTIL_UNSUBSCRIBED):
                assert (await service.generate_response_async(HELLO)).content
                await asyncio.to_thread(called.get, timeout=PATIENCE)
            await service.aclose()  # the thread has ended
        assert called.empty()
    said = [(e["event"], e["log_level"], e["failures"]) for e in logs if "subscriber" in e]
    assert said == [
        ("subscriber_failed", "error", 1),
        ("subscriber_removed", "error", FAILURES_UNTIL_UNSUBSCRIBED),
    ]
    assert "swordfish" not in str(logs)


async def test_a_removed_subscriber_hears_no_more(sim: Simulator) -> None:
    """Ten failures in a row end it; an answer in between starts the count again."""
    calls = 0

    def flaky(event: CallEnded) -> None:
        nonlocal calls
        calls += 1
        if calls != FAILURES_UNTIL_UNSUBSCRIBED:
            raise ValueError

    async with service_for(sim) as service:
        service.subscribe(flaky, only=(CallEnded,), inline=True)
        for _ in range(2 * FAILURES_UNTIL_UNSUBSCRIBED + 5):
            await service.generate_response_async(HELLO)
    assert calls == 2 * FAILURES_UNTIL_UNSUBSCRIBED


async def test_a_subscriber_that_blocks_hurts_no_request(sim: Simulator) -> None:
    """It has a thread of its own: the others hear everything, and requests go on as if it were not there."""
    release = threading.Event()
    heard_by_other: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def blocking(event: Event) -> None:
        release.wait()

    async with service_for(sim) as service:
        service.subscribe(blocking)
        service.subscribe(heard_by_other.put, only=(CallEnded,))
        responses = [await service.generate_response_async(HELLO) for _ in range(3)]
        ids = [
            (await asyncio.to_thread(heard_by_other.get, timeout=PATIENCE)).call_id
            for _ in responses
        ]
        assert ids == [response.call_id for response in responses]
        release.set()


def test_what_a_blocked_subscriber_misses_is_bounded_and_said_once() -> None:
    """Ten thousand events wait for it; what comes on top is dropped, for it alone."""
    release, begun = threading.Event(), threading.Event()
    got: list[int] = []

    def deliver(event: int) -> None:
        begun.set()
        release.wait()
        got.append(event)

    queued = Queued(deliver)
    with structlog.testing.capture_logs() as logs:
        queued.put(0)
        begun.wait()
        for number in range(1, QUEUED_EVENTS + 6):
            queued.put(number)
    release.set()
    queued.end(wait=PATIENCE)
    assert got == list(range(QUEUED_EVENTS + 1))
    assert queued.dropped == 5
    assert [log["event"] for log in logs] == ["subscriber_too_slow"]


async def test_unsubscribing_ends_it_at_once(sim: Simulator) -> None:
    """And may be done twice; two services hear nothing of each other."""
    async with service_for(sim) as one, service_for(sim) as two:
        first, second = [], []  # type: ignore[var-annotated]
        stop = one.subscribe(first.append, only=(CallStarted,), inline=True)
        two.subscribe(second.append, only=(CallStarted,), inline=True)
        await one.generate_response_async(HELLO)
        stop()
        stop()
        await one.generate_response_async(HELLO)
        await two.generate_response_async(HELLO)
    assert (len(first), len(second)) == (1, 1)


async def test_an_inline_subscriber_may_hang_things_on_the_request(sim: Simulator) -> None:
    """Headers go upstream (what is no header does not, nor what replaces one of ours); scopes are entered and left."""
    seen: list[str] = []

    class Scope:
        def __enter__(self) -> None:
            seen.append("entered")

        def __exit__(self, *_: object) -> None:
            seen.append("left")
            raise RuntimeError

    class Broken(Scope):
        def __enter__(self) -> None:
            raise RuntimeError

    def hang(event: AttemptStarted) -> None:
        event.sending.headers |= {
            "X-Tenant": "blue",
            "Authorization": "Bearer stolen",
            "X-Line": "a\r\nX-Smuggled: b",
            "X Space": "c",
        }
        event.sending.scopes += [Scope(), Broken()]

    async with service_for(sim, "openai") as service:
        service.subscribe(hang, only=(AttemptStarted,), inline=True)
        seen += [type(chunk).__name__ async for chunk in service.stream_response_async(HELLO)]
    (request,) = sim.openai.requests
    assert request.headers["x-tenant"] == "blue"
    assert request.api_key == sim.openai.api_key
    assert not {"x-line", "x-smuggled", "x space"} & set(request.headers)
    assert seen[:3] == ["entered", "left", "StreamChunk"]


async def test_the_gaps_between_chunks_are_measured_on_request(sim: Simulator) -> None:
    """One for each that came after the first by itself; none where nobody asked."""
    sim.openai.always(faults.slow_drip(interval=0.001))
    async with service_for(sim, "openai") as service:
        ends = heard(service, AttemptEnded)

        async def chunks() -> int:
            return len([c async for c in service.stream_response_async(HELLO) if c.content])

        await chunks()

        def ask(event: AttemptStarted) -> None:
            event.sending.gaps = []

        service.subscribe(ask, only=(AttemptStarted,), inline=True)
        count = await chunks()
    assert ends[0].chunk_seconds == ()
    assert 0 < len(ends[1].chunk_seconds) < count
    assert all(gap > 0.0 for gap in ends[1].chunk_seconds)


STATISTICS = {
    "calls": 2,
    "attempts": 2,
    "answers": 1,
    "errors": 1,
    "errors_by_kind": {"server": 1},
    "fallbacks_in": 0,
    "fallbacks_out": 1,
    "in_flight": 0,
}


async def test_statistics_per_provider_and_deployment(sim: Simulator) -> None:
    """Calls, attempts, errors, fallbacks, tokens, costs, latencies, connections: ready for JSON, resettable."""
    sim.openai.script(faults.status(500))
    async with service_for(sim) as service:
        await service.generate_response_async(HELLO)
        response = await service.generate_response_async(HELLO)
        stats = service.get_stats()["stats"]
        for figures in (stats["providers"]["openai"], stats["deployments"]["openai#0"]):
            assert {name: figures[name] for name in STATISTICS} == STATISTICS  # type: ignore[literal-required]
            assert response.usage is not None
            assert figures["tokens"]["prompt_tokens"] == response.usage.prompt_tokens
            assert figures["cost_usd"] == response.cost_usd
            assert figures["connections"]["opened"] + figures["connections"]["reused"] == 2
        assert stats["providers"]["groq"]["fallbacks_in"] == 1
        assert stats["deployments"]["groq#0"]["fallbacks_in"] == 1
        assert json.loads(json.dumps(stats)) == stats
        service.reset_stats()
        again = service.get_stats()["stats"]
        assert (again["total_requests"], again["deployments"]) == (0, {})
        assert again["providers"]["openai"]["attempts"] == 0


async def test_what_is_in_flight_is_counted_and_survives_a_reset(sim: Simulator) -> None:
    """One call, one attempt; zero again when it has ended."""
    sim.openai.script(faults.blackhole())
    async with service_for(sim) as service:

        def flying() -> tuple[int, int, int]:
            stats = service.get_stats()["stats"]
            deployment = stats["deployments"].get("openai#0")
            return (
                stats["in_flight"],
                stats["providers"]["openai"]["in_flight"],
                0 if deployment is None else deployment["in_flight"],
            )

        call = asyncio.create_task(service.generate_response_async(HELLO))
        await sim.openai.wait_for_async(requests=1)
        assert flying() == (1, 1, 1)
        service.reset_stats()
        assert flying() == (1, 1, 1)
        call.cancel()
        await asyncio.wait({call})
        assert flying() == (0, 0, 0)


def counted(service: UnifiedLLMService, ask: Callable[[], object], times: int) -> None:
    for _ in range(times):
        ask()


def test_statistics_are_exact_under_threads(sim: Simulator) -> None:
    """Eight threads, nothing lost, nothing counted twice."""
    with service_for(sim, "openai") as service:
        threads = [
            threading.Thread(
                target=counted, args=(service, lambda: service.generate_response(HELLO), 10)
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        figures = service.get_stats()["stats"]["providers"]["openai"]
    assert (figures["calls"], figures["attempts"], figures["answers"]) == (80, 80, 80)
    assert figures["connections"]["opened"] + figures["connections"]["reused"] == 80
    assert figures["connections"]["opened"] == len({r.connection for r in sim.openai.requests})


FORKED = """
import os, sys
from llm_unified.events import Reloaded
from llm_unified.observe.publisher import Publisher

def say(event):
    os.write(1, f"{event.chain[0]} in {'child' if os.getpid() != parent else 'parent'}\\n".encode())

parent, publisher = os.getpid(), Publisher()
publisher.subscribe(say)
publisher.publish(Reloaded(("before",), 1))
child = os.fork()
publisher.publish(Reloaded(("child" if child == 0 else "parent",), 1))
publisher.close()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_forked_child_s_subscriber_hears_the_child_s_events() -> None:
    """On a thread of its own; what the parent had published stays the parent's."""
    ran = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    assert sorted(ran.stdout.splitlines()) == [
        "before in parent",
        "child in child",
        "parent in parent",
    ]
    assert not ran.stderr
