"""Wrong arguments are named and nothing is sent; what the caller changes after the call began changes nothing."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_unified import (
    BadRequestError,
    ConfigurationError,
    LLMError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.calls.arguments import chat_request
from llm_unified.response import LLMResponse
from llm_unified.testing import Simulator, faults

HELLO = [{"role": "user", "content": "Hello"}]
CYCLE: dict[str, Any] = {}
CYCLE["itself"] = CYCLE
DEEP: Any = "x"
for _ in range(5000):
    DEEP = [DEEP]

WRONG: dict[str, tuple[Any, ...]] = {
    "deadline": ("5", float("nan"), float("inf"), -1, 0, True, [], 10**400),
    "timeout": ("5", float("nan"), -0.5, object(), b"1"),
    "model": ("", "  ", 7, "a/../b", "../x", "x?y", "x#y", "x\ny", "x\x1by", "a//b", "a\\b", ["x"]),
    "fallback": ("yes", 1, []),
    "accept": (True, "x", 5),
    "temperature": ("0.5", float("nan"), [1], True),
    "max_tokens": (0, -1, "10", 1.5, True),
    "max_completion_tokens": (0, "5"),
    "tools": ("x", {"type": "function"}, [1], 5, [DEEP]),
    "tool_choice": (5, [1]),
    "stop": (5, [1], {"a": 1}),
    "seed": ("1", 1.5),
    "extra_headers": ("x", {"a": 1}, {"a": "b\r\nx-evil: 1"}, {"a\n": "b"}, {1: "a"}, {"a": "ž"}),
    "extra_body": ("x", [1], 5, CYCLE, {"a": DEEP}),
    "metadata": ("x", 1),
    "logit_bias": ([1], "x"),
    "user": (5, b"x"),
    "response_format": (5, "json", int, {}),
    "n": (2, "1", 0),
    "reasoning_effort": (5, ["low"]),
    "thinking": ("x", True),
    "functions": (5, ["f"]),
    "modalities": ("text", [1]),
    "anything": (object(), {"a": b"x"}, [{1, 2}]),
    "stream_options": (True,),
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_wrong_argument_is_named_and_nothing_is_sent(
    sim: Simulator, *, stream: bool
) -> None:
    """Every option, of every type that it cannot be."""
    async with UnifiedLLMService(load_settings(sim.environ("openai", "groq"))) as service:
        for name, value in CASES:
            options: dict[str, Any] = {name: value}
            with pytest.raises(BadRequestError, match=name) as caught:
                if stream:
                    await anext(aiter(service.stream_response_async(HELLO, **options)))
                else:
                    await service.generate_response_async(HELLO, **options)
            assert caught.value.attempts == ()
            assert len(str(caught.value)) < 400
        for messages in (
            None,
            5,
            "Hi",
            b"Hi",
            {"role": "user"},
            (m for m in HELLO),
            [1],
            [None],
            [DEEP],
        ):
            with pytest.raises(BadRequestError, match="messages"):
                await service.generate_response_async(messages)  # type: ignore[arg-type]
        for deep in (CYCLE, {"content": CYCLE}, {"content": DEEP}):
            with pytest.raises(BadRequestError, match="messages"):
                await service.generate_response_async([deep])
        for provider in (3, "nobody", ["openai"], b"openai", ""):
            with pytest.raises(ConfigurationError, match="provider"):
                await service.generate_response_async(HELLO, provider=provider)  # type: ignore[arg-type]
        for content in (object(), b"Hi", {1}, [object()]):
            with pytest.raises(BadRequestError, match="messages"):
                await service.generate_response_async([{"role": "user", "content": content}])
        for settings in ("x", 5, {}):
            with pytest.raises(ConfigurationError, match="settings"):
                await service.reload(settings)  # type: ignore[arg-type]
            with pytest.raises(ConfigurationError, match="settings"):
                UnifiedLLMService(settings)  # type: ignore[arg-type]
        for model in (None, "", 5, "a/../b"):
            with pytest.raises(BadRequestError, match="model"):
                await service.embed_async("x", model=model)  # type: ignore[arg-type]
        for inputs in (None, [], 5, [1], ["a", None], {"a": 1}):
            with pytest.raises(BadRequestError, match="inputs"):
                await service.embed_async(inputs, model="m")  # type: ignore[arg-type]
        stats = service.get_stats()["stats"]
    assert (stats["total_requests"], sim.openai.requests, sim.groq.requests) == (0, (), ())


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, "3", None, True])
async def test_many_names_what_is_wrong(sim: Simulator, concurrency: Any) -> None:
    """The number at a time, and conversations that are none; one that is wrong is its own error."""
    async with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
        with pytest.raises(BadRequestError, match="concurrency"):
            await service.generate_many_async([HELLO], concurrency=concurrency)
        for conversations in (None, "x", 5, {"a": 1}):
            with pytest.raises(BadRequestError, match="conversations"):
                await service.generate_many_async(conversations)  # type: ignore[arg-type]
        found = await service.generate_many_async([HELLO, None, HELLO])  # type: ignore[list-item]
    assert [type(each) for each in found] == [LLMResponse, BadRequestError, LLMResponse]


async def test_many_raises_what_accept_raises_and_strands_nobody(sim: Simulator) -> None:
    """The caller's own exception as it is; the calls under way are cancelled, and counted so."""

    def accept(answer: LLMResponse) -> bool:
        raise KeyError("mine")

    sim.openai.script(faults.blackhole() * 3)
    async with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
        many = asyncio.create_task(
            service.generate_many_async([HELLO] * 9, concurrency=4, accept=accept)
        )
        await sim.openai.wait_for_async(requests=3)
        with pytest.raises(KeyError, match="mine"):
            await many
        stats = service.get_stats()["stats"]
        await sim.openai.wait_for_async(lambda p: p.in_flight == 0)
    assert (stats["total_requests"], stats["cancelled_requests"], stats["failed_requests"]) == (
        4,
        3,
        1,
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(messages=JSON, name=st.sampled_from(sorted(WRONG)), value=JSON)
def test_whatever_is_given_only_our_errors_come_out(messages: Any, name: str, value: Any) -> None:
    """Any data for any argument: a request, or an error of ours."""
    try:
        asked = chat_request(messages, {}, {name: value})
    except LLMError:
        return
    assert callable(asked)


async def test_what_the_caller_changes_afterwards_changes_nothing(sim: Simulator) -> None:
    """Messages, tools and options, while the service is built, while a fallback is walked to, while a stream runs."""
    sim.openai.always(faults.status(500))
    environ = sim.environ("openai", "groq")

    def spoil(*things: Any) -> None:
        for thing in things:
            if isinstance(thing, dict):
                for value in thing.values():
                    spoil(value)
                thing["spoilt"] = "spoilt"
            elif isinstance(thing, list):
                spoil(*thing)
                thing.append({"role": "user", "content": "spoilt"})

    def fresh() -> tuple[list[Any], dict[str, Any]]:
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        return copy.deepcopy(HELLO), {
            "tools": [tool],
            "extra_body": {"more": {"a": [1]}},
            "extra_headers": {"x-a": "b"},
            "stop": ["x"],
        }

    async with UnifiedLLMService(load_settings(environ)) as service:
        messages, options = fresh()
        call = asyncio.create_task(service.generate_response_async(messages, **options))
        await asyncio.sleep(0)  # it has begun, and loads LiteLLM now
        spoil(messages, options)
        assert (await call).provider == "groq"
        messages, options = fresh()
        stream = service.stream_response_async(messages, **options)
        spoil(messages, options)
        assert [chunk async for chunk in stream]
        conversations = [copy.deepcopy(HELLO) for _ in range(4)]
        many = asyncio.create_task(service.generate_many_async(conversations, concurrency=1))
        await asyncio.sleep(0)
        spoil(conversations)
        assert len(await many) == 4
    seen = [*sim.openai.requests, *sim.groq.requests]
    assert len(seen) >= 6
    assert "spoilt" not in str([(request.body, request.headers) for request in seen])
