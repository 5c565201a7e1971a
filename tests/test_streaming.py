"""Streams: chunks, the whole answer at the end, failover before the first content, interruption after."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_unified import (
    AllProvidersFailedError,
    FailureKind,
    LLMResponse,
    StreamChunk,
    StreamInterruptedError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.testing import Simulator, faults, replies

ALL = ("openai", "azure_openai", "groq", "anthropic")
HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {}}},
    }
    for name in ("get_weather", "get_time")
]


def service_for(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    return UnifiedLLMService(load_settings(sim.environ(*names), **overrides))


async def read(service: UnifiedLLMService, **options: Any) -> tuple[list[StreamChunk], LLMResponse]:
    async with service.stream_response_async(HELLO, **options) as stream:
        chunks = [chunk async for chunk in stream]
    assert stream.response is not None
    return chunks, stream.response


@pytest.mark.parametrize("provider", ALL)
async def test_a_stream_yields_chunks_and_ends_with_the_whole(
    sim: Simulator, provider: str
) -> None:
    """Content in order, provider and model on each chunk, usage and cost at the end."""
    sim[provider].script(replies.text("One two three four", chunks=4))
    async with service_for(sim, provider) as service:
        chunks, response = await read(service)
    assert "".join(chunk.content for chunk in chunks) == response.content == "One two three four"
    assert len(chunks) >= 4
    assert {(chunk.provider, chunk.model) for chunk in chunks} == {(provider, sim[provider].model)}
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    assert response.finish_reason == "stop"
    assert response.usage.prompt_tokens > 0
    assert response.usage.completion_tokens > 0
    assert response.cost_usd is not None
    assert response.attempts[-1].first_token_seconds is not None
    assert response.raw_response["content"] == response.content


@pytest.mark.parametrize("provider", ALL)
async def test_parallel_tool_calls_are_assembled(sim: Simulator, provider: str) -> None:
    """The deltas of several tool calls become parsed calls, as without streaming."""
    wanted = [("get_weather", {"city": "Rome"}), ("get_time", {"zone": "CET", "hours": [1, 2]})]
    sim[provider].script(*[replies.tool_calls(wanted)] * 2)
    async with service_for(sim, provider) as service:
        chunks, streamed = await read(service, tools=TOOLS)
        whole = await service.generate_response_async(HELLO, tools=TOOLS)
    for response in (streamed, whole):
        assert [(c.name, c.arguments) for c in response.tool_calls] == wanted
        assert len({c.id for c in response.tool_calls}) == 2
        assert response.finish_reason == "tool_calls"
        assert len(response.raw_response["tool_calls"]) == 2
    assert {delta.index for chunk in chunks for delta in chunk.tool_calls} >= {0, 1}


@pytest.mark.parametrize("provider", ALL)
async def test_failover_happens_until_the_first_content(sim: Simulator, provider: str) -> None:
    """A stream that breaks before it said anything is answered by the next, without a trace."""
    second = ALL[(ALL.index(provider) + 1) % 4]
    sim[provider].script(faults.cut_stream(after=0))
    async with service_for(sim, provider, second) as service:
        _, response = await read(service)
        stats = service.get_stats()["stats"]
    assert response.provider == second
    assert "spoilt" not in response.content
    assert stats["fallback_count"] == 1


@pytest.mark.parametrize("provider", ALL)
async def test_after_the_first_content_the_partial_answer_is_kept(
    sim: Simulator, provider: str
) -> None:
    """`StreamInterruptedError` carries what came; two models are never spliced."""
    second = ALL[(ALL.index(provider) + 1) % 4]
    sim[provider].script(faults.end_stream_early(after=3))
    got = ""
    async with service_for(sim, provider, second) as service:
        with pytest.raises(StreamInterruptedError) as caught:
            async for chunk in service.stream_response_async(HELLO):
                got += chunk.content
        stats = service.get_stats()["stats"]
    assert got
    assert caught.value.partial_text == got
    assert caught.value.kind is FailureKind.INVALID_RESPONSE
    assert caught.value.attempts[-1].first_token_seconds is not None
    assert not sim[second].requests
    assert stats["errors_by_provider"][provider] == 1
    assert stats["failed_requests"] == 1


@pytest.mark.parametrize("provider", ALL)
async def test_partial_tool_calls_are_kept(sim: Simulator, provider: str) -> None:
    """Tool deltas count as content."""
    reply = replies.tool_call("get_weather", {"city": "Rome", "days": list(range(20))})
    sim[provider].script(faults.end_stream_early(after=2, reply=reply))
    async with service_for(sim, provider, "groq" if provider != "groq" else "openai") as service:
        with pytest.raises(StreamInterruptedError) as caught:
            async for _ in service.stream_response_async(HELLO, tools=TOOLS):
                pass
    assert caught.value.tool_calls[0].name == "get_weather"


async def _break(service: UnifiedLLMService) -> None:
    async for _ in service.stream_response_async(HELLO):
        break


async def _break_while_held(service: UnifiedLLMService) -> None:
    stream = service.stream_response_async(HELLO)
    async for _ in stream:
        break


async def _aclose(service: UnifiedLLMService) -> None:
    stream = service.stream_response_async(HELLO)
    await anext(stream)
    await stream.aclose()
    await stream.aclose()


async def _exception(service: UnifiedLLMService) -> None:
    with pytest.raises(ZeroDivisionError):
        async for _ in service.stream_response_async(HELLO):
            raise ZeroDivisionError


async def _cancel(service: UnifiedLLMService) -> None:
    reading = asyncio.Event()

    async def read() -> None:
        async for _ in service.stream_response_async(HELLO):
            reading.set()

    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("leave", [_break, _break_while_held, _aclose, _exception, _cancel])
async def test_leaving_early_frees_the_socket_at_once(
    sim: Simulator, provider: str, leave: Any
) -> None:
    """However the reader stops, nothing stays busy, and the call counts as cancelled."""
    sim[provider].script(faults.stall(after=2))
    async with service_for(sim, provider, pool_size=1) as service:
        await leave(service)
        await sim[provider].wait_for_async(open_connections=0)
        stats = service.get_stats()["stats"]
        assert (await service.generate_response_async(HELLO)).provider == provider
    assert stats["errors_by_kind"][provider] == {"cancelled": 1}
    assert stats["cancelled_requests"] == 1
    assert stats["failed_requests"] == 0


async def test_a_stream_can_be_read_once(sim: Simulator) -> None:
    """A finished stream is empty when it is read again, and keeps its response."""
    async with service_for(sim, "openai") as service:
        stream = service.stream_response_async(HELLO)
        first = [chunk async for chunk in stream]
        assert [chunk async for chunk in stream] == []
    assert first
    assert stream.response is not None
    assert len(sim.openai.requests) == 1


async def test_nothing_is_sent_before_the_first_read(sim: Simulator) -> None:
    """A stream that nobody reads costs nothing."""
    async with service_for(sim, "openai") as service:
        stream = service.stream_response_async(HELLO)
        await stream.aclose()
        assert service.get_stats()["stats"]["total_requests"] == 0
    assert not sim.openai.requests


async def test_when_nobody_streams_the_error_has_the_trail(sim: Simulator) -> None:
    """All fail before content: `AllProvidersFailedError`, as without streaming."""
    for name in ("openai", "groq"):
        sim[name].script(faults.status(503))
    async with service_for(sim, "openai", "groq") as service:
        with pytest.raises(AllProvidersFailedError) as caught:
            await read(service)
        assert service.get_stats()["stats"]["failed_requests"] == 1
    assert [a.provider for a in caught.value.attempts] == ["openai", "groq"]


async def test_accept_is_asked_at_the_end(sim: Simulator) -> None:
    """What was shown cannot be taken back: a rejected stream is interrupted."""
    async with service_for(sim, "openai", "groq") as service:
        with pytest.raises(StreamInterruptedError) as caught:
            await read(service, accept=lambda _: False)
    assert caught.value.kind is FailureKind.REJECTED
    assert caught.value.partial_text


async def test_a_slow_reader_holds_the_sender_back(sim: Simulator) -> None:
    """Backpressure: what is not read is not fetched, so a long stream does not pile up here."""
    sim.openai.script(replies.text("x" * 2000 * 40_000, chunks=2000))
    async with (
        service_for(sim, "openai") as service,
        service.stream_response_async(HELLO) as stream,
    ):
        await anext(stream)
        request = sim.openai.requests[0]
        for _ in range(200):
            await asyncio.sleep(0)
        assert not request.finished
