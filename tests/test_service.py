"""The main job: environment → Router → an answer, for all four providers over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from itertools import product
from typing import Any

import pytest

from llm_unified import (
    AllProvidersFailedError,
    BadRequestError,
    ConfigurationError,
    FailureKind,
    LLMResponse,
    ServiceClosedError,
    UnifiedLLMClient,
    UnifiedLLMService,
    get_llm_service,
    load_settings,
)
from llm_unified.testing import Simulator, faults, replies

ALL = ("openai", "azure_openai", "groq", "anthropic")
HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGA"
    "hKmMIQAAAABJRU5ErkJggg=="
)


def service_for(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    return UnifiedLLMService(load_settings(sim.environ(*names), **overrides))


@pytest.mark.parametrize("provider", ALL)
async def test_the_original_api_works_verbatim(
    sim: Simulator, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Design §2.1 as it stands, from the environment alone."""
    for name, value in sim.environ(provider).items():
        monkeypatch.setenv(name, value)
    sim[provider].script(replies.tool_call("get_weather", {"city": "Rome"}, id="call_1"))

    service = get_llm_service()
    response = await service.generate_response_async(
        messages=HELLO, temperature=0.7, max_tokens=100, tools=[WEATHER]
    )
    assert (response.content, response.provider) == ("", provider)
    assert response.model == sim[provider].model
    (call,) = response.raw_response["tool_calls"]
    assert set(call) == {"id", "type", "name", "arguments", "function"}
    assert (call["type"], call["name"], call["function"]["name"]) == (
        "function",
        *["get_weather"] * 2,
    )
    assert json.loads(call["arguments"]) == {"city": "Rome"}
    assert call["function"]["arguments"] == call["arguments"]
    assert response.tool_calls[0].arguments == {"city": "Rome"}

    plain = await service.generate_response_async(messages=HELLO)
    assert plain.content
    assert "tool_calls" not in plain.raw_response
    assert plain.attempts[-1].outcome == "answered"
    stats = service.get_stats()
    assert stats["primary_provider"] == provider
    assert stats["fallback_providers"] == []
    assert stats["stats"]["total_requests"] == 2
    assert stats["stats"]["requests_by_provider"] == {provider: 2}
    assert stats["stats"]["errors_by_provider"] == {provider: 0}

    answer = await UnifiedLLMClient().generate_response(messages=HELLO)
    assert type(answer) is dict
    assert answer["content"] == plain.content
    assert set(answer) == {"content", "provider", "model", "usage", "finish_reason"}
    await service.aclose()
    assert get_llm_service() is not service
    await get_llm_service().aclose()


@pytest.mark.parametrize("provider", ALL)
async def test_parameters_reach_the_wire(sim: Simulator, provider: str) -> None:
    """Temperature, limits, stop, tools and tool choice arrive in each vendor's own spelling."""
    async with service_for(sim, provider) as service:
        await service.generate_response_async(
            HELLO,
            0.2,
            50,
            [WEATHER],
            tool_choice="required",
            stop=["END"],
            top_p=0.9,
            model="claude-sonnet-4-0" if provider == "anthropic" else None,  # later ones take one
        )
    body = sim[provider].requests[0].body
    assert body["temperature"] == 0.2
    assert body.get("max_tokens", body.get("max_completion_tokens")) == 50
    assert body.get("stop", body.get("stop_sequences")) == ["END"]
    assert body["top_p"] == 0.9
    if provider == "anthropic":
        assert body["tools"][0]["name"] == "get_weather"
        assert body["tool_choice"]["type"] == "any"
    else:
        assert body["tools"] == [WEATHER]
        assert body["tool_choice"] == "required"


