"""Tokens, from every form in which they are counted. What nobody counted is ``None``, never a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from llm_unified.response import Usage

__all__ = ["anthropic_usage", "count", "litellm_usage", "openai_usage"]

_OPENAI_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
_ANTHROPIC_COUNTS: Final = ("input_tokens", "output_tokens")


def count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def openai_usage(raw: Any) -> Usage | None:
    """OpenAI's ``usage`` object, and what servers of its protocol add to it.

    Cached tokens: ``prompt_tokens_details.cached_tokens`` (OpenAI, Azure, Groq; "Prompt caching"),
    ``prompt_cache_hit_tokens`` (DeepSeek: Context caching), ``cached_tokens`` (Moonshot),
    ``cache_read_input_tokens`` (LiteLLM's proxy). Written: ``cache_write_tokens`` (OpenRouter: Prompt
    caching), ``cache_creation_tokens`` and ``cache_creation_input_tokens`` (LiteLLM's proxy).
    """
    if not isinstance(raw, Mapping) or not any(
        isinstance(raw.get(name), int) for name in _OPENAI_COUNTS
    ):
        return None
    prompt, completion = count(raw.get("prompt_tokens")), count(raw.get("completion_tokens"))
    asked, answered = raw.get("prompt_tokens_details"), raw.get("completion_tokens_details")
    asked = asked if isinstance(asked, Mapping) else {}
    return Usage(
        prompt,
        completion,
        count(raw.get("total_tokens")) or prompt + completion,
        cached_tokens=count(asked.get("cached_tokens"))
        or _first(raw, ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")),
        cache_write_tokens=_first(asked, ("cache_write_tokens", "cache_creation_tokens"))
        or count(raw.get("cache_creation_input_tokens")),
        reasoning_tokens=(
            count(answered.get("reasoning_tokens")) if isinstance(answered, Mapping) else 0
        ),
    )


def _first(raw: Mapping[str, Any], names: Sequence[str]) -> int:
    return next((found for name in names if (found := count(raw.get(name)))), 0)


def anthropic_usage(raw: Any) -> Usage | None:
    """Anthropic's counts: what was read from and written to the cache is counted apart from the input.

    Source: Anthropic API reference, "Prompt caching" (``cache_creation``: by lifetime), "Extended thinking"
    (``output_tokens_details``), "Compaction" (``iterations``: the whole is their sum).
    """
    if not isinstance(raw, Mapping) or not any(
        isinstance(raw.get(name), int) for name in _ANTHROPIC_COUNTS
    ):
        return None
    iterations = raw.get("iterations")
    listed = iterations if isinstance(iterations, list) else []
    rounds = [r for r in listed if isinstance(r, Mapping)] or [raw]

    def total(name: str, inside: str | None = None) -> int:
        places = rounds if inside is None else [r.get(inside) for r in rounds]
        return sum(count(place.get(name)) for place in places if isinstance(place, Mapping))

    cached, written = total("cache_read_input_tokens"), total("cache_creation_input_tokens")
    prompt, completion = total("input_tokens") + cached + written, total("output_tokens")
    return Usage(
        prompt,
        completion,
        prompt + completion,
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(written, total("ephemeral_1h_input_tokens", "cache_creation")),
        reasoning_tokens=total("thinking_tokens", "output_tokens_details"),
    )


def litellm_usage(raw: Any) -> Usage | None:
    """LiteLLM's ``Usage`` object."""
    if raw is None:
        return None
    prompt, completion = (
        count(getattr(raw, "prompt_tokens", 0)),
        count(getattr(raw, "completion_tokens", 0)),
    )
    asked = getattr(raw, "prompt_tokens_details", None)
    answered = getattr(raw, "completion_tokens_details", None)
    lifetimes = getattr(asked, "cache_creation_token_details", None)
    return Usage(
        prompt,
        completion,
        count(getattr(raw, "total_tokens", 0)) or prompt + completion,
        cached_tokens=count(getattr(asked, "cached_tokens", 0)),
        cache_write_tokens=count(getattr(asked, "cache_creation_tokens", 0)),
        cache_write_1h_tokens=count(getattr(lifetimes, "ephemeral_1h_input_tokens", 0)),
        reasoning_tokens=count(getattr(answered, "reasoning_tokens", 0)),
    )
