"""What a typed application writes. Checked by mypy and pyright (``python3 dev.py lint``), never run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, assert_type

from pydantic import BaseModel

from llm_unified import (
    Attempt,
    Embedding,
    FailureKind,
    LLMError,
    LLMResponse,
    StreamChunk,
    ToolCall,
    UnifiedLLMClient,
    UnifiedLLMService,
    get_llm_service,
    get_llm_warmer,
    load_settings,
)


class City(BaseModel):
    name: str


MESSAGES: list[dict[str, str]] = [{"role": "user", "content": "Hi"}]
FROZEN: Sequence[Mapping[str, Any]] = (MappingProxyType({"role": "user", "content": "Hi"}),)
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


async def accept(response: LLMResponse) -> bool:
    return bool(response.content)


async def asynchronous(service: UnifiedLLMService) -> None:
    response = await service.generate_response_async(
        MESSAGES,
        0.7,
        max_tokens=100,
        tools=TOOLS,
        provider="groq",
        model="m",
        fallback=False,
        deadline=8.0,
        timeout=4,
        accept=accept,
        response_format=City,
        stop=["\n"],
        tool_choice="auto",
        extra_body={"x": 1},
    )
    assert_type(response, LLMResponse)
    assert_type(response.tool_calls, tuple[ToolCall, ...])
    assert_type(response.attempts, tuple[Attempt, ...])
    assert_type(response.attempts[0].kind, FailureKind | None)
    async for chunk in service.stream_response_async(FROZEN, temperature=0.1, seed=1):
        assert_type(chunk, StreamChunk)
    results = await service.generate_many_async([MESSAGES, FROZEN], concurrency=2, deadline=3.0)
    assert_type(results, list[LLMResponse | LLMError])
    found = await service.embed_async(["a"], model="m", dimensions=8, provider="openai")
    assert_type(found, Embedding)
    assert_type(await service.warm_connections(), dict[str, bool])
    warmer = await get_llm_warmer()
    await warmer.start()


def synchronous() -> None:
    with UnifiedLLMService(load_settings({"LLM_PRIMARY_PROVIDER": "local"})) as service:
        response = service.generate_response(
            FROZEN, 0.7, max_tokens=10, provider="local", deadline=2.0, accept=lambda r: r.content
        )
        assert_type(response, LLMResponse)
        for chunk in service.stream_response(MESSAGES, top_p=0.5):
            assert_type(chunk, StreamChunk)
        many = service.generate_many([MESSAGES], progress=True, max_tokens=3, timeout=1.0)
        assert_type(many, list[LLMResponse | LLMError])
        assert_type(service.embed("a", model="m"), Embedding)


async def legacy() -> None:
    answer = await UnifiedLLMClient(get_llm_service()).generate_response(
        messages=MESSAGES, temperature=0.7, tools=TOOLS, provider="openai"
    )
    assert_type(answer, dict[str, Any])


def mistakes(service: UnifiedLLMService) -> None:
    """Each of these is an error for both."""
    service.generate_response(MESSAGES, deadline="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service.generate_response("Hi")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service.generate_response(MESSAGES, provder="groq")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    service.embed("a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    service.stream_response(MESSAGES, fallback="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
