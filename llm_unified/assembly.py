"""Pure: what the sources say → the values of ``Settings``, or every problem with its next step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_unified.options import (
    OPTIONS,
    PROVIDER_OPTIONS,
    InvalidValueError,
    did_you_mean,
    parse,
)
from llm_unified.providers import PROVIDERS, ProviderRow, provider_row, read_base_url
from llm_unified.sources import Given, Keys, Layer, read_arguments, read_variables, typos

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic import SecretStr

__all__ = ["Assembly", "assemble", "read_layers"]

_PREFERENCE = ("openai", "azure_openai", "groq", "anthropic")
"""Who is the primary when nobody says; providers of YAML's own come after them."""
_ALIASES = {
    "azure": "azure_openai",
    "azureopenai": "azure_openai",
    "azure_open_ai": "azure_openai",
    "open_ai": "openai",
    "chatgpt": "openai",
    "gpt": "openai",
    "claude": "anthropic",
    "grok": "groq",
    "llama_cpp": "local",
}
_FIELDS = {option.name: option for option in PROVIDER_OPTIONS}
_NOTHING = (
    "No provider is configured. Set OPENAI_API_KEY, GROQ_API_KEY or ANTHROPIC_API_KEY, or "
    "AZURE_OPENAI_API_KEY with AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT; or set "
    "LLM_PRIMARY_PROVIDER=local for the small embedded model, which needs no key."
)

Event = tuple[str, str, dict[str, object]]


@dataclass(slots=True)
class Assembly:
    """The result: ``values`` are whole only if there is no problem."""

    values: dict[str, object] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class _Candidate:
    """A provider that somebody mentioned, as far as it could be put together."""

    name: str
    row: ProviderRow
    enabled: bool = True
    insisted: bool = False
    """Somebody wrote ``enabled: true``."""
    has_key: bool = False
    value: dict[str, object] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """What it needs and does not have, as sentences."""
    problems: list[str] = field(default_factory=list)
    """What it has and cannot be used, as sentences."""
    origins: dict[str, str] = field(default_factory=dict)


def read_layers(
    environ: Mapping[str, str], config_file: str | Path | None, overrides: Mapping[str, object]
) -> list[Layer]:
    """Read every source, the strongest first."""
    arguments = read_arguments(overrides)
    environment = read_variables(environ, "environment")
    layers = [arguments, environment]
    variables: dict[str, str | None] = dict(environ)
    if env_file := environ.get("LLM_ENV_FILE", "").strip():
        from llm_unified.sources import read_env_file

        content = read_env_file(env_file, environment.problems)
        layers.append(read_variables(content, "env file"))
        variables = content | variables
    path = str(config_file or variables.get("LLM_CONFIG_FILE") or "").strip()
    if path:
        from llm_unified.configfile import read_config_file

        layers.append(read_config_file(path, variables))
    return layers


def assemble(layers: list[Layer], names: Iterable[str] = ()) -> Assembly:
    """Put the layers together; ``names`` are the environment's, to find slips among them."""
    result = Assembly()
    slips = typos(names)
    for name, meant in slips.items():
        fields: dict[str, object] = {"variable": name, "did_you_mean": meant}
        result.events.append(("warning", "unknown_variable", fields))
    for layer in layers:
        result.problems += layer.problems
    where = _options(layers, result)
    mentioned = dict.fromkeys(name for layer in layers for name in layer.providers)
    candidates = {
        name: _candidate(name, layers, slips) for name in dict.fromkeys((*PROVIDERS, *mentioned))
    }
    _choose(candidates, where, result)
    result.problems = list(dict.fromkeys(_redacted(result.problems, layers)))
    return result


def _options(layers: list[Layer], result: Assembly) -> dict[str, str]:
    """Settle the global options; return where each that was given stands."""
    where: dict[str, str] = {}
    for option in OPTIONS:
        given = next((layer.options[option.name] for layer in layers if option.name in layer.options), None)
        result.values[option.name], result.origins[option.name] = option.default, "default"
        if given is None:
            continue
        where[option.name] = given.where
        try:
            result.values[option.name] = parse(option, given.value)
        except InvalidValueError as error:
            result.problems.append(f"{given.where} {error}{_shown(given.value)}.")
        else:
            result.origins[option.name] = given.origin
    if result.values["redis_url"] is not None:
        if not re.match(r"(rediss?|unix)://", str(result.values["redis_url"])):
            result.problems.append(
                f"{where['redis_url']} must start with redis:// or rediss://, such as redis://localhost:6379/0."
            )
        from pydantic import SecretStr

        result.values["redis_url"] = SecretStr(str(result.values["redis_url"]))
    _fit_timeouts(result, where)
    return where


