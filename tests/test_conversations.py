"""Conversations that go on at another vendor, on a simulator that refuses what the vendor would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
from pydantic import BaseModel

from llm_unified import BadRequestError, LLMResponse, UnifiedLLMService, load_settings
from llm_unified.testing import Request, Simulator, faults, replies
from tests import sdk_types

ALL = ("openai", "azure_openai", "groq", "anthropic")
PAIRS = [pytest.param(*pair, id="→".join(pair)) for pair in permutations(ALL, 2)]
WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YA"
    "AAAASUVORK5CYII="
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
Messages = list[dict[str, Any]]


class City(BaseModel):
    name: str
    country: str


@pytest.fixture(scope="module")
def strict() -> Iterator[Simulator]:
    with Simulator(strict=True) as simulator:
        yield simulator


@pytest.fixture
def sim(strict: Simulator) -> Iterator[Simulator]:
    yield strict
    strict.reset()


def service_for(sim: Simulator, *names: str, **options: Any) -> UnifiedLLMService:
    models = {n: options.pop(n) for n in ALL if n in options}
    environ = sim.environ(*names)
    for name, model in models.items():
        environ[f"{name.upper()}_{'DEPLOYMENT' if name == 'azure_openai' else 'MODEL'}"] = model
    return UnifiedLLMService(load_settings(environ, pool_size=1, **options))


async def ask(
    service: UnifiedLLMService, messages: Messages, *, stream: bool = False, **options: Any
) -> LLMResponse:
    if not stream:
        return await service.generate_response_async(messages, **options)
    async with service.stream_response_async(messages, **options) as chunks:
        async for _ in chunks:
            pass
    assert chunks.response is not None
    return chunks.response


def body_of(sim: Simulator, provider: str) -> dict[str, Any]:
    """The last request, which the vendor took and the SDK's types know."""
    request: Request = sim[provider].requests[-1]
    assert not request.outcome.startswith("refused"), request.outcome
    sdk_types.check(provider, request.body)
    body: dict[str, Any] = request.body
    return body


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(response: LLMResponse) -> dict[str, Any]:
    """The assistant's turn as it is, with the reasoning that its vendor gives."""
    message = dict(response.message)
    if response.provider in ("anthropic", "groq"):
        message["reasoning_content"] = "Let me see."
    if response.provider == "anthropic":
        message["thinking_blocks"] = [
            {"type": "thinking", "thinking": "Let me see.", "signature": "c2lnbmVk"}
        ]
    return message


def results(response: LLMResponse) -> Messages:
    return [
        {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"celsius": 21})}
        for call in response.tool_calls
    ]


# -- the matrix -------------------------------------------------------------------------------------

IMAGE = [
    {"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": PIXEL}},
]
CACHED = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
SEEING = {"groq": "qwen/qwen3.8-27b"}
KINDS: dict[str, tuple[Messages, dict[str, Any], dict[str, str]]] = {
    "plain": ([{"role": "system", "content": "Be brief."}, user("Hello")], {}, {}),
    "tools": ([user("How warm is it in Rome and Oslo?")], {"tools": [WEATHER]}, {}),
    "thinking": (
        [user("How warm is it in Rome and Oslo?")],
        {"tools": [WEATHER], "reasoning_effort": "low", "temperature": 0.5, "max_tokens": 4000},
        {"openai": "gpt-5-mini", "azure_openai": "o4-mini", "anthropic": "claude-sonnet-4-5"},
    ),
    "adaptive thinking": (
        [user("How warm is it in Rome and Oslo?")],
        {"tools": [WEATHER], "reasoning_effort": "minimal", "temperature": 1.5},
        {"openai": "gpt-5", "groq": "qwen/qwen3-32b", "anthropic": "claude-opus-5-5"},
    ),
    "images": ([user(IMAGE)], {}, SEEING),
    "structured": ([user("Which city?")], {"response_format": City}, {}),
    "JSON mode": ([user("Which city?")], {"response_format": {"type": "json_object"}}, {}),
    "cached": ([{"role": "system", "content": CACHED}, user("Hello")], {}, {}),
}


