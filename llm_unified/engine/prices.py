"""What tokens cost: by the configured prices, else by LiteLLM's price list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_unified.engine.imports import LiteLLMUsage, litellm
from llm_unified.engine.quiet import quiet
from llm_unified.pool.deployments import cost
from llm_unified.response import Usage

__all__ = ["PriceList"]

_PLAIN = (
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "cache_creation_input_token_cost_above_1hr",
)


_TIER = re.compile(r"_above_\d+k?_tokens")
"""In the name of a price that holds from so many tokens on. (``_above_1hr`` is Anthropic's cache of an hour.)"""


@dataclass(frozen=True, slots=True)
class PriceList:
    """US dollars per token of one model, looked up once. ``None`` everywhere: nobody knows."""

    name: str
    """As LiteLLM's price list calls the model."""
    vendor: str
    prompt: float | None
    completion: float | None
    cached: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    reasons: bool = False
    """The model can think before it answers."""
    tiered: bool = False
    """The price depends on the amount: LiteLLM reckons each answer by itself."""

    @classmethod
    def of(cls, name: str, vendor: str) -> PriceList:
        """From LiteLLM's price list."""
        try:
            with quiet():
                info: Mapping[str, Any] = litellm.get_model_info(name, vendor)
        except Exception:  # noqa: BLE001 - LiteLLM raises a bare Exception for an unknown model
            return cls(name, vendor, None, None)
        prompt, completion, cached, written, written_1h = (info.get(key) for key in _PLAIN)
        return cls(
            name,
            vendor,
            prompt,
            completion,
            cached,
            written,
            written_1h,
            reasons=bool(info.get("supports_reasoning")),
            tiered=any(value and _TIER.search(key) for key, value in info.items()),
        )

    def cost(self, usage: Usage) -> float | None:
        """US dollars of these tokens; ``None`` when nobody knows the price."""
        if self.tiered:
            return self._by_litellm(usage)
        if not self.prompt and not self.completion:
            return None
        return cost(
            usage,
            self.prompt or 0.0,
            self.completion or 0.0,
            cached=self.cached,
            cache_write=self.cache_write,
            cache_write_1h=self.cache_write_1h,
        )

    def _by_litellm(self, usage: Usage) -> float | None:
        long = usage.cache_write_1h_tokens
        counted = LiteLLMUsage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            cache_read_input_tokens=usage.cached_tokens,
            cache_creation_input_tokens=usage.cache_write_tokens,
            prompt_tokens_details={
                "cached_tokens": usage.cached_tokens,
                "cache_creation_tokens": usage.cache_write_tokens,
                "cache_creation_token_details": {
                    "ephemeral_5m_input_tokens": usage.cache_write_tokens - long,
                    "ephemeral_1h_input_tokens": long,
                },
            },
        )
        try:
            with quiet():
                prompt, completion = litellm.cost_per_token(
                    model=self.name,
                    custom_llm_provider=self.vendor,
                    prompt_tokens=usage.prompt_tokens,
                    completion_tokens=usage.completion_tokens,
                    usage_object=counted,
                )
        except Exception:  # noqa: BLE001 - as above
            return None
        return (prompt + completion) or None