@pytest.mark.parametrize("provider", ALL)
async def test_a_conversation_with_tool_results_is_translated(
    sim: Simulator, provider: str
) -> None:
    """System message, tool calls and tool results arrive as the vendor wants them (it would refuse)."""
    call = {"id": "call_7", "type": "function"}
    call["function"] = {"name": "get_weather", "arguments": '{"city": "Rome"}'}  # type: ignore[assignment]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_7", "content": "22 degrees"},
    ]
    async with service_for(sim, provider) as service:
        response = await service.generate_response_async(messages, tools=[WEATHER])
    assert response.provider == provider
    body = sim[provider].requests[0].body
    if provider == "anthropic":
        assert "Be brief." in json.dumps(body["system"])
        assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
        assert body["messages"][2]["content"][0]["tool_use_id"] == "call_7"
    else:
        assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "tool"]


@pytest.mark.parametrize("provider", ALL)
async def test_images_are_translated(sim: Simulator, provider: str) -> None:
    """An image as data URL arrives as the vendor's own image part."""
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    async with service_for(sim, provider) as service:
        seeing = "qwen/qwen3.8-27b" if provider == "groq" else None
        await service.generate_response_async([{"role": "user", "content": content}], model=seeing)
    part = sim[provider].requests[0].body["messages"][0]["content"][1]
    if provider == "anthropic":
        assert part["source"]["media_type"] == "image/png"
    else:
        assert part["image_url"]["url"] == PIXEL


@pytest.mark.parametrize("provider", ALL)
async def test_base_urls_may_carry_a_path_prefix(provider: str) -> None:
    """A gateway's prefix stays in front of the vendor's own path."""
    with Simulator(prefix="/gateway/v2") as sim:
        async with service_for(sim, provider) as service:
            assert (await service.generate_response_async(HELLO)).provider == provider


async def test_the_next_provider_answers_and_the_first_was_asked_once(sim: Simulator) -> None:
    """Ordered failover: each failing one is asked exactly once, whatever the pool size."""
    for provider in ALL[:3]:
        sim[provider].script(faults.status(500) * 5)
    async with service_for(sim, *ALL, pool_size=3) as service:
        response = await service.generate_response_async(HELLO)
        stats = service.get_stats()["stats"]
    assert response.provider == "anthropic"
    assert [len(sim[p].requests) for p in ALL] == [1, 1, 1, 1]
    assert [a.provider for a in response.attempts] == list(ALL)
    assert stats["fallback_count"] == 1
    assert stats["errors_by_provider"] == {**dict.fromkeys(ALL[:3], 1), "anthropic": 0}


@pytest.mark.parametrize(
    ("provider", "status"),
    [*product(ALL, (400, 422)), ("openai", 413), ("azure_openai", 413)],
)
async def test_the_callers_fault_is_raised_after_one_request(
    sim: Simulator, provider: str, status: int
) -> None:
    """A wrong request goes to one provider, and the caller gets to know.

    Groq's 413 is a rate limit and Anthropic's a limit of its own; see the table.
    """
    sim[provider].script(faults.status(status))
    others = [p for p in ALL if p != provider]
    async with service_for(sim, provider, *others) as service:
        with pytest.raises(BadRequestError) as caught:
            await service.generate_response_async(HELLO)
    assert sum(len(sim[p].requests) for p in ALL) == 1
    assert caught.value.status == status
    assert [a.kind for a in caught.value.attempts] == [FailureKind.BAD_REQUEST]


@pytest.mark.parametrize("provider", ALL)
async def test_a_pool_of_three_takes_strict_turns_over_three_sockets(
    sim: Simulator, provider: str
) -> None:
    """1-2-3-1-2-3, each copy on a socket of its own."""
    async with service_for(sim, provider, pool_size=3) as service:
        answers = [await service.generate_response_async(HELLO) for _ in range(9)]
    assert [a.attempts[0].deployment for a in answers] == [f"{provider}#{i % 3}" for i in range(9)]
    ports = [r.client_port for r in sim[provider].requests]
    assert len(set(ports[:3])) == 3
    assert ports == ports[:3] * 3


