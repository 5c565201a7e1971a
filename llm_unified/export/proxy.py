"""Pure: settings → the ``config.yaml`` of a LiteLLM Proxy."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from llm_unified.pool.deployments import build_model_list, plan
from llm_unified.pool.deployments import fallbacks as chains
from llm_unified.providers import PROVIDERS
from llm_unified.response import FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

    from llm_unified.settings import ProviderSettings, Settings

__all__ = ["MASTER_KEY", "key_names", "litellm_proxy", "proxy_notes", "render_proxy"]

MASTER_KEY: Final = "LITELLM_MASTER_KEY"
"""The variable with the key that the proxy asks of its clients."""
LOST: Final = (
    "strict round robin and LLM_POOL_SIZE (the proxy picks at random and pools in its own way)",
    "LLM_DEADLINE (the proxy bounds each attempt, not the whole call)",
    "empty or cut answers as failures, accept=, response_format= checks (the service still has them)",
    "keep-alive warming, LLM_CONNECT_TIMEOUT, LLM_STREAM_IDLE_TIMEOUT",
    "the breaker's doubling cooldown and single probe (the proxy counts failures per minute)",
    "provider= and model= of a single call beyond the names in model_list",
)
"""What the proxy has no setting for."""


def litellm_proxy(settings: Settings, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the proxy's configuration.

    ``names`` says which variable holds which key, see :func:`key_names`. Every provider is one model
    group under its own name; a provider's model is an alias of it, so that a client that asks for
    ``OPENAI_MODEL`` needs no change. The embedded model stays at home.
    """
    providers = [p for p in settings.providers if p.name != "local"]
    aliases = _aliases(settings, providers)
    order = _fallbacks(settings, aliases)
    router: dict[str, Any] = {
        "routing_strategy": "simple-shuffle",
        "num_retries": settings.retries,
        "timeout": settings.timeout,
        "stream_timeout": min(settings.timeout, settings.first_token_timeout),
        "allowed_fails": settings.failure_threshold - 1,
        "cooldown_time": settings.cooldown,
        "max_fallbacks": max(1, len(settings.chain)),
        "fallbacks": order,
        "context_window_fallbacks": order if _on(settings, FailureKind.CONTEXT_LENGTH) else [],
        "content_policy_fallbacks": order if _on(settings, FailureKind.CONTENT_POLICY) else [],
        "model_group_alias": aliases,
    }
    if settings.redis_url is not None:
        router["redis_url"] = "os.environ/LLM_REDIS_URL"
    return {
        "model_list": _rows(settings, names),
        "router_settings": router,
        "litellm_settings": {
            "drop_params": True,
            "num_retries": settings.retries,
            "request_timeout": settings.timeout,
        },
        "general_settings": {"master_key": f"os.environ/{MASTER_KEY}"},
    }