@WAYS
@pytest.mark.full(one_of=3)
@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_conversation_goes_on_at_another_vendor(
    sim: Simulator, kind: str, first: str, second: str, stream: bool
) -> None:
    """Three turns: at the first, then a failover in its midst, then back again. Nobody refuses."""
    begin, options, models = KINDS[kind]
    given = {n: m for n, m in models.items() if n in (first, second)}
    calls = [("get_weather", {"city": "Rome"}), ("get_weather", {"city": "Oslo"})]
    for provider in (first, second):
        if "tools" in options:
            sim[provider].always(replies.tool_calls(calls))
        elif "response_format" in options:
            sim[provider].always(replies.json({"name": "Rome", "country": "Italy"}))
    messages = json.loads(json.dumps(begin))
    async with service_for(sim, first, second, **given) as service:
        for turn, expected in enumerate((first, second, first)):
            if turn == 1:
                sim[first].script(faults.status(500))
            response = await ask(service, messages, stream=stream, **options)
            assert response.provider == expected
            if "response_format" in options:
                assert response.parsed is not None
            body = body_of(sim, expected)
            messages.append(said(response))
            if response.tool_calls:
                assert len(response.tool_calls) == 2
                messages += results(response)
            else:
                messages.append(user("And then?"))
    if kind == "cached":
        assert ("cache_control" in json.dumps(body)) == (first == "anthropic")
    if kind == "tools":
        assert json.dumps(body).count("celsius") == 4


# -- parameters -------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize(
    ("provider", "model", "options", "sent", "notes"),
    [
        ("anthropic", None, {"temperature": 1.2}, {"temperature": 1.0}, ["temperature 1.2 → 1.0"]),
        (
            "anthropic",
            None,
            {"temperature": 0.5, "top_p": 0.9, "logit_bias": {"1": 1}, "seed": 3},
            {"temperature": 0.5, "top_p": None},
            ["logit_bias dropped", "seed dropped", "top_p dropped: temperature is given"],
        ),
        ("anthropic", "claude-opus-4-7", {"temperature": 0.5}, {"temperature": None}, ["temperature dropped"]),
        (
            "anthropic",
            None,
            {"stop": ["\n", "END"], "max_tokens": 100_000},
            {"stop_sequences": ["END"], "max_tokens": 64_000},
            ["max_tokens 100000 → 64000", "blank stop sequences dropped"],
        ),
        (
            "anthropic",
            None,
            {"reasoning_effort": "low", "temperature": 0.7, "max_tokens": 100},
            {"thinking": None, "temperature": 0.7},
            ["reasoning dropped: max_tokens 100 leaves no room"],
        ),
        (
            "anthropic",
            None,
            {"reasoning_effort": "high", "temperature": 0.7, "max_tokens": 3000},
            {"thinking": {"type": "enabled", "budget_tokens": 1500}, "temperature": None},
            ["thinking budget 4096 → 1500", "temperature dropped: the model reasons"],
        ),
        (
            "anthropic",
            "claude-haiku-5-5",
            {"reasoning_effort": "none"},
            {"thinking": {"type": "disabled"}},
            [],
        ),
        (
            "anthropic",
            "claude-opus-5-5",
            {"reasoning_effort": "none"},
            {"output_config": {"effort": "low"}},
            ["reasoning_effort none → low: this model always thinks"],
        ),
        (
            "anthropic",
            None,
            {"metadata": {"user_id": "u1", "trace": "x"}, "user": "u2"},
            {"metadata": {"user_id": "u1"}},
            ["metadata other than user_id dropped"],
        ),
        (
            "openai",
            "gpt-5-mini",
            {"temperature": 0.7, "max_tokens": 100, "reasoning_effort": "none", "top_k": 3},
            {"max_completion_tokens": 100, "reasoning_effort": "minimal", "temperature": None},
            [
                "reasoning_effort none → minimal",
                "temperature dropped: the model reasons",
                "top_k dropped",
            ],
        ),
        (
            "openai",
            "gpt-5.2",
            {"temperature": 0.7, "reasoning_effort": "none"},
            {"temperature": 0.7, "reasoning_effort": "none"},
            [],
        ),
        (
            "openai",
            "o3",
            {"thinking": {"type": "enabled", "budget_tokens": 4096}},
            {"reasoning_effort": "high", "thinking": None},
            ["thinking → reasoning_effort high"],
        ),
        ("openai", None, {"reasoning_effort": "high"}, {"reasoning_effort": None}, ["reasoning_effort dropped"]),
        (
            "openai",
            None,
            {"stop": list("abcde"), "user": "u" * 65, "metadata": {"a": "b"}},
            {"stop": list("abcd"), "metadata": None},
            ["5 stop sequences → 4", "user → its digest", "metadata dropped: store is not set"],
        ),
        (
            "openai",
            None,
            {"metadata": {"a": "b"}, "store": True},
            {"metadata": {"a": "b"}, "store": True},
            [],
        ),
        (
            "azure_openai",
            "gpt-35-turbo",
            {"temperature": 2.5, "max_tokens": 9000, "tool_choice": "auto", "tools": []},
            {"temperature": 2.0, "max_tokens": 4096},
            [
                "tool_choice dropped: there are no tools",
                "temperature 2.5 → 2.0",
                "max_tokens 9000 → 4096",
            ],
        ),
        (
            "groq",
            None,
            {"logprobs": True, "reasoning_effort": "minimal", "service_tier": "priority"},
            {"logprobs": None, "reasoning_effort": "low", "service_tier": None},
            [
                "reasoning_effort minimal → low",
                "logprobs dropped",
                "service_tier dropped: its value is not taken",
            ],
        ),
        ("groq", "qwen/qwen3-32b", {"reasoning_effort": "high"}, {"reasoning_effort": "default"}, ["reasoning_effort high → default"]),
        ("groq", "llama-3.3-70b-versatile", {"reasoning_effort": "none"}, {"reasoning_effort": None}, []),
    ],
)  # fmt: skip
async def test_parameters_are_adapted_for_the_model(
    sim: Simulator,
    *,
    provider: str,
    model: str | None,
    options: dict[str, Any],
    sent: dict[str, Any],
    notes: list[str],
    stream: bool,
) -> None:
    """What a model does not take is clamped, renamed or dropped, and the trail says so."""
    models = {} if model is None else {provider: model}
    async with service_for(sim, provider, **models) as service:
        response = await ask(service, [user("Hello")], stream=stream, **options)
    body = body_of(sim, provider)
    assert {name: body.get(name) for name in sent} == sent
    assert response.attempts[-1].adapted == tuple(notes)