@pytest.mark.parametrize("provider", ALL)
async def test_turns_are_strict_under_concurrency(sim: Simulator, provider: str) -> None:
    """Sixty calls at once: twenty for each copy, and no socket serves two copies."""
    environ = sim.environ(provider)
    environ.pop(f"{provider.upper()}_API_KEY")
    environ[f"{provider.upper()}_API_KEYS"] = ",".join(sim[provider].api_keys[:3])
    async with UnifiedLLMService(load_settings(environ, pool_size=3)) as service:
        await asyncio.gather(*(service.generate_response_async(HELLO) for _ in range(60)))
        counts = service.get_stats()["stats"]["requests_by_deployment"]
    assert counts == {f"{provider}#{i}": 20 for i in range(3)}
    # Each copy has a key of its own, so the journal tells whose request came over which socket.
    keys_of_socket: dict[int, set[str | None]] = {}
    for request in sim[provider].requests:
        keys_of_socket.setdefault(request.connection, set()).add(request.api_key)
    assert all(len(keys) == 1 for keys in keys_of_socket.values())
    assert Counter(request.api_key for request in sim[provider].requests) == dict.fromkeys(
        sim[provider].api_keys[:3], 20
    )


async def test_a_key_that_cools_down_is_passed_over(sim: Simulator) -> None:
    """A key that met a 429 cools down: a sibling key answers, and the turn goes over the others."""
    keys = ",".join(sim.openai.api_keys[:3])
    environ = sim.environ("openai", "groq") | {"OPENAI_API_KEYS": keys}
    environ.pop("OPENAI_API_KEY")
    sim.openai.script(faults.rate_limit(retry_after=60))
    async with UnifiedLLMService(load_settings(environ, pool_size=3)) as service:
        first = await service.generate_response_async(HELLO)
        turn = [(await service.generate_response_async(HELLO)).attempts[0] for _ in range(4)]
    assert [a.deployment for a in first.attempts] == ["openai#0", "openai#1"]
    assert [a.deployment for a in turn] == ["openai#2", "openai#1", "openai#2", "openai#1"]


async def test_a_call_may_name_its_provider_and_model(sim: Simulator) -> None:
    """``provider=`` starts the chain there, ``model=`` is for that one only."""
    sim.groq.script(faults.status(503))
    async with service_for(sim, *ALL) as service:
        response = await service.generate_response_async(HELLO, provider="groq", model="llama-x")
    assert sim.groq.requests[0].body["model"] == "llama-x"
    assert (response.provider, response.model) == ("openai", sim.openai.model)
    assert [a.model for a in response.attempts] == ["llama-x", sim.openai.model]


@pytest.mark.parametrize("provider", ALL)
async def test_a_model_override_reaches_every_wire(sim: Simulator, provider: str) -> None:
    """``model=`` is what the provider is asked for (Azure: the deployment in the path)."""
    async with service_for(sim, provider) as service:
        response = await service.generate_response_async(HELLO, model="other-model")
    request = sim[provider].requests[0]
    assert response.model == "other-model"
    if provider == "azure_openai":
        assert "/deployments/other-model/" in request.path
    else:
        assert request.body["model"] == "other-model"


async def test_without_fallback_only_the_first_is_asked(sim: Simulator) -> None:
    """``fallback=False`` means one provider."""
    sim.openai.script(faults.status(500))
    async with service_for(sim, *ALL) as service:
        with pytest.raises(AllProvidersFailedError) as caught:
            await service.generate_response_async(HELLO, fallback=False)
    assert len(caught.value.attempts) == 1
    assert not sim.azure_openai.requests


async def test_an_unknown_provider_is_named(sim: Simulator) -> None:
    """The error says which ones there are."""
    async with service_for(sim, "openai", "groq") as service:
        with pytest.raises(ConfigurationError, match=r"'gorq' is not configured.*openai, groq"):
            await service.generate_response_async(HELLO, provider="gorq")


