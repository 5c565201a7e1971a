"""Pure: what the sources say → the values of ``Settings``, or every problem with its next step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from llm_unified.observe.logs import Level
from llm_unified.providers import PROVIDERS
from llm_unified.settings.candidates import Candidate, build_candidate, shown
from llm_unified.settings.options import OPTIONS, InvalidValueError, Option, did_you_mean, parse
from llm_unified.settings.sources import Keys, Layer, strays, typos

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ENV_FILE_NOT_READ", "NOTHING", "Assembly", "Event", "assemble"]

_PREFERENCE = ("openai", "azure_openai", "groq", "anthropic")
"""Who is the primary when nobody says; the providers that YAML defines come after them."""
_ALIASES = {
    "azure": "azure_openai",
    "azureopenai": "azure_openai",
    "azure_open_ai": "azure_openai",
    "open_ai": "openai",
    "chatgpt": "openai",
    "claude": "anthropic",
}
_SHORTEST_REDACTED = 8
NOTHING = (
    "No provider is configured. Set OPENAI_API_KEY, GROQ_API_KEY or ANTHROPIC_API_KEY, or "
    "AZURE_OPENAI_API_KEY with AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT; or set "
    "LLM_PRIMARY_PROVIDER=local for the small embedded model, which needs no key. If that is done "
    "already, this process may have been started without the service's environment."
)
"""The one problem of whoever has not configured anything yet."""
ENV_FILE_NOT_READ = "env_file_not_read"
"""The event of whoever has a ``.env`` file and expects that it is found."""

Event = tuple[Level, str, dict[str, object]]
"""A log line: level, event, fields."""


@dataclass(slots=True)
class Assembly:
    """The result. ``values`` are whole only if there is no problem."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def assemble(layers: list[Layer], names: Iterable[str] = ()) -> Assembly:
    """Put the layers together, strongest first; ``names`` are variables that may be misspelt."""
    result = Assembly()
    read = {name for layer in layers for name in layer.followed}
    names = [name for name in names if name not in read]
    slips = typos(names)
    for name, meant in slips.items():
        result.events.append(
            ("warning", "unknown_variable", {"variable": name, "did_you_mean": meant})
        )
    for name in strays(names):
        _remark(result, "warning", "variable_not_read", f"{name} is set but is not read.")
    for layer in layers:
        result.problems += layer.problems
    where = _settle_options(layers, result)
    mentioned = (name for layer in layers for name in layer.providers)
    candidates = {
        name: build_candidate(name, layers, slips)
        for name in dict.fromkeys((*_PREFERENCE, *PROVIDERS, *mentioned))
    }
    _report(candidates, _named(candidates, where, result), result)
    _choose(candidates, result)
    files = [layer.path for layer in layers if layer.path]
    in_order = sorted(result.problems, key=lambda text: _line(text, files))
    result.problems = list(dict.fromkeys(_redacted(in_order, layers)))
    return result


def _line(problem: str, files: list[str]) -> int:
    """Return the line of YAML that a problem is about; 0 if it is about none."""
    for path in files:
        found = re.match(r":(\d+)\b", problem.removeprefix(path), re.ASCII)
        if found and problem.startswith(path):
            return int(found[1])
    return 0


def _remark(result: Assembly, level: Level, event: str, text: str) -> None:
    """Note a remark that brings its own words."""
    result.events.append((level, event, {"remark": text}))


def _outdone(result: Assembly, line: str, stronger: str) -> None:
    text = f"{line} is without effect: {stronger} is stronger."
    _remark(result, "info", "setting_outdone", text)


def _settle_options(layers: list[Layer], result: Assembly) -> dict[str, str]:
    """Settle the global options; return where each that was given stands."""
    where: dict[str, str] = {}
    for option in OPTIONS:
        result.values[option.name], result.origins[option.name] = option.default, "default"
        found = [layer.options[option.name] for layer in layers if option.name in layer.options]
        if not found:
            continue
        where[option.name] = found[0].where
        for weaker in found[1:]:
            if weaker.line and not _same(option, weaker.value, found[0].value):
                _outdone(result, weaker.line, found[0].where)
        try:
            result.values[option.name] = parse(option, found[0].value)
        except InvalidValueError as error:
            result.problems.append(f"{found[0].where} {error}{shown(found[0].value)}.")
        else:
            result.origins[option.name] = found[0].origin
    redis_url = result.values["redis_url"]
    if redis_url is not None:
        if not re.match(r"(rediss?|unix)://", redis_url):
            result.problems.append(
                f"{where['redis_url']} must start with redis:// or rediss://, as in "
                "redis://localhost:6379/0."
            )
        result.values["redis_url"] = SecretStr(redis_url)
    _fit_timeouts(result, where)
    return where


def _same(option: Option, one: object, other: object) -> bool:
    try:
        return bool(parse(option, one) == parse(option, other))
    except InvalidValueError:
        return False


def _fit_timeouts(result: Assembly, where: Mapping[str, str]) -> None:
    """Let defaults follow an unusual ``timeout``; a written contradiction is a problem."""
    values, timeout = result.values, result.values["timeout"]
    for name in ("connect_timeout", "first_token_timeout"):
        if values[name] <= timeout:
            continue
        if name in where:
            result.problems.append(
                f"{where[name]} is longer than {where.get('timeout', 'the default LLM_TIMEOUT')} "
                f"({timeout:g} s), which ends the attempt first. Make it shorter, or that longer."
            )
        else:
            values[name] = timeout
    if "deadline" not in where:
        values["deadline"] = max(values["deadline"], 2 * timeout)


