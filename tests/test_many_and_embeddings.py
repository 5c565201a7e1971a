"""Many conversations at once, and embeddings that never mix two models' spaces."""

from __future__ import annotations

from typing import Any

import pytest

from llm_unified import (
    AllProvidersFailedError,
    BadRequestError,
    ConfigurationError,
    LLMResponse,
    UnifiedLLMService,
    load_settings,
)
from llm_unified.testing import Request, Simulator, faults, replies


def service_for(sim: Simulator, *names: str, **overrides: Any) -> UnifiedLLMService:
    return UnifiedLLMService(load_settings(sim.environ(*names), **overrides))


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def test_many_keeps_the_order_and_the_limit(sim: Simulator) -> None:
    """Answers come back in the order of the questions; never more than ``concurrency`` at once."""
    most = 0

    def echo(request: Request) -> Any:
        nonlocal most
        most = max(most, sim.openai.in_flight)
        return replies.text("re " + request.body["messages"][0]["content"])

    sim.openai.handler = echo
    sim.openai.latency = 0.01
    async with service_for(sim, "openai") as service:
        results = await service.generate_many_async([ask(str(i)) for i in range(40)], concurrency=4)
    assert [r.content for r in results if isinstance(r, LLMResponse)] == [
        f"re {i}" for i in range(40)
    ]
    assert 1 < most <= 4


async def test_failures_are_values(sim: Simulator) -> None:
    """One that failed is an error in its place; the others are answered."""

    def some(request: Request) -> Any:
        return faults.bad_request() if request.body["messages"][0]["content"] == "2" else None

    sim.openai.handler = some
    async with service_for(sim, "openai") as service:
        results = await service.generate_many_async([ask(str(i)) for i in range(5)], concurrency=2)
    assert [type(r) for r in results] == [LLMResponse] * 2 + [BadRequestError] + [LLMResponse] * 2


def test_many_works_synchronously_and_shows_nothing_in_a_pipe(
    sim: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    """The progress bar is for terminals only."""
    with service_for(sim, "groq") as service:
        assert len(service.generate_many([ask("a"), ask("b")], progress=True, max_tokens=5)) == 2
        assert service.generate_many([]) == []
    assert capfd.readouterr() == ("", "")


async def test_each_item_has_its_own_deadline(sim: Simulator) -> None:
    """A hanging item fails by itself, in its own time."""

    def some(request: Request) -> Any:
        return faults.blackhole() if request.body["messages"][0]["content"] == "0" else None

    sim.openai.handler = some
    async with service_for(sim, "openai", pool_size=1) as service:
        results = await service.generate_many_async(
            [ask(str(i)) for i in range(3)], concurrency=3, deadline=1.0
        )
    assert isinstance(results[0], AllProvidersFailedError)
    assert all(isinstance(r, LLMResponse) for r in results[1:])


@pytest.mark.parametrize("provider", ["openai", "azure_openai"])
async def test_embeddings_come_in_order(sim: Simulator, provider: str) -> None:
    """One vector a text, with usage and trail, over the pool's own turns."""
    async with service_for(sim, provider, pool_size=2) as service:
        result = await service.embed_async(["one", "two", "three"], model="text-embedding-3-small")
        again = await service.embed_async("two", model="text-embedding-3-small")
    assert len(result.vectors) == 3
    assert again.vectors[0] == result.vectors[1]
    assert (result.provider, result.model) == (provider, "text-embedding-3-small")
    assert result.usage.prompt_tokens > 0
    assert [r.attempts[0].deployment for r in (result, again)] == [f"{provider}#0", f"{provider}#1"]


async def test_a_fallback_serves_the_same_model(sim: Simulator) -> None:
    """Providers without embeddings are left out; the others are asked for the very same model."""
    sim.openai.script(faults.status(500))
    names = ("anthropic", "openai", "groq", "azure_openai")
    async with service_for(sim, *names) as service:
        result = await service.embed_async(["one"], model="text-embedding-3-large")
        stats = service.get_stats()["stats"]
    assert [a.provider for a in result.attempts] == ["openai", "azure_openai"]
    assert sim.openai.requests[0].body["model"] == "text-embedding-3-large"
    assert "/deployments/text-embedding-3-large/embeddings" in sim.azure_openai.requests[0].path
    assert not sim.anthropic.requests
    assert stats["fallback_count"] == 1


async def test_embeddings_need_somebody_who_offers_them(sim: Simulator) -> None:
    """The error names who does."""
    async with service_for(sim, "anthropic", "groq") as service:
        with pytest.raises(ConfigurationError, match="add openai or azure_openai"):
            await service.embed_async(["one"], model="text-embedding-3-small")
        with pytest.raises(BadRequestError, match="not empty"):
            await service.embed_async([], model="text-embedding-3-small")
