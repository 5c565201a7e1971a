"""Providers that only YAML names: anything LiteLLM speaks, over its own clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from llm_unified import (
    BadRequestError,
    FailureKind,
    StreamInterruptedError,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.testing import Simulator, faults

HELLO = [{"role": "user", "content": "Hello"}]
MODELS = {
    "deepseek": "deepseek/deepseek-chat",
    "together": "together_ai/meta-llama/x",
    "vllm": "openai/my-model",
}
KINDS = {
    "status_500": FailureKind.SERVER,
    "status_401": FailureKind.AUTH,
    "status_404": FailureKind.NOT_FOUND,
    "rate_limit_seconds": FailureKind.RATE_LIMIT,
    "empty_content": FailureKind.INVALID_RESPONSE,
    "html": FailureKind.INVALID_RESPONSE,
    "blackhole": FailureKind.TIMEOUT,
}


@pytest.fixture
async def service(
    sim: Simulator, request: pytest.FixtureRequest
) -> AsyncIterator[UnifiedLLMService]:
    """Three OpenAI-compatible providers that LiteLLM knows by name, then Groq."""
    key, url = sim.openai.api_key, sim.openai.base_url
    blocks = {
        name: {"model": model, "api_key": key, "base_url": url} for name, model in MODELS.items()
    }
    case = request.node.callspec.params
    if case.get("fault") == "blackhole":
        blocks[case["name"]] |= {"timeout": 2.0}
    settings = load_settings(
        sim.environ("groq"),
        providers=blocks,
        primary_provider="deepseek",
        fallback_providers=("together", "vllm", "groq"),
        enable_fallback=True,
    )
    async with UnifiedLLMService(settings) as made:
        yield made


@pytest.mark.parametrize("name", MODELS)
async def test_it_answers_whole_and_streamed(service: UnifiedLLMService, name: str) -> None:
    """The same calls as for the four."""
    whole = await service.generate_response_async(HELLO, provider=name)
    async with service.stream_response_async(HELLO, provider=name) as stream:
        text = "".join([chunk.content async for chunk in stream])
    assert (whole.provider, whole.model) == (name, MODELS[name])
    assert stream.response is not None
    assert text == stream.response.content == whole.content


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("fault", KINDS)
async def test_it_fails_as_the_table_says(
    sim: Simulator, service: UnifiedLLMService, name: str, fault: str
) -> None:
    """Judged by LiteLLM's exception and what caused it, since the wire is not ours."""
    sim.openai.script(faults.ALL.get(fault, lambda: faults.rate_limit(retry_after=3))())
    response = await service.generate_response_async(HELLO, provider=name)
    failed = response.attempts[0]
    if fault == "html" and name != "vllm":  # LiteLLM calls an unreadable body a server error
        assert failed.kind in (FailureKind.INVALID_RESPONSE, FailureKind.SERVER)
    else:
        assert failed.kind is KINDS[fault]
    assert response.provider != name
    if fault == "rate_limit_seconds" and name != "together":
        assert failed.retry_after == pytest.approx(3.0)


@pytest.mark.parametrize("name", MODELS)
async def test_the_callers_fault_goes_to_the_caller(
    sim: Simulator, service: UnifiedLLMService, name: str
) -> None:
    """Asked once, raised."""
    sim.openai.script(faults.bad_request())
    with pytest.raises(BadRequestError):
        await service.generate_response_async(HELLO, provider=name)
    assert len(sim.openai.requests) == 1


@pytest.mark.parametrize("name", MODELS)
async def test_a_cut_stream_is_interrupted(
    sim: Simulator, service: UnifiedLLMService, name: str
) -> None:
    """Without a known end marker the missing finish reason tells."""
    sim.openai.script(faults.end_stream_early(after=2))
    with pytest.raises(StreamInterruptedError) as caught:
        async for _ in service.stream_response_async(HELLO, provider=name):
            pass
    assert caught.value.partial_text


def test_prices_of_the_configuration_count(sim: Simulator) -> None:
    """`cost_usd` of a model that no list knows."""
    block: dict[str, Any] = {
        "model": "openai/mine",
        "api_key": sim.openai.api_key,
        "base_url": sim.openai.base_url,
        "input_cost_per_token": 0.001,
        "output_cost_per_token": 0.01,
    }
    settings = load_settings({}, providers={"mine": block}, primary_provider="mine")
    with UnifiedLLMService(settings) as service:
        whole = service.generate_response(HELLO)
        stream = service.stream_response(HELLO)
        list(stream)
    for response in (whole, stream.response):
        assert response is not None
        tokens = response.usage
        expected = 0.001 * tokens.prompt_tokens + 0.01 * tokens.completion_tokens
        assert response.cost_usd == pytest.approx(expected)