async def test_each_attempt_is_adapted_by_itself(sim: Simulator) -> None:
    """The fallback gets the request as the caller meant it, not as the primary would have had it."""
    sim.openai.script(faults.status(500))
    async with service_for(sim, "openai", "anthropic", openai="gpt-5-mini") as service:
        response = await ask(service, [user("Hello")], temperature=0.7, seed=1)
    assert sim.anthropic.requests[-1].body["temperature"] == 0.7
    first, second = response.attempts
    assert first.adapted == ("temperature dropped: the model reasons",)
    assert second.adapted == ("seed dropped",)


async def test_what_litellm_drops_in_silence_is_noted(sim: Simulator) -> None:
    """A user name that looks like an address is left out for Anthropic by LiteLLM."""
    async with service_for(sim, "anthropic") as service:
        response = await ask(service, [user("Hello")], user="ann@example.com")
    assert "metadata" not in sim.anthropic.requests[-1].body
    assert response.attempts[-1].adapted == ("user dropped",)


async def test_the_way_through_completion_is_adapted_too(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With callbacks of the application, LiteLLM's `completion()` is asked: of the adapted request."""
    from llm_unified.engine.imports import litellm

    monkeypatch.setattr(litellm, "success_callback", [lambda *_: None])
    async with service_for(sim, "anthropic") as service:
        response = await ask(service, [user("Hello")], temperature=1.2, seed=1)
    assert body_of(sim, "anthropic")["temperature"] == 1.0
    assert response.attempts[-1].adapted == ("seed dropped", "temperature 1.2 → 1.0")


async def test_nothing_is_adapted_where_that_is_not_wanted(sim: Simulator) -> None:
    """``LLM_ADAPT=false``: the vendor that would need it is passed over, with the reason."""
    async with service_for(sim, "anthropic", "groq", adapt=False) as service:
        response = await ask(service, [user("Hello")], temperature=1.2)
        with pytest.raises(BadRequestError, match=r"LLM_ADAPT is false: temperature 1\.2"):
            await ask(service, [user("Hello")], temperature=1.2, fallback=False)
    assert response.provider == "groq"
    refused = response.attempts[0]
    assert (refused.sent, refused.adapted) == (False, ())
    assert refused.reason == "LLM_ADAPT is false: temperature 1.2 → 1.0"
    assert not sim.anthropic.requests


@pytest.mark.parametrize(
    ("first", "model", "content", "options", "reason"),
    [
        ("groq", "openai/gpt-oss-20b", IMAGE, {}, "an image is not taken"),
        (
            "anthropic",
            "claude-haiku-4-5",
            [{"type": "image_url", "image_url": {"url": "http://x.invalid/a.png"}}],
            {},
            "an image at an http: address is not taken, https: and data: are",
        ),
        (
            "anthropic",
            "claude-haiku-4-5",
            [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}],
            {},
            "audio is not taken",
        ),
        ("groq", "groq/compound", "Hello", {"tools": [WEATHER]}, "the model takes no tools"),
        ("groq", "openai/gpt-oss-20b", "Hello", {"tools": [WEATHER] * 129}, "129 tools, 128 are taken"),
    ],
)  # fmt: skip
async def test_what_would_mean_something_else_fails_over(
    sim: Simulator, *, first: str, model: str, content: Any, options: dict[str, Any], reason: str
) -> None:
    """Nothing is sent to a model that cannot see, hear or call; the next one is asked."""
    sim.openai.handler = lambda request: replies.text("seen")
    async with service_for(sim, first, "openai", **{first: model}) as service:
        try:
            attempts = (await ask(service, [user(content)], **options)).attempts
        except BadRequestError as error:  # nobody takes so many tools
            attempts = error.attempts
        stats = service.get_stats()["stats"]
    assert attempts[0].reason == reason
    assert not attempts[0].sent
    assert not sim[first].requests
    assert first not in stats["errors_by_provider"] or not stats["errors_by_provider"][first]


