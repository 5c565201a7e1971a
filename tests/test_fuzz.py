"""Whatever JSON an upstream sends: an answer, or one of our errors; never another exception, never unbounded work.

Driven at the level of a call: the requests of all four vendors as they are sent, and what is made of any answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_unified import load_settings
from llm_unified.calls.answer import Assembly
from llm_unified.calls.build import build_engine
from llm_unified.calls.vectors import Vectors
from llm_unified.engine.pieces import AnswerError
from llm_unified.response import LLMResponse
from llm_unified.testing import Simulator
from llm_unified.testing.protocols import WIRES
from llm_unified.testing.wire import Answer, Chat, ToolUse, Wire

VENDORS = ("openai", "azure_openai", "groq", "anthropic")
HUGE = 10**400
KEYS = (
    *(
        "id",
        "object",
        "model",
        "created",
        "choices",
        "index",
        "delta",
        "message",
        "content",
        "role",
    ),
    *("tool_calls", "function", "name", "arguments", "finish_reason", "usage", "prompt_tokens"),
    *("completion_tokens", "total_tokens", "error", "type", "code", "x_groq", "refusal", "text"),
    *("content_block", "input", "partial_json", "stop_reason", "input_tokens", "output_tokens"),
    *("thinking", "signature", "citations", "reasoning", "reasoning_content", "logprobs", "data"),
    *("annotations", "container", "context_management", "prompt_tokens_details", "cached_tokens"),
    *("embedding", "function_call", "stop_sequence", "cache_read_input_tokens", "audio"),
)
TYPES = (
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop", "ping"),
    *("message_delta", "message_stop", "error", "text_delta", "input_json_delta", "thinking_delta"),
    *("signature_delta", "citations_delta", "text", "tool_use", "thinking", "server_tool_use"),
    *("redacted_thinking", "function", "chat.completion.chunk", "stop", "tool_calls", "end_turn"),
    *("web_search_tool_result", "compaction", "json_tool_call", "null", "{}", '{"a": 1}', '{"a'),
)
LEAVES = (
    st.sampled_from([None, True, False, 0, 1, -1, 2**63, HUGE, 0.5, float("inf"), float("nan"), ""])
    | st.sampled_from(TYPES)
    | st.integers()
    | st.text(max_size=8)
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


@cache
def prepared(vendor: str, stream: bool, json_mode: bool) -> Any:
    """A real request of this vendor, ready to read what comes back."""
    with Simulator() as sim:
        engine = build_engine(load_settings(sim.environ(vendor)))
    deployment = next(iter(engine.deployments.values()))
    plan = engine._catalog.plan(deployment, deployment.model)
    params: dict[str, Any] = {"max_tokens": 100}
    if json_mode:
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
        params["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": schema},
        }
    messages = [{"role": "user", "content": "Hello"}]
    assert plan is not None
    return asyncio.run(plan.prepare(messages, params, stream=stream))


def good(vendor: str, stream: bool) -> list[Any]:
    """The events, or the body, of a right answer with text and a tool call."""
    wire: Wire = WIRES[vendor]()
    chat = Chat(vendor, wire.model, "0", stream=stream, include_usage=True)
    answer = Answer(text="some words", tools=(ToolUse("f", '{"a": 1}'),))
    if not stream:
        return [wire.completion(answer, chat)]
    lines = b"".join(wire.stream(answer, chat).events()).decode().splitlines()
    data = [line[6:] for line in lines if line.startswith("data: ")]
    return [json.loads(text) for text in data if text != "[DONE]"]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All paths into it."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with something else at that place."""
    if not path:
        return new
    made = dict(value) if isinstance(value, dict) else list(value)
    made[path[0]] = changed(made[path[0]], path[1:], new)
    return made


def read_whole(vendor: str, data: Any, json_mode: bool) -> None:
    assembly = Assembly(vendor, "m")
    try:
        assembly.add(prepared(vendor, False, json_mode).whole(data))
        answer = assembly.finish(cost_usd=None, parser=json.loads if json_mode else None)
    except AnswerError:
        return
    check(answer)


