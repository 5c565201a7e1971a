"""Pure: settings → the lines of environment that say the same."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from llm_unified.failures.table import FALLBACK_KINDS
from llm_unified.providers import PROVIDERS
from llm_unified.settings import fingerprint
from llm_unified.settings.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_unified.providers import ProviderRow
    from llm_unified.settings import DeploymentSettings, ProviderSettings, Settings

__all__ = ["env_lines"]


def env_lines(settings: Settings) -> list[str]:
    """Return the settings that are no defaults as lines of a ``.env`` file or for a shell.

    The chain is always there. Secrets are comments that name the variable and show the key's
    fingerprint; what variables cannot say is a comment as well.
    """
    lines = list(_chain_lines(settings))
    for option in OPTIONS:
        if option.name in {"primary_provider", "fallback_providers"}:
            continue
        if option.name == "redis_url":
            if settings.redis_url is not None:
                lines += ["# secret: copy it from where it is now", "# LLM_REDIS_URL="]
            continue
        value = getattr(settings, option.name)
        if value != option.default:
            lines.append(f"{option.variable}={shlex.quote(_text(value) or 'none')}")
    for provider in settings.providers:
        lines += ["", *_provider_lines(provider)]
    return lines


def _chain_lines(settings: Settings) -> Iterator[str]:
    """Name who is asked in which order, without those that no variable can define."""
    named = (settings.primary_provider, *settings.fallback_providers)
    lost = [name for name in named if not _has_variables(name)]
    kept = [name for name in named if _has_variables(name)]
    if lost:
        yield f"# left out of the chain, as only a YAML file can define them: {', '.join(lost)}"
    if kept:
        yield f"LLM_PRIMARY_PROVIDER={kept[0]}"
        yield f"LLM_FALLBACK_PROVIDERS={','.join(kept[1:]) or 'none'}"


def _has_variables(name: str) -> bool:
    row = PROVIDERS.get(name)
    return name == "local" or (row is not None and row.env_prefix is not None)


def _provider_lines(provider: ProviderSettings) -> Iterator[str]:
    row = PROVIDERS.get(provider.name)
    if row is None or row.env_prefix is None:
        if provider.name != "local":
            yield f"# {provider.name}: only a YAML file (LLM_CONFIG_FILE) can define it"
        return
    first, *more = provider.deployments
    yield from _deployment_lines(provider.name, row, first)
    name = f"{row.env_prefix}_API_KEY{'S' if len(first.api_keys) > 1 else ''}"
    for key in first.api_keys:
        yield f"# secret: {fingerprint(key)}"
    if first.api_keys:
        yield f"# {name}="
    if more:
        yield f"# {provider.name}: {len(more)} more deployments, which only a YAML file can say"
    special = (provider.timeout, first.input_cost_per_token, first.output_cost_per_token)
    if special != (None, None, None) or first.base_model:
        yield f"# {provider.name}: has a timeout or prices, which only a YAML file can say"


def _deployment_lines(provider: str, row: ProviderRow, first: DeploymentSettings) -> Iterator[str]:
    """Yield what is no default; without a key ``ENABLED`` and the address say that it is wanted."""
    if not first.api_keys:
        yield f"{row.variable('enabled')}=true"
    wanted = {
        "base_url": (first.api_base, row.default_base_url if first.api_keys else None),
        "model": (first.model, row.default_model),
    }
    if provider == "azure_openai":
        wanted["api_version"] = (first.api_version, row.default_api_version)
    if provider == "openai":
        wanted["organization"] = (first.organization, None)
    for setting, (value, default) in wanted.items():
        if value and value != default:
            yield f"{row.variable(setting)}={shlex.quote(value)}"


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case frozenset():
            if value == FALLBACK_KINDS:
                return "all"
            return ",".join(sorted(str(item) for item in value))
        case tuple():
            return ",".join(str(item) for item in value)
        case _:
            return str(value)