def key_names(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return for each key the variable that holds it.

    A key that no variable holds alone (one of a list, or from a file) gets a name of its own,
    ``OPENAI_API_KEY_2``, which is then to be set.
    """
    held = {value.strip(): name for name, value in sorted(environ.items(), reverse=True)}
    found: dict[str, str] = {}
    for provider in settings.providers:
        row = PROVIDERS.get(provider.name)
        usual = (row.variable("api_key") if row else None) or f"{provider.name.upper()}_API_KEY"
        for number, key in enumerate(_keys(provider), 1):
            text = key.get_secret_value()
            own = usual if environ.get(usual, "").strip() == text else held.get(text)
            invented = usual if number == 1 and usual not in environ else f"{usual}_{number}"
            found.setdefault(text, own or invented)
    return found


def proxy_notes(
    settings: Settings, names: Mapping[str, str], environ: Mapping[str, str]
) -> list[str]:
    """Return what a person must know who starts the proxy with this configuration."""
    primary = settings.chain[0]
    used = list(dict.fromkeys(names.values()))
    notes = [
        "Set where the proxy runs: "
        + ", ".join([MASTER_KEY, *used, *(["LLM_REDIS_URL"] if settings.redis_url else [])])
        + ".",
    ]
    if absent := [name for name in used if name not in environ]:
        notes.append(f"Not set here, each takes one key of a list or a file: {', '.join(absent)}.")
    notes.append("Install it: pip install 'litellm[proxy]'")
    notes.append("Start it: litellm --config config.yaml --host 127.0.0.1 --port 4000")
    model = settings.provider(primary).deployments[0].model
    notes.append(
        "Then point the service at it: LLM_PRIMARY_PROVIDER=openai LLM_FALLBACK_PROVIDERS=none "
        f"OPENAI_BASE_URL=http://127.0.0.1:4000 OPENAI_API_KEY=<the {MASTER_KEY}> "
        f"OPENAI_MODEL={shlex.quote(model if primary == 'openai' else primary)}"
    )
    if any(provider.name == "local" for provider in settings.providers):
        notes.append("Left out: local, the embedded model, which lives in the service's process.")
    return [*notes, *(f"Does not survive: {what}." for what in LOST)]


def render_proxy(config: Mapping[str, Any], notes: list[str]) -> str:
    """Return the text of ``config.yaml``: the notes as comments, then the configuration."""
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    head = "".join(f"# {note}\n" for note in notes)
    return head + yaml.dump(dict(config), Dumper=Plain, sort_keys=False, allow_unicode=True)


def _rows(settings: Settings, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return one entry for each deployment and key: pool members are the service's own affair."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for copy, entry in zip(plan(settings), build_model_list(settings), strict=True):
        if copy.provider == "local":
            continue
        params = dict(entry["litellm_params"])
        if (key := str(params.get("api_key"))) in names:
            params["api_key"] = f"os.environ/{names[key]}"
        # The service keeps these to itself; the proxy is to know them.
        more = {
            "weight": copy.weight if copy.weight != 1 else None,
            "timeout": settings.provider(copy.provider).timeout,
            "input_cost_per_token": copy.input_cost_per_token,
            "output_cost_per_token": copy.output_cost_per_token,
            "cache_read_input_token_cost": copy.cache_read_cost_per_token,
            "cache_creation_input_token_cost": copy.cache_write_cost_per_token,
        }
        params |= {name: value for name, value in more.items() if value is not None}
        row = {
            "model_name": copy.provider,
            "litellm_params": {**params, "max_retries": 0},
            "model_info": entry["model_info"] | _cooldown(settings),
        }
        rows.setdefault((copy.provider, copy.endpoint, copy.credential), row)
    return list(rows.values())


def _cooldown(settings: Settings) -> dict[str, Any]:
    """Our rule as far as LiteLLM can say it.

    Per deployment, because LiteLLM never cools down the only deployment of a group unless it is told so by
    name of the exception.
    """
    tolerated = settings.failure_threshold - 1
    counted = ("Timeout", "InternalServer", "ServiceUnavailable", "BadGateway")
    return {
        "allowed_fails_policy": {
            "RateLimitErrorAllowedFails": 0,
            "AuthenticationErrorAllowedFails": 0,
            "NotFoundErrorAllowedFails": 0,
            **{f"{name}ErrorAllowedFails": tolerated for name in counted},
        },
        "cooldown_time": settings.cooldown,
    }


def _aliases(settings: Settings, providers: list[ProviderSettings]) -> dict[str, str]:
    """Return model → provider, for the names that are still free; the chain's first come first."""
    rank = {name: place for place, name in enumerate(settings.chain)}
    aliases: dict[str, str] = {}
    for provider in sorted(providers, key=lambda p: rank.get(p.name, len(rank))):
        model = provider.deployments[0].model
        if model not in {p.name for p in providers}:
            aliases.setdefault(model, provider.name)
    return aliases


def _fallbacks(settings: Settings, aliases: Mapping[str, str]) -> list[dict[str, list[str]]]:
    """Return who comes after whom; LiteLLM looks an alias up by its own name."""
    by_name = {
        name: [other for other in others if other != "local"]
        for row in chains(settings)
        for name, others in row.items()
        if name != "local"
    }
    rows = {**by_name, **{model: by_name.get(name, []) for model, name in aliases.items()}}
    return [{name: others} for name, others in rows.items() if others]


def _on(settings: Settings, kind: FailureKind) -> bool:
    return settings.enable_fallback and kind in settings.fallback_on


def _keys(provider: ProviderSettings) -> list[SecretStr]:
    return list(dict.fromkeys(key for d in provider.deployments for key in d.api_keys))
