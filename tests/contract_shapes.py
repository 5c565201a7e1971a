"""What requests the contract is checked with, and where we differ from `completion()` on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

ALL = ("openai", "azure_openai", "groq", "anthropic")


@dataclass(frozen=True)
class Target:
    """A model, as a deployment names it."""

    model: str
    base_model: str | None = None
    api_version: str = "2024-10-21"


CURRENT = {
    "openai": Target("gpt-4.1-mini"),
    "azure_openai": Target("gpt-4.1-mini"),
    "groq": Target("openai/gpt-oss-20b"),
    "anthropic": Target("claude-haiku-4-5"),
}
SEEING = {**CURRENT, "groq": Target("qwen/qwen3.8-27b")}
OLDER = {
    "openai": Target("gpt-3.5-turbo"),
    "azure_openai": Target("gpt-4", api_version="2024-06-01"),
    "groq": Target("llama-3.1-8b-instant"),
    "anthropic": Target("claude-3-haiku-20240307"),
}
O_SERIES = {
    "openai": Target("o3-mini"),
    "azure_openai": Target("o3-mini"),
    "groq": Target("qwen/qwen3-32b"),
    "anthropic": Target("claude-sonnet-4-5"),
}
GPT_5 = {
    "openai": Target("gpt-5-mini"),
    "azure_openai": Target("gpt-5-mini"),
    "groq": Target("openai/gpt-oss-120b"),
    "anthropic": Target("claude-opus-4-5"),
}
BRIDGED = {**GPT_5, "openai": Target("gpt-5-codex"), "azure_openai": Target("gpt-5-codex")}
GPT_5_4 = {**GPT_5, "openai": Target("gpt-5.4"), "azure_openai": Target("gpt-5.4")}
GPT_6 = {**GPT_5, "openai": Target("gpt-6-luna"), "azure_openai": Target("gpt-6-luna")}
GPT_5_1 = {**GPT_5, "openai": Target("gpt-5.1"), "azure_openai": Target("gpt-5.1")}
RENAMED_O = {**O_SERIES, "azure_openai": Target("production", base_model="azure/o3-mini")}
RENAMED_5 = {**GPT_5, "azure_openai": Target("production", base_model="azure/gpt-5-mini")}


@dataclass(frozen=True)
class Shape:
    """One kind of request."""

    params: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Mapping[str, Any], ...] = ({"role": "user", "content": "Hello"},)
    answer: str = "text"
    models: Mapping[str, Target] = field(default_factory=lambda: CURRENT)


class Place(BaseModel):
    """Where it is how warm."""

    city: str
    degrees: int


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
JSON_SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"What is the {name} there?",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "enum": ["Rome", "東京"]}},
                "required": ["city"],
            },
        },
    }
    for name in ("get_weather", "get_time")
]
NAMED = {"type": "function", "function": {"name": "get_time"}}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YA"
    "AAAASUVORK5CYII="
)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def image(url: str, **more: str) -> tuple[Mapping[str, Any], ...]:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url, **more}},
    ]
    return (user(parts),)


TURNS = (
    {"role": "system", "content": "Be brief."},
    user("How warm is it in Rome and 東京?"),
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{i}",
                "type": "function",
                "function": {"name": "get_weather", "arguments": f'{{"city": "{city}"}}'},
            }
            for i, city in enumerate(("Rome", "東京"))
        ],
    },
    {"role": "tool", "tool_call_id": "call_0", "content": "31 °C"},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 18}'},
    {"role": "assistant", "content": "31 and 18 degrees."},
    user("And tomorrow?"),
)
LONG = tuple(
    {"role": "assistant" if i % 2 else "user", "content": f"Message {i}"} for i in range(201)
)
CACHED = (
    {
        "role": "system",
        "content": [
            {
                "type": "text",
                "text": "A long instruction.",
                "cache_control": {"type": "ephemeral"},
            }
        ],
    },
    user([{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]),
)
THINKING_TURNS = (
    user("How warm is it?"),
    {
        "role": "assistant",
        "content": "Warm.",
        "thinking_blocks": [{"type": "thinking", "thinking": "It is summer.", "signature": "c2ln"}],
    },
    user("How warm?"),
)

SHAPES: dict[str, Shape] = {
    "plain": Shape(),
    "sampling": Shape({"temperature": 0.5, "top_p": 0.9, "seed": 7, "max_tokens": 50}),
    "penalties": Shape(
        {"presence_penalty": 0.5, "frequency_penalty": -0.5, "logit_bias": {"50": 1}}
    ),
    "stop text": Shape({"stop": "END"}, answer="cut"),
    "stop list": Shape({"stop": ["END", "STOP"]}),
    "max_completion_tokens": Shape({"max_completion_tokens": 77}, answer="cut"),
    "max_tokens, older": Shape({"max_tokens": 77}, models=OLDER),
    "zero temperature": Shape({"temperature": 0}),
    "unknown parameter": Shape({"brand_new_option": {"x": [1, 2]}}),
    "extra_body": Shape({"extra_body": {"brand_new": 1, "temperature": 0.25}, "temperature": 0.5}),
    "extra_headers": Shape({"extra_headers": {"X-Mine": "yes", "X-Trace": "a,b"}}),
    "metadata": Shape({"metadata": {"mine": "x"}}),
    "user": Shape({"user": "somebody-1"}),
    "service tier": Shape({"service_tier": "auto", "store": False, "safety_identifier": "u-1"}),
    "prediction": Shape({"prediction": {"type": "content", "content": "Hello"}}),
    "tools": Shape({"tools": TOOLS}, answer="calls"),
    "tools auto": Shape({"tools": TOOLS, "tool_choice": "auto"}, answer="calls"),
    "tools none": Shape({"tools": TOOLS, "tool_choice": "none"}),
    "tools required": Shape({"tools": TOOLS, "tool_choice": "required"}, answer="calls"),
    "tools named": Shape({"tools": TOOLS, "tool_choice": NAMED}, answer="calls"),
    "tools one by one": Shape({"tools": TOOLS, "parallel_tool_calls": False}, answer="calls"),
    "tools in parallel": Shape({"tools": TOOLS, "parallel_tool_calls": True}, answer="calls"),
    "tools, older": Shape({"tools": TOOLS, "tool_choice": "auto"}, answer="calls", models=OLDER),
    "tool results": Shape({"tools": TOOLS}, TURNS),
    "tool results without tools": Shape({}, TURNS),
    "json_object": Shape(
        {"response_format": {"type": "json_object"}}, (user("As JSON, please."),), "json"
    ),
    "json_object, older": Shape(
        {"response_format": {"type": "json_object"}}, (user("As JSON."),), "json", OLDER
    ),
    "json_schema": Shape({"response_format": JSON_SCHEMA}, answer="json"),
    "json_schema, older": Shape({"response_format": JSON_SCHEMA}, answer="json", models=OLDER),
    "pydantic": Shape({"response_format": Place}, answer="json"),
    "pydantic, older": Shape({"response_format": Place}, answer="json", models=OLDER),
    "json_schema and tools": Shape(
        {"response_format": JSON_SCHEMA, "tools": TOOLS}, answer="calls"
    ),
    "text format": Shape({"response_format": {"type": "text"}}),
    "o-series": Shape(
        {"max_tokens": 99, "temperature": 0.5, "top_p": 0.5, "reasoning_effort": "low"},
        ({"role": "system", "content": "Be brief."}, user("Hello")),
        "reasoning",
        O_SERIES,
    ),
    "o-series tools": Shape(
        {"tools": TOOLS, "parallel_tool_calls": False}, answer="calls", models=O_SERIES
    ),
    "o-series schema": Shape({"response_format": Place}, answer="json", models=O_SERIES),
    "o-series renamed": Shape(
        {"max_tokens": 99, "temperature": 0.5, "reasoning_effort": "high"}, models=RENAMED_O
    ),
    "gpt-5": Shape(
        {"max_tokens": 99, "temperature": 0.5, "reasoning_effort": "minimal", "verbosity": "low"},
        answer="reasoning",
        models=GPT_5,
    ),
    "gpt-5 renamed": Shape(
        {"max_tokens": 99, "temperature": 0.5, "verbosity": "high"}, models=RENAMED_5
    ),
    "gpt-5 renamed, tools": Shape(
        {"tools": TOOLS, "reasoning_effort": "low"}, answer="calls", models=RENAMED_5
    ),
    "gpt-5.1 none": Shape(
        {"reasoning_effort": "none", "temperature": 0.5, "logprobs": True}, models=GPT_5_1
    ),
    "bridged": Shape({"max_tokens": 99}, models=BRIDGED),
    "bridged by tools": Shape({"tools": TOOLS, "reasoning_effort": "low"}, models=GPT_5_4),
    "not bridged by tools": Shape({"tools": TOOLS, "reasoning_effort": "none"}, models=GPT_5_4),
    "bridged by a summary": Shape(
        {"reasoning_effort": "low", "extra_body": {"reasoning_summary": "auto"}}, models=GPT_5
    ),
    "a summary alone": Shape({"reasoning_summary": "auto"}, models=GPT_5),
    "gpt-6": Shape({"max_tokens": 99, "temperature": 0.5, "reasoning_effort": "low"}, models=GPT_6),
    "gpt-6 tools": Shape({"tools": TOOLS, "reasoning_effort": "low"}, models=GPT_6),
    "gpt-6 tools alone": Shape({"tools": TOOLS}, models=GPT_6),
    "gpt-5 schema": Shape({"response_format": Place}, answer="json", models=GPT_5),
    "reasoning effort": Shape({"reasoning_effort": "medium"}, answer="reasoning"),
    "thinking": Shape(
        {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 4000},
        answer="reasoning",
        models=O_SERIES,
    ),
    "thinking over turns": Shape(
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        THINKING_TURNS,
        "reasoning",
        O_SERIES,
    ),
    "image, data": Shape({}, image(PIXEL), models=SEEING),
    "image, https": Shape({}, image("https://images.invalid/a.png", detail="low"), models=SEEING),
    "logprobs": Shape({"logprobs": True, "top_logprobs": 1}, answer="logprobs"),
    "developer role": Shape({}, ({"role": "developer", "content": "Be brief."}, user("Hello"))),
    "system role": Shape({}, ({"role": "system", "content": "Be brief."}, user("Hello"))),
    "system late": Shape(
        {}, (user("Hello"), {"role": "system", "content": "Be brief."}, user("Again"))
    ),
    "names": Shape({}, ({"role": "user", "name": "ann", "content": "Hello"},)),
    "parts of text": Shape(
        {}, (user([{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]),)
    ),
    "prefilled": Shape({}, (user("Hello"), {"role": "assistant", "content": "Well, "})),
    "unicode": Shape({}, (user('Zürich \u2028 🗼 \x7f \\u0041 "quoted"\n\ttab'),)),
    "long": Shape({"temperature": 0.1}, LONG),
    "spaces": Shape(
        {}, (user("  Hello \n"), {"role": "assistant", "content": " Well \n "}, user("\t?"))
    ),
    "system and long": Shape({"stop": ["x"]}, ({"role": "system", "content": "Be brief."}, *LONG)),
    "two of the user's": Shape({}, (user("Hello"), user("there"))),
    "two system messages": Shape(
        {},
        (
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
            user("Hello"),
        ),
    ),
    "long, o-series": Shape(
        {}, ({"role": "system", "content": "Be brief."}, *LONG), models=O_SERIES
    ),
    "long, older": Shape({}, ({"role": "system", "content": "Be brief."}, *LONG), models=OLDER),
    "blank turns": Shape({}, (user("Hello"), {"role": "assistant", "content": " "}, user("there"))),
    "cache_control": Shape({}, CACHED, "cached"),
    "refusal": Shape({}, answer="refused"),
    "web search": Shape({"web_search_options": {"search_context_size": "low"}}),
}


@dataclass(frozen=True)
class Difference:
    """Where ours is not LiteLLM's, and why that is wanted."""

    where: str
    """``body``, ``headers`` or ``answer``, and the member."""
    why: str
    only: str | None = None
    """``"whole"`` or ``"stream"``; ``None``: both."""


