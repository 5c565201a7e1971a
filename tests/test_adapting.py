"""Adapting a request, as a function: whatever comes in, what goes out has the form that a vendor takes."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_unified.vendors import Adapter, CannotAdaptError, taken
from llm_unified.vendors.anthropic import ANTHROPIC
from llm_unified.vendors.azure import AZURE
from llm_unified.vendors.groq import GROQ
from llm_unified.vendors.local import LOCAL
from llm_unified.vendors.openai import OPENAI
from llm_unified.vendors.takes import Row, Takes

VENDORS = {"openai": OPENAI, "azure": AZURE, "groq": GROQ, "anthropic": ANTHROPIC, "local": LOCAL}
IDS = st.sampled_from(["a", "b", "x" * 60, "fn:1", "", None])
CALL = st.builds(
    lambda number, arguments: {
        "id": number,
        "type": "function",
        "function": {"name": "f", "arguments": arguments},
    },
    IDS,
    st.sampled_from(["{}", "", None, {"x": 1}]),
)
MESSAGE = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["system", "user", "assistant"]),
        st.sampled_from(["", " ", "Hi", None, [], [{"type": "text", "text": ""}]]),
    ),
    st.builds(
        lambda calls, content: {"role": "assistant", "content": content, "tool_calls": calls},
        st.lists(CALL, max_size=3),
        st.sampled_from(["", "Hi", None]),
    ),
    st.builds(lambda number: {"role": "tool", "tool_call_id": number, "content": "21"}, IDS),
)


def takes(vendor: str, model: str) -> Takes:
    return taken(VENDORS[vendor].rows, model)


@given(
    st.lists(MESSAGE, min_size=1, max_size=8),
    st.sampled_from([("openai", "gpt-4o"), ("groq", "x"), ("anthropic", "claude-opus-5")]),
)
def test_every_call_has_its_result_behind_it(
    messages: list[dict[str, Any]], asked: tuple[str, str]
) -> None:
    """Ids are unique and of the vendor's form, no result is alone, and doing it twice changes nothing."""
    known = takes(*asked)
    params: dict[str, Any] = {"messages": copy.deepcopy(messages)}
    try:
        Adapter(known)(params)
    except CannotAdaptError:
        assert not any(m["role"] == "user" or m.get("tool_calls") for m in messages)
        return
    waiting: list[str] = []
    seen: list[str] = []
    for message in params["messages"]:
        if message["role"] == "tool":
            assert message["tool_call_id"] == waiting.pop(0)
            continue
        assert not waiting
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
        seen += waiting
        assert message["content"] or waiting or known.empty_text
    assert not waiting
    assert len(set(seen)) == len(seen)
    assert all(known.ids.fullmatch(number) for number in seen)
    again = {"messages": copy.deepcopy(params["messages"])}
    assert Adapter(known)(again).notes == ()
    assert again == params


@given(
    st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max", "default"]),
    st.sampled_from(
        [
            *(("openai", model) for model in ("o3", "gpt-5", "gpt-5.1", "gpt-5.2", "gpt-6", "gpt-6.1-sol")),
            *(("groq", model) for model in ("openai/gpt-oss-20b", "qwen/qwen3-32b", "qwen/qwen3.8-27b")),
        ]
    ),
)  # fmt: skip
def test_a_level_of_reasoning_becomes_one_that_there_is(level: str, asked: tuple[str, str]) -> None:
    """Never more than was asked for unless there is no less; turned off only where that was asked."""
    known = takes(*asked)
    params: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    params["reasoning_effort"] = level
    Adapter(known)(params)
    got = (params.get("extra_body") or params)["reasoning_effort"]
    assert known.efforts is not None
    assert got in known.efforts
    assert (got == level) == (level in known.efforts)
    assert (got == "none") <= (level == "none")


@pytest.mark.parametrize("vendor", VENDORS)
def test_rows_have_sources(vendor: str) -> None:
    """A fact without a source is a rumour."""
    for row in VENDORS[vendor].rows:
        assert isinstance(row, Row)
        assert re.search(r"[A-Za-z]{4}", row.source)


@pytest.mark.parametrize(
    ("vendor", "model", "facts"),
    [
        ("openai", "gpt-4.1-mini", {"efforts": (), "most_tokens": 32_768, "steady": frozenset()}),
        ("openai", "ft:gpt-4o-mini-2024-07-18:me::x", {"efforts": (), "most_tokens": 16_384}),
        ("openai", "gpt-5-chat-latest", {"efforts": (), "reasons": False, "token_limit": None}),
        ("openai", "gpt-5.2-chat-latest", {"efforts": ("medium",), "reasons": True}),
        ("openai", "gpt-9-next", {"efforts": None, "caching": False}),
        ("openai", "deepseek-chat", {"refused": frozenset(), "prefill": True, "caching": True}),
        ("openai", "openai/gpt-oss-20b", {"refused": frozenset(), "efforts": None}),
        ("azure", "production", {"efforts": None, "most_stops": 4}),
        ("azure", "azure/o4-mini", {"reasons": True, "token_limit": "max_completion_tokens"}),
        ("groq", "meta-llama/llama-4-scout-17b-16e-instruct", {"efforts": (), "most_images": 5}),
        ("anthropic", "claude-2.1", {"tools": False, "thinking": "no", "most_tokens": 4096}),
        ("anthropic", "claude-3-5-haiku-20241022", {"thinking": "no", "most_tokens": 8192}),
        ("anthropic", "claude-3-7-sonnet-20250219", {"thinking": "budget", "prefill": True}),
        ("anthropic", "claude-opus-4-20250514", {"most_tokens": 32_000, "only_one": ()}),
        ("anthropic", "claude-opus-4-1", {"most_tokens": 32_000, "prefill": True}),
        ("anthropic", "claude-haiku-4-5-20251001", {"most_tokens": 64_000, "thinking": "budget"}),
        ("anthropic", "claude-sonnet-4-6", {"prefill": False, "thinking": "adaptive", "budgets": True}),
        ("anthropic", "claude-opus-4-8", {"reasons": False, "thinks_off": None}),
        ("anthropic", "claude-sonnet-5", {"reasons": True, "thinks_off": "disabled"}),
        ("anthropic", "claude-sonnet-5-5", {"thinks_off": "between_tools", "forced_tools": False}),
        ("anthropic", "claude-opus-7", {"prefill": False, "most_tokens": 128_000}),
    ],
)  # fmt: skip
def test_what_a_model_takes(vendor: str, model: str, facts: dict[str, Any]) -> None:
    """Old ones, current ones, and names that are not known yet."""
    known = takes(vendor, model)
    assert {name: getattr(known, name) for name in facts} == facts