def read_stream(vendor: str, events: list[Any], json_mode: bool) -> None:
    assembly = Assembly(vendor, "m")
    read = prepared(vendor, True, json_mode).reader()
    shown = []
    try:
        for event in events:
            if isinstance(event, dict):  # the wire has seen to that
                piece = read(event)
                if piece is not None and (chunk := assembly.add(piece)) is not None:
                    shown.append(chunk.content)
        answer = assembly.finish(cost_usd=None, parser=json.loads if json_mode else None)
    except AnswerError:
        return
    assert "".join(shown) == answer.content
    check(answer)


def check(answer: LLMResponse) -> None:
    """It is what its types say."""
    assert isinstance(answer.content, str)
    assert all(
        isinstance(call.arguments, dict) and isinstance(call.name, str)
        for call in answer.tool_calls
    )
    assert isinstance(answer.finish_reason, str | None)
    counts = {} if answer.usage is None else answer.usage.as_dict()
    assert all(isinstance(n, int) and n >= 0 for n in counts.values())
    assert isinstance(answer.raw_response["id"], str | None)
    assert isinstance(answer.raw_response["model"], str | None)
    repr(answer)


vendors = pytest.mark.parametrize("vendor", VENDORS)
modes = pytest.mark.parametrize("json_mode", [False, True], ids=["plain", "json"])


@vendors
@modes
@given(data=JUNK)
def test_any_body(vendor: str, json_mode: bool, data: Any) -> None:
    """Right JSON, anything in it."""
    read_whole(vendor, data, json_mode)


@vendors
@modes
@given(events=st.lists(st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=5), max_size=5))
@example(events=[{"created": float("inf")}])
def test_any_events(vendor: str, json_mode: bool, events: list[Any]) -> None:
    """Events of right JSON and any shape."""
    read_stream(vendor, events, json_mode)


@vendors
@modes
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@given(chance=st.randoms(use_true_random=False), junk=JUNK, times=st.integers(1, 3))
def test_a_right_answer_with_something_wrong_in_it(
    vendor: str, *, json_mode: bool, stream: bool, chance: random.Random, junk: Any, times: int
) -> None:
    """One value replaced, events left out, repeated and in another order."""
    data: list[Any] = good(vendor, stream)
    for _ in range(times):
        data = changed(data, chance.choice(places(data)[1:] or [(0,)]), junk)
    if not stream:
        read_whole(vendor, data[0], json_mode)
        return
    move = chance.randrange(4)
    if move == 1:
        chance.shuffle(data)
    elif move == 2:
        data = [event for event in data if chance.random() < 0.8]
    elif move == 3:
        data = [event for event in data for _ in range(chance.randrange(3))]
    read_stream(vendor, data, json_mode)


@given(
    data=JUNK
    | st.fixed_dictionaries({"data": st.lists(st.dictionaries(st.sampled_from(KEYS), JUNK))})
)
def test_any_vectors(data: Any) -> None:
    """Embeddings, likewise."""
    vectors = Vectors()
    try:
        vectors.add(data, count=2)
    except AnswerError:
        return
    assert all(isinstance(number, float) for row in vectors.rows for number in row)


def test_work_is_linear_in_what_came() -> None:
    """Ten thousand tool calls, indices out of order, deep arguments: no more steps for each than for one."""

    def steps(count: int) -> int:
        seen = 0

        def profile(_frame: Any, event: str, _arg: Any) -> None:
            nonlocal seen
            seen += event in ("call", "c_call")

        calls = [
            {
                "index": (i * 7919) % count,
                "id": f"c{i}",
                "function": {"name": "f", "arguments": "{}"},
            }
            for i in range(count)
        ]
        numbered: list[Any] = [{"choices": [{"delta": {"tool_calls": [call]}}]} for call in calls]
        unnumbered: list[Any] = [
            {"choices": [{"delta": {"tool_calls": [{**call, "index": None}]}}]} for call in calls
        ]
        sys.setprofile(profile)
        began = time.process_time()
        try:
            for events in (numbered, unnumbered):
                read_stream("openai", [*events, {"choices": [{"finish_reason": "stop"}]}], False)
        finally:
            sys.setprofile(None)
        spent.append(time.process_time() - began)
        return seen

    spent: list[float] = []
    steps(10)
    small, large = steps(200), steps(4000)
    assert large < 25 * small
    assert spent[-1] < 60 * max(spent[-2], 0.005)