_STREAMED_ALONE = Difference(
    "body.stream_options",
    "LiteLLM asks Groq for a whole answer here and for stream options all the same; Groq takes them with"
    " a stream only",
    "stream",
)
_HELPER_ENDS = Difference(
    "answer.end", "the helper tool for JSON does not show: the answer is text that has ended"
)
_GROQ_REASONS = Difference(
    "answer.reasoning", "LiteLLM does not read Groq's `reasoning` of a whole answer", "whole"
)
_REFUSED = Difference("answer.refusal", "LiteLLM drops a streamed refusal", "stream")
_GUESSED = Difference(
    "answer.usage", "LiteLLM guesses Anthropic's tokens of thinking with a tokenizer; we count none"
)
_MERGED, _MERGED_SUMMARY = (
    tuple(
        Difference(
            f"body.{name}", "`extra_body` is merged, not sent as a member that Anthropic refuses"
        )
        for name in ("extra_body", *names)
    )
    for names in (("brand_new", "temperature"), ("reasoning_summary",))
)
_SHOWN_HELPER = tuple(
    Difference(f"answer.{name}", "LiteLLM shows its helper tool for JSON in a stream", "stream")
    for name in ("text", "calls", "end")
)
_OUT_OF_BETA = tuple(
    Difference(
        f"body.{name}", "`output_format` is called `output_config.format` since the beta ended"
    )
    for name in ("output_format", "output_config")
)
_FORMATS = ("json_object", "json_object, older", "json_schema", "pydantic", "gpt-5 schema")

DIFFERENCES: dict[tuple[str, str], tuple[Difference, ...]] = {
    ("extra_body", "anthropic"): _MERGED,
    ("bridged by a summary", "anthropic"): _MERGED_SUMMARY,
    **{
        (name, "anthropic"): _OUT_OF_BETA
        for name in (
            *("json_schema", "pydantic", "json_schema and tools"),
            *("o-series schema", "gpt-5 schema"),
        )
    },
    **{(name, "groq"): (_STREAMED_ALONE,) for name in (*_FORMATS, "text format")},
    **{
        (name, "groq"): (_STREAMED_ALONE, _HELPER_ENDS)
        for name in ("json_schema, older", "pydantic, older", "o-series schema")
    },
    **{(name, "azure_openai"): _SHOWN_HELPER for name in ("json_schema, older", "pydantic, older")},
    **{
        (name, provider): (row,)
        for provider, row in (("groq", _GROQ_REASONS), ("anthropic", _GUESSED))
        for name in ("o-series", "gpt-5", "reasoning effort", "thinking", "thinking over turns")
    },
    **{("refusal", name): (_REFUSED,) for name in ("openai", "azure_openai", "groq")},
}