@pytest.mark.parametrize("messages", ["Hello", ["Hello"], [None], b"x"], ids=repr)
async def test_messages_that_are_none_are_refused(sim: Simulator, messages: Any) -> None:
    """Nothing is sent, and the error shows what a message looks like."""
    async with service_for(sim, "openai") as service:
        with pytest.raises(BadRequestError, match="list of dicts"):
            await service.generate_response_async(messages)
    assert not sim.openai.requests


async def test_a_prompt_that_cannot_be_encoded_is_the_callers_fault(sim: Simulator) -> None:
    """A lone surrogate rests nobody: LiteLLM calls it a server error."""
    async with service_for(sim, "openai", "groq") as service:
        for _ in range(5):
            with pytest.raises(BadRequestError):
                await service.generate_response_async([{"role": "user", "content": "bad \ud800"}])
        assert (await service.generate_response_async(HELLO)).provider == "openai"


async def test_accept_sends_the_call_on(sim: Simulator) -> None:
    """An answer that the caller's ``accept`` refuses is rejected; its tokens are counted."""

    async def polite(response: LLMResponse) -> bool:
        return "groq" in response.content

    async with service_for(sim, "openai", "groq") as service:
        response = await service.generate_response_async(HELLO, accept=polite)
        tokens = service.get_stats()["stats"]["tokens_by_provider"]
    assert [a.kind for a in response.attempts] == [FailureKind.REJECTED, None]
    assert tokens["openai"]["total_tokens"] > 0


async def test_an_exception_of_accept_reaches_the_caller(sim: Simulator) -> None:
    """A bug in the caller's code is not taken for a bad answer."""

    def broken(_: LLMResponse) -> bool:
        raise KeyError("mine")

    async with service_for(sim, "openai", "groq") as service:
        with pytest.raises(KeyError, match="mine"):
            await service.generate_response_async(HELLO, accept=broken)
    assert not sim.groq.requests


async def test_a_closed_service_says_so(sim: Simulator) -> None:
    """After ``aclose`` every way in raises `ServiceClosedError`; closing twice is fine."""
    service = service_for(sim, "openai")
    await service.generate_response_async(HELLO)
    await service.aclose()
    await service.aclose()
    with pytest.raises(ServiceClosedError):
        await service.generate_response_async(HELLO)
    with pytest.raises(ServiceClosedError):
        async for _ in service.stream_response_async(HELLO):
            pass
    await sim.openai.wait_for_async(open_connections=0)


async def test_several_services_are_apart(sim: Simulator) -> None:
    """Two services in one process count and rest by themselves."""
    async with service_for(sim, "openai") as one, service_for(sim, "openai", "groq") as two:
        await one.generate_response_async(HELLO)
        await two.generate_response_async(HELLO)
        await two.generate_response_async(HELLO)
        counts = [s.get_stats()["stats"]["total_requests"] for s in (one, two)]
    assert counts == [1, 2]


async def test_counts_add_up_under_load(sim: Simulator) -> None:
    """requests - errors = answers, when two hundred calls with mixed faults have returned."""
    sim.openai.script(*[faults.status(500), replies.text("a"), faults.no_choices()] * 40)
    async with service_for(sim, *ALL, failure_threshold=1000) as service:
        answers = await asyncio.gather(
            *(service.generate_response_async(HELLO) for _ in range(200))
        )
        stats = service.get_stats()["stats"]
    by_provider = Counter(a.provider for a in answers)
    requests, errors = stats["requests_by_provider"], stats["errors_by_provider"]
    assert {p: requests[p] - errors[p] for p in ALL} == {p: by_provider[p] for p in ALL}
    assert stats["total_requests"] == 200
    assert stats["fallback_count"] == 200 - by_provider["openai"]
    assert {p: len(sim[p].requests) for p in ALL} == requests


async def test_what_is_configured_is_shown_without_secrets(sim: Simulator) -> None:
    """Neither the service nor its settings show a key."""
    async with service_for(sim, *ALL) as service:
        shown = f"{service!r} {service.settings!r} {service.settings} {service.get_stats()}"
    assert not any(key in shown for p in ALL for key in sim[p].api_keys)
