"""Pure: settings → LiteLLM's model list and fallbacks, and the same as typed values.

A provider is one group. Each of its deployments is there ``pool_size`` times, and at least once per
key; neighbours differ in deployment first and in key second, so that taking turns spreads the load.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_unified.providers import ProviderRow, provider_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

    from llm_unified.response import Usage
    from llm_unified.settings import DeploymentSettings, ProviderSettings, Settings

__all__ = ["Deployment", "build_model_list", "fallbacks", "plan"]

NO_KEY = "no-key"
"""Sent where an OpenAI-compatible server needs none: without it LiteLLM would send
``OPENAI_API_KEY`` of the environment to that server."""

_AZURE_FAMILIES = frozenset(
    {
        "gpt-35-turbo",
        "gpt-4",
        "gpt-4-turbo",
        "gpt-4.1",
        "gpt-4.1-mini",
        "gpt-4.1-nano",
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-5",
        "gpt-5-mini",
        "gpt-5-nano",
        "gpt-5.1",
        "o1",
        "o3",
        "o3-mini",
        "o4-mini",
    }
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One member of the pool, as rotation and statistics see it. No secret is in it."""

    id: str
    """``"openai#0"``: the provider and a running number."""
    provider: str
    model: str
    """As the operator wrote it."""
    litellm_model: str
    endpoint: str
    """Which upstream this is: deployments with equal endpoints fail and recover together."""
    credential: str
    """Which key, by its place: ``"openai/key1"``. A rate limit belongs to a credential."""
    weight: int = 1
    input_cost_per_token: float | None = None
    """US dollars; ``None``: LiteLLM's price list."""
    output_cost_per_token: float | None = None
    cache_read_cost_per_token: float | None = None
    """``None``, here and below: as any other prompt token."""
    cache_write_cost_per_token: float | None = None

    @property
    def row(self) -> ProviderRow:
        """What is known of its provider."""
        return provider_row(self.provider, self.litellm_model)

    @property
    def priced(self) -> bool:
        """Whether the configuration names prices."""
        return (self.input_cost_per_token, self.output_cost_per_token) != (None, None)

    def cost(self, usage: Usage) -> float:
        """US dollars by the configured prices.

        They are not given to LiteLLM: that makes every call half as dear again in CPU.
        """
        return cost(
            usage,
            self.input_cost_per_token or 0.0,
            self.output_cost_per_token or 0.0,
            cached=self.cache_read_cost_per_token,
            cache_write=self.cache_write_cost_per_token,
        )


def cost(
    usage: Usage,
    prompt: float,
    completion: float,
    *,
    cached: float | None = None,
    cache_write: float | None = None,
    cache_write_1h: float | None = None,
) -> float:
    """US dollars by these prices of one token; without one of its own, what is cached costs what others do.

    Source of the formula: LiteLLM's ``generic_cost_per_token``: cached and written tokens are part of the
    prompt's and have prices of their own.
    """
    cached = prompt if cached is None else cached
    cache_write = prompt if cache_write is None else cache_write
    cache_write_1h = cache_write if cache_write_1h is None else cache_write_1h
    long = usage.cache_write_1h_tokens
    special = usage.cached_tokens + usage.cache_write_tokens
    return (
        max(0, usage.prompt_tokens - special) * prompt
        + usage.cached_tokens * cached
        + (usage.cache_write_tokens - long) * cache_write
        + long * cache_write_1h
        + usage.completion_tokens * completion
    )


@dataclass(frozen=True, slots=True)
class _Member:
    id: str
    provider: ProviderSettings
    deployment: DeploymentSettings
    key: SecretStr | None
    credential: str


def plan(settings: Settings) -> tuple[Deployment, ...]:
    """Return all deployments in the order of their turns, provider by provider."""
    return tuple(
        Deployment(
            id=member.id,
            provider=member.provider.name,
            model=member.deployment.model,
            litellm_model=member.deployment.litellm_model,
            endpoint=_endpoint(member),
            credential=member.credential,
            weight=member.deployment.weight,
            input_cost_per_token=member.deployment.input_cost_per_token,
            output_cost_per_token=member.deployment.output_cost_per_token,
            cache_read_cost_per_token=member.deployment.cache_read_cost_per_token,
            cache_write_cost_per_token=member.deployment.cache_write_cost_per_token,
        )
        for member in _members(settings)
    )


def build_model_list(
    settings: Settings, local: tuple[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return LiteLLM's ``model_list``, same order and ids as :func:`plan`. Keys are in clear in it.

    ``local`` is the base URL and the key of the embedded model's server, once it runs.
    """
    return [
        {
            "model_name": member.provider.name,
            "litellm_params": _litellm_params(member, local),
            "model_info": _model_info(member),
        }
        for member in _members(settings)
    ]


def fallbacks(settings: Settings) -> list[dict[str, list[str]]]:
    """Return LiteLLM's ``fallbacks``: for each provider, who is asked after it failed.

    A call that starts elsewhere than at the primary goes on with the chain's others, in its order.
    """
    if not settings.enable_fallback:
        return []
    rows = {
        provider.name: [name for name in settings.chain if name != provider.name]
        for provider in settings.providers
    }
    return [{name: others} for name, others in rows.items() if others]


def _members(settings: Settings) -> Iterator[_Member]:
    for provider in settings.providers:
        deployments = provider.deployments
        keys = list(dict.fromkeys(key for d in deployments for key in d.api_keys))
        rounds = max(settings.pool_size, *(len(d.api_keys) for d in deployments))
        for number in range(rounds * len(deployments)):
            turn, which = divmod(number, len(deployments))
            own = deployments[which].api_keys
            key = own[turn % len(own)] if own else None
            credential = f"key{keys.index(key) + 1}" if key else "keyless"
            yield _Member(
                id=f"{provider.name}#{number}",
                provider=provider,
                deployment=deployments[which],
                key=key,
                credential=f"{provider.name}/{credential}",
            )


def _endpoint(member: _Member) -> str:
    return f"{member.deployment.api_base or member.provider.name}#{member.deployment.litellm_model}"


def _litellm_params(member: _Member, local: tuple[str, str] | None) -> dict[str, Any]:
    deployment = member.deployment
    api_base, api_key = deployment.api_base, member.key.get_secret_value() if member.key else None
    if member.provider.name == "local" and local is not None:
        api_base, api_key = local
    elif api_key is None and deployment.litellm_model.startswith("openai/"):
        api_key = NO_KEY
    params = {
        "model": deployment.litellm_model,
        "api_key": api_key,
        "api_base": api_base,
        "api_version": deployment.api_version,
        "organization": deployment.organization,
    }
    return {name: value for name, value in params.items() if value is not None}


def _model_info(member: _Member) -> dict[str, Any]:
    info: dict[str, Any] = {"id": member.id}
    base_model = member.deployment.base_model or _azure_base_model(member.deployment.litellm_model)
    if base_model:
        info["base_model"] = base_model
    return info


def _azure_base_model(litellm_model: str) -> str | None:
    """Return the price list's name of an Azure deployment that is called like its model."""
    if not litellm_model.startswith("azure/"):
        return None
    name = litellm_model.removeprefix("azure/").lower().replace("gpt-3.5", "gpt-35")
    family = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", name)
    return f"azure/{family}" if family in _AZURE_FAMILIES else None