# -- history ----------------------------------------------------------------------------------------


def call(number: Any, name: str = "get_weather", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(number: Any, content: Any = "21") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": number, "content": content}


def asked(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": list(calls), **more}


HISTORIES: dict[str, Messages] = {
    "a call without a result at the end": [user("Hi"), asked(call("c1"))],
    "a call without a result": [user("Hi"), asked(call("c1"), call("c2")), result("c2"), user("Go")],
    "a result without a call": [user("Hi"), result("lost"), user("Go on")],
    "a result far behind": [user("Hi"), asked(call("c1")), user("Wait"), result("c1"), user("Go on")],
    "results in another order": [user("Hi"), asked(call("a"), call("b")), result("b"), result("a")],
    "a long id": [user("Hi"), asked(call("x" * 64)), result("x" * 64)],
    "an id of other signs": [user("Hi"), asked(call("fn:0|β")), result("fn:0|β")],
    "the same id in two turns": [
        user("Hi"),
        *(asked(call("call_0")), result("call_0")),
        *(asked(call("call_0")), result("call_0")),
    ],
    "no ids": [user("Hi"), asked(call(None), call(None)), result(None), result(None)],
    "arguments as an object": [user("Hi"), asked(call("c", arguments={"city": "Rome"})), result("c")],
    "no arguments": [user("Hi"), asked(call("c", arguments="")), result("c", "")],
    "an old tool name": [user("Hi"), asked(call("c", "weather.get/v2 β")), result("c")],
    "empty texts": [
        {"role": "system", "content": ""},
        user(""),
        {"role": "assistant", "content": ""},
        user([{"type": "text", "text": " "}, {"type": "text", "text": "Hi"}]),
    ],
    "system messages anywhere": [
        user("Hi"),
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Hello"},
        {"role": "system", "content": "Be kind."},
        user("Go on"),
    ],
    "only a system message": [{"role": "system", "content": "Say hello."}],
    "the assistant first": [{"role": "assistant", "content": "Welcome."}, user("Hi")],
    "the same role twice": [user("Hi"), user("there"), *[{"role": "assistant", "content": "A"}] * 2, user("?")],
    "the beginning of an answer": [user("Count"), {"role": "assistant", "content": "One, two, "}],
    "foreign reasoning": [
        user("Hi"),
        {
            "role": "assistant",
            "content": "Hello",
            "reasoning_content": "Hm.",
            "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": ""}],
            "provider_specific_fields": {"x": 1},
            "annotations": [{"type": "url_citation"}],
        },
        user("Go on"),
    ],
    "a refusal": [user("Hi"), {"role": "assistant", "content": None, "refusal": "No."}, user("Why?")],
    "names": [{"role": "user", "name": "ann", "content": "Hi"}],
    "an image in a tool's result": [user("Hi"), asked(call("c")), result("c", IMAGE)],
    "images in other forms": [
        user(
            [
                {"type": "image_url", "image_url": PIXEL},
                {"type": "image", "source": {"type": "url", "url": "https://x.invalid/a.png"}},
            ]
        )
    ],
}  # fmt: skip