def _named(
    candidates: Mapping[str, Candidate], where: Mapping[str, str], result: Assembly
) -> dict[str, str]:
    """Return the providers that somebody named, each with the place; complain of unknown ones."""
    primary, fallbacks = result.values["primary_provider"], result.values["fallback_providers"]
    named = dict.fromkeys(fallbacks or (), where.get("fallback_providers", ""))
    if primary:
        named[primary] = where["primary_provider"]
    for name in [name for name in named if name not in candidates]:
        hint = did_you_mean(name, candidates)
        if name in _ALIASES:
            hint = f", did you mean {_ALIASES[name]}?"
        result.problems.append(
            f"{named.pop(name)} names an unknown provider{shown(name, ' ')}{hint or '.'} Known are "
            f"{', '.join(candidates)}; a YAML file can define others."
        )
    for name, found in candidates.items():
        if found.insisted:
            named.setdefault(name, found.row.variable("enabled") or f"`enabled: true` of {name}")
    return named


def _report(
    candidates: Mapping[str, Candidate], named: Mapping[str, str], result: Assembly
) -> None:
    """Note what is wrong with providers that are meant; the others may be of no concern to us."""
    for name, found in candidates.items():
        if not found.enabled:
            result.events.append(("info", "provider_disabled", {"provider": name}))
            continue
        if name in named:
            result.problems += [f"{text}{_way_out(found, named[name])}" for text in found.missing]
        elif found.has_key and found.missing:
            fields: dict[str, object] = {"provider": name, "missing": tuple(found.missing)}
            result.events.append(("warning", "provider_incomplete", fields))
        if name in named or found.has_key or found.ours:
            result.problems += found.problems
        for variable in found.shadowed:
            result.events.append(("warning", "setting_without_effect", {"variable": variable}))
        for line, stronger in found.outdone:
            _outdone(result, line, stronger)
        for where in dict.fromkeys(found.placeholders):
            _remark(result, "warning", "placeholder_key", f"{where} looks like a placeholder.")


def _choose(candidates: Mapping[str, Candidate], result: Assembly) -> None:
    """Settle who is asked, and in which order."""
    values = result.values
    primary, fallbacks = values["primary_provider"], values["fallback_providers"]
    usable = [name for name, found in candidates.items() if found.is_configured and name != "local"]
    given = result.origins["fallback_providers"]
    order = [primary] if primary else [name for name in usable if name not in (fallbacks or ())][:1]
    if fallbacks is not None:
        order += fallbacks
    elif primary != "local":  # whoever chooses the embedded model does not mean to be billed
        order += usable
    chain = [
        name for name in dict.fromkeys(order) if name in candidates and candidates[name].enabled
    ]
    if not chain:
        if not result.problems:
            result.problems.append(_nothing_left(candidates))
        return
    if primary in candidates and primary != chain[0]:
        fields: dict[str, object] = {"primary_provider": chain[0], "disabled": primary}
        result.events.append(("warning", "primary_replaced", fields))
        result.origins["primary_provider"] = f"{primary} is switched off"
    elif not primary and chain[0] in (fallbacks or ()):
        result.origins["primary_provider"] = f"first of {given}"
    off = [name for name in dict.fromkeys(order) if name in candidates and name not in chain]
    if fallbacks is not None and off:
        verb = "is" if len(off) == 1 else "are"
        result.origins["fallback_providers"] = f"{given}, {', '.join(off)} {verb} switched off"
    values["primary_provider"], values["fallback_providers"] = chain[0], tuple(chain[1:])
    members = dict.fromkeys((*chain, *usable))
    values["providers"] = tuple(candidates[name].value for name in members)
    for name in members:
        origins = candidates[name].origins.items()
        result.origins |= {f"providers.{name}.{key}": origin for key, origin in origins}
    values["sources"] = tuple(result.origins.items())


def _way_out(found: Candidate, named: str) -> str:
    variable = found.row.variable("enabled")
    if variable is None:
        return f", or name another in {named}."
    if named == variable:
        return f", or set {variable}=false."
    return f", or name another in {named}, or set {variable}=false."


def _nothing_left(candidates: Mapping[str, Candidate]) -> str:
    off = [c.row.variable("enabled") or c.name for c in candidates.values() if not c.enabled]
    if off:
        return (
            f"No provider is left: {', '.join(off)} switched off what was configured. Switch one "
            "on, or set the key of another."
        )
    half = [f" ({text}.)" for c in candidates.values() if c.has_key for text in c.missing]
    return NOTHING + "".join(half)


def _redacted(problems: Iterable[str], layers: list[Layer]) -> list[str]:
    """Blank out a key that got into another variable by mistake."""
    secrets = {
        key.get_secret_value()
        for layer in layers
        for block in layer.providers.values()
        if "api_key" in block and isinstance(block["api_key"].value, Keys)
        for key in block["api_key"].value.found
    }
    texts = list(problems)
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_REDACTED:
            texts = [text.replace(secret, "[secret]") for text in texts]
    return texts