def _fit_timeouts(result: Assembly, where: Mapping[str, str]) -> None:
    """Let the defaults follow an unusual ``timeout``; contradictions that somebody wrote are problems."""
    values = result.values
    timeout = values["timeout"]
    if not isinstance(timeout, float):
        return
    for name in ("connect_timeout", "first_token_timeout"):
        limit = values[name]
        if not isinstance(limit, float) or limit <= timeout:
            continue
        if name in where:
            result.problems.append(
                f"{where[name]} is longer than {where.get('timeout', 'LLM_TIMEOUT')} ({timeout:g} s), which "
                "ends the attempt first. Make it shorter, or the other longer."
            )
        else:
            values[name] = timeout
    deadline = values["deadline"]
    if "deadline" not in where and isinstance(deadline, float):
        values["deadline"] = max(deadline, 2 * timeout)


def _candidate(name: str, layers: list[Layer], slips: Mapping[str, str]) -> _Candidate:
    blocks = [layer.providers[name] for layer in layers if name in layer.providers]
    merged: dict[str, Given] = {}
    for block in reversed(blocks):
        merged |= block
    several = merged.pop("deployments", None)
    rows = several.value if several and isinstance(several.value, list) else [{}]
    first_model = next((str(r["model"].value) for r in ({**merged, **r} for r in rows) if "model" in r), None)
    found = _Candidate(name, provider_row(name, first_model))
    found.origins = {key: given.origin for key, given in merged.items()}
    settled = _settled(merged, found.problems)
    if "enabled" in settled:
        found.enabled = bool(settled.pop("enabled"))
        found.insisted = found.enabled
    found.value = {"name": name, "timeout": settled.pop("timeout", None)}
    found.value["deployments"] = [
        _deployment(found, {**merged, **row}, {**settled, **_settled(row, found.problems)}, slips)
        for row in rows
    ]
    return found


