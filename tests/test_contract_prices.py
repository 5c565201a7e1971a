"""What answers cost, beside LiteLLM's own reckoning: every chat model of the four vendors in its price list."""

from __future__ import annotations

from typing import Any

import pytest

from llm_unified.engine.imports import LiteLLMUsage, litellm
from llm_unified.engine.prices import PriceList
from llm_unified.response import Usage

ALL = ("openai", "azure", "groq", "anthropic")
USAGES = {
    "plain": Usage(1000, 100, 1100),
    "cached": Usage(1000, 100, 1100, cached_tokens=400),
    "written": Usage(1000, 100, 1100, cached_tokens=300, cache_write_tokens=200),
    "reasoning": Usage(1000, 100, 1100, reasoning_tokens=60),
    "long": Usage(300_000, 2000, 302_000, cached_tokens=1000),
    "nothing": Usage(0, 0, 0),
}


def models_of(vendor: str) -> list[str]:
    return [
        name if name.startswith(f"{vendor}/") else f"{vendor}/{name}"
        for name, info in litellm.model_cost.items()
        if info.get("litellm_provider") == vendor and info.get("mode") in ("chat", "responses")
    ]


def litellms(name: str, vendor: str, usage: Usage) -> float | None:
    """By `litellm.cost_per_token`, given the usage as the vendor's answer is read."""
    counted: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    if vendor == "anthropic":
        counted |= {
            "cache_read_input_tokens": usage.cached_tokens,
            "cache_creation_input_tokens": usage.cache_write_tokens,
        }
    prompt, completion = litellm.cost_per_token(
        model=name,
        custom_llm_provider=vendor,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        usage_object=LiteLLMUsage(**counted),
    )
    return (prompt + completion) or None


@pytest.mark.parametrize("kind", USAGES)
@pytest.mark.parametrize("vendor", ALL)
def test_costs_are_litellms(vendor: str, kind: str) -> None:
    """To the last digit that a float has."""
    usage = USAGES[kind]
    models = models_of(vendor)
    assert len(models) > 5
    for name in models:
        mine = PriceList.of(name, vendor).cost(usage)
        theirs = litellms(name, vendor, usage)
        expected = None if theirs is None else pytest.approx(theirs, rel=1e-12)
        assert (mine or None) == expected, name


def test_tokens_of_a_long_prompt_cost_what_its_tier_says() -> None:
    """Some model of the list has such a price, so the test above covers them."""
    tiered = [n for v in ALL for n in models_of(v) if PriceList.of(n, v).tiered]
    assert tiered
    assert not PriceList.of("anthropic/claude-haiku-4-5", "anthropic").tiered


def test_a_model_without_price_has_none() -> None:
    """LiteLLM says 0.0, or raises; we say ``None``."""
    assert PriceList.of("openai/nobody-knows-this-one", "openai").cost(USAGES["plain"]) is None
    assert PriceList.of("azure/production", "azure").cost(USAGES["plain"]) is None