@WAYS
@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("name", HISTORIES)
async def test_a_history_from_elsewhere_is_taken(
    sim: Simulator, name: str, provider: str, stream: bool
) -> None:
    """The strict vendor takes it, older and newer models alike."""
    models = [{"anthropic": "claude-opus-5"}, {"anthropic": "claude-3-haiku-20240307"}]
    for chosen in models if provider == "anthropic" else [SEEING]:
        given = {n: m for n, m in chosen.items() if n == provider}
        async with service_for(sim, provider, **given) as service:
            await ask(service, HISTORIES[name], stream=stream, tools=[WEATHER])
        text = json.dumps(body_of(sim, provider))
        assert "sanitised" not in text  # LiteLLM's own placeholder


async def test_what_becomes_of_a_history(sim: Simulator) -> None:
    """A few of them word by word, and the notes."""
    seen: dict[str, tuple[Messages, tuple[str, ...]]] = {}
    async with service_for(sim, "openai") as service:
        for name, messages in HISTORIES.items():
            response = await ask(service, messages, tools=[WEATHER])
            seen[name] = sim.openai.requests[-1].body["messages"], response.attempts[-1].adapted
    sent, notes = seen["a result far behind"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "user", "user"]
    assert notes == ("a tool's result put behind its call",)
    sent, notes = seen["a call without a result"]
    assert [m.get("tool_call_id") for m in sent] == [None, None, "c1", "c2", None]
    assert notes == ("a missing tool's result filled in",)
    sent, notes = seen["a long id"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] != "x" * 64
    assert notes == ("tool-call ids mapped",)
    sent, notes = seen["the beginning of an answer"]
    assert [m["role"] for m in sent] == ["user", "assistant", "user"]
    sent, notes = seen["foreign reasoning"]
    assert sent[1] == {"role": "assistant", "content": "Hello"}
    assert notes[0] == "reasoning of earlier turns removed"
    assert seen["results in another order"][0][2]["tool_call_id"] == "a"
    assert seen["results in another order"][1] == ()


async def test_ids_are_the_same_in_every_turn(sim: Simulator) -> None:
    """A vendor's cache sees the same text again, and a call keeps its id when the conversation grows."""
    history = HISTORIES["a long id"]
    async with service_for(sim, "openai") as service:
        await ask(service, history)
        await ask(service, [*history, {"role": "assistant", "content": "21"}, user("Thanks")])
    before, after = (request.body["messages"] for request in sim.openai.requests)
    assert after[: len(before)] == before


@WAYS
@pytest.mark.parametrize("provider", ALL)
async def test_tools_keep_their_names_for_the_caller(
    sim: Simulator, provider: str, stream: bool
) -> None:
    """A name that the vendor does not take goes out mapped, and comes back as the caller's."""
    name = "weather.server/" + "very_long_" * 13
    tool = {"type": "function", "function": {**WEATHER["function"], "name": name}}  # type: ignore[dict-item]
    choice = {"type": "function", "function": {"name": name}}
    sim[provider].always(replies.auto())
    async with service_for(sim, provider) as service:
        first = await ask(service, [user("Hi")], stream=stream, tools=[tool], tool_choice=choice)
        assert [c.name for c in first.tool_calls] == [name]
        assert first.attempts[-1].adapted == ("1 tool names mapped",)
        body_of(sim, provider)
        history = [user("Hi"), said(first), *results(first)]
        second = await ask(service, history, stream=stream, tools=[tool])
    assert "celsius" in second.content
    assert name not in json.dumps(body_of(sim, provider))


async def test_a_note_never_quotes_the_caller(sim: Simulator) -> None:
    """Neither texts nor names of members get into the trail."""
    secret = "s3cr3t-word"
    message = {"role": "user", "content": "Hi", secret: secret, "name": secret}
    tool = {"type": "function", "function": {"name": f"{secret}."}}
    async with service_for(sim, "groq") as service:
        response = await ask(
            service, [message], stop=[secret] * 5, reasoning_effort="low", tools=[tool]
        )
    assert len(response.attempts[-1].adapted) >= 2
    assert secret not in str(response.attempts)