def _settled(block: Mapping[str, Given], problems: list[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, given in block.items():
        if name == "api_key":
            continue
        try:
            values[name] = parse(_FIELDS[name], given.value)
        except InvalidValueError as error:
            problems.append(f"{given.where} {error}{_shown(given.value)}.")
    return values


def _deployment(
    found: _Candidate, given: Mapping[str, Given], values: dict[str, object], slips: Mapping[str, str]
) -> dict[str, object]:
    """Complete one deployment from the provider's row; note what is missing."""
    row = found.row
    values.pop("timeout", None)
    keys = given["api_key"].value if "api_key" in given else Keys()
    api_keys: tuple[SecretStr, ...] = keys.found if isinstance(keys, Keys) else ()
    found.has_key = found.has_key or bool(api_keys)
    if "base_url" in values:
        try:
            target = read_base_url(row, str(values.pop("base_url")))
        except ValueError as error:
            found.problems.append(f"{given['base_url'].where} {error}.")
            values["api_base"] = ""
        else:
            values["api_base"] = target.base_url
            values.setdefault("api_version", target.api_version)
            if target.model and values.setdefault("model", target.model) != target.model:
                found.problems.append(
                    f"{given['base_url'].where} is the address of another deployment than "
                    f"{given['model'].where} says. Leave only the host in it."
                )
    values["api_base"] = values.get("api_base", row.default_base_url)
    values["api_version"] = values.get("api_version") or row.default_api_version
    model = str(values.get("model") or row.default_model or "")
    values["model"] = row.bare_model(model)
    values["litellm_model"] = row.litellm_model(model)
    values["api_keys"] = api_keys
    if not model:
        found.missing.append(_needs(row, "model", found.name, slips))
    elif found.name not in PROVIDERS and "/" not in model:
        found.problems.append(
            f"{given['model'].where} must have LiteLLM's prefix, such as mistral/mistral-large."
        )
    if "base_url" in row.needs and values["api_base"] is None:
        found.missing.append(_needs(row, "base_url", found.name, slips))
    if isinstance(keys, Keys) and keys.missing and not api_keys:
        names = " and ".join(keys.missing)
        found.missing.append(f"{given['api_key'].where} takes the key from {names}. Set {names}")
    elif "api_key" in row.needs and not api_keys:
        found.missing.append(_needs(row, "api_key", found.name, slips))
    return values


def _needs(row: ProviderRow, setting: str, name: str, slips: Mapping[str, str]) -> str:
    variable = row.variable(setting)
    if variable is None:
        wanted = {"api_key": "api_key_env"}.get(setting, setting)
        return f"{name} has no {wanted}. Add `{wanted}:` to it in the YAML file"
    slip = next((wrong for wrong, meant in slips.items() if meant == variable), None)
    hint = f" ({slip} is set: a slip?)" if slip else ""
    more = f", {variable}S or {variable}_FILE" if setting == "api_key" else ""
    return f"{name} has no {row.spellings.get(setting, setting)}. Set {variable}{more}{hint}"


def _choose(
    candidates: dict[str, _Candidate], where: Mapping[str, str], result: Assembly
) -> None:
    """Settle who is asked, and in which order."""
    for found in candidates.values():
        if not found.enabled:
            result.events.append(("info", "provider_disabled", {"provider": found.name}))
    known = [*candidates]
    usable = [
        name
        for name in dict.fromkeys((*_PREFERENCE, *candidates))
        if (c := candidates[name]).enabled and name != "local" and _is_configured(c)
    ]
    primary, fallbacks = result.values["primary_provider"], result.values["fallback_providers"]
    named: dict[str, str] = {}
    if isinstance(primary, str):
        named[primary] = where["primary_provider"]
    for name in fallbacks if isinstance(fallbacks, tuple) else ():
        named.setdefault(name, where["fallback_providers"])
    named |= {c.name: _enabled_where(c) for c in candidates.values() if c.insisted and c.name not in named}
    unknown = [name for name in named if name not in candidates]
    for name in unknown:
        hint = f", did you mean {_ALIASES[name]}?" if name in _ALIASES else did_you_mean(name, known)
        choices = ", ".join(known)
        result.problems.append(
            f"{named[name]} names an unknown provider{_shown(name, ' ')}{hint or '.'} Known are "
            f"{choices}; others are defined in the YAML file."
        )
    for name, found in candidates.items():
        if not found.enabled:
            continue
        if name in named:
            result.problems += found.problems
            result.problems += [f"{m}{_way_out(found, named[name])}" for m in found.missing]
        elif found.has_key:
            result.problems += found.problems
            if found.missing:
                fields: dict[str, object] = {"provider": name, "missing": found.missing}
                result.events.append(("warning", "provider_incomplete", fields))

    order = [primary] if isinstance(primary, str) else []
    if isinstance(fallbacks, tuple):
        order = order or [name for name in usable if name not in fallbacks][:1]
        order += fallbacks
    elif primary != "local":  # whoever chooses the embedded model does not mean to be billed
        order += [name for name in usable if name not in order]
    chain = [n for n in dict.fromkeys(order) if n in candidates and candidates[n].enabled]
    if not chain and not unknown and not any(candidates[name].missing for name in named):
        result.problems.append(_nothing_left(candidates, named))
    if chain and isinstance(primary, str) and primary not in (chain[0], *unknown):
        fields = {"provider": primary, "primary_provider": chain[0], "reason": "disabled"}
        result.events.append(("warning", "primary_replaced", fields))
    members = dict.fromkeys((*chain, *usable))
    result.values["primary_provider"] = chain[0] if chain else ""
    result.values["fallback_providers"] = tuple(chain[1:])
    result.values["providers"] = tuple(candidates[name].value for name in members)
    for name in members:
        for key, origin in candidates[name].origins.items():
            result.origins[f"providers.{name}.{key}"] = origin
        for key in ("model", "base_url"):
            result.origins.setdefault(f"providers.{name}.{key}", "default")
    result.values["sources"] = tuple(result.origins.items())


def _is_configured(found: _Candidate) -> bool:
    """Whether a provider can be asked though nobody named it: it is whole, and not by accident."""
    return not found.missing and not found.problems and (found.has_key or found.name not in PROVIDERS)


def _enabled_where(found: _Candidate) -> str:
    variable = found.row.variable("enabled")
    return variable or f"`enabled: true` of {found.name}"


def _way_out(found: _Candidate, named: str) -> str:
    variable = found.row.variable("enabled")
    if named == variable:
        return f", or set {variable}=false."
    if variable is None:
        return f", or take it out of {named}."
    return f", or take it out of {named} or set {variable}=false."


def _nothing_left(candidates: Mapping[str, _Candidate], named: Mapping[str, str]) -> str:
    off = [c.row.variable("enabled") or c.name for c in candidates.values() if not c.enabled]
    if off and (named or any(c.has_key for c in candidates.values())):
        return f"No provider is left: {', '.join(off)} switched it off. Switch one on, or name another."
    half = [m for c in candidates.values() if c.has_key for m in c.missing]
    return _NOTHING + "".join(f" ({sentence}.)" for sentence in half)


_LOOKS_SECRET = re.compile(r"sk-|gsk_|key|://[^/]*@|[A-Za-z0-9+/_-]{24,}", re.IGNORECASE)


def _shown(value: object, before: str = ", not ") -> str:
    """Return a short harmless value for a message, nothing for what might be a secret."""
    text = str(value)
    if not isinstance(value, (str, int, float)) or len(text) > 40 or _LOOKS_SECRET.search(text):
        return ""
    return f"{before}{text!r}"


def _redacted(problems: Iterable[str], layers: list[Layer]) -> list[str]:
    """Blank out a key that got into another variable by mistake."""
    secrets = [
        key.get_secret_value()
        for layer in layers
        for block in layer.providers.values()
        if "api_key" in block and isinstance(block["api_key"].value, Keys)
        for key in block["api_key"].value.found
    ]
    texts = list(problems)
    for secret in (s for s in secrets if len(s) >= 8):
        texts = [text.replace(secret, "[secret]") for text in texts]
    return texts
