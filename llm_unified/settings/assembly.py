"""Pure: all sources → the values of ``Settings``, or every problem with its next step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from llm_unified.providers import PROVIDERS
from llm_unified.settings.candidates import Candidate
from llm_unified.settings.explain import reason, redacted, shown
from llm_unified.settings.model import Options, Written, WrittenProvider
from llm_unified.settings.options import did_you_mean, typos, unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from llm_unified.logs import Level
    from llm_unified.settings.sources import Event, Loc, Place, Source

__all__ = ["ENV_FILE_NOT_READ", "NOTHING", "Assembly", "assemble"]

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
NOTHING = (
    "No provider is configured. Set OPENAI_API_KEY, GROQ_API_KEY or ANTHROPIC_API_KEY, or "
    "AZURE_OPENAI_API_KEY with AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT; or set "
    "LLM_PRIMARY_PROVIDER=local for the small embedded model, which needs no key. If that is done "
    "already, this process may have been started without the service's environment."
)
"""The one problem of whoever has not configured anything yet."""
ENV_FILE_NOT_READ = "env_file_not_read"
"""The event of whoever has a ``.env`` file and expects that it is found."""


@dataclass(slots=True)
class Assembly:
    """The result. ``values`` are whole only if there is no problem."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def remark(self, level: Level, event: str, text: str) -> None:
        """Note a remark that brings its own words."""
        self.events.append((level, event, {"remark": text}))


def assemble(sources: Sequence[Source], names: Iterable[str] = ()) -> Assembly:
    """Put the sources together, strongest first; ``names`` are variables that may be misspelt."""
    result = Assembly()
    followed = {name for source in sources for name in source.followed}
    names = [name for name in names if name not in followed]
    misspelt = typos(names)
    for name, meant in misspelt.items():
        fields: dict[str, object] = {"variable": name, "did_you_mean": meant}
        result.events.append(("warning", "unknown_variable", fields))
    for name in unread(names):
        result.remark("warning", "variable_not_read", f"{name} is set but is not read.")
    for source in sources:
        result.problems += source.problems
        result.events += source.events
    places = _places(sources)
    written, wrong, unknown = _merged(sources)
    result.problems += unknown
    where = _settle_options(written, wrong, places, result)
    mentioned = (str(loc[1]) for source in sources for loc in source.places if len(loc) > 1)
    candidates = {
        name: Candidate(name, written.providers.get(name, WrittenProvider()), places, misspelt)
        for name in dict.fromkeys((*_PREFERENCE, *PROVIDERS, *mentioned))
    }
    for loc, sentence in wrong.items():
        if len(loc) > 1:
            candidates[str(loc[1])].problems.append(sentence)
    _report(candidates, _named(candidates, where, result), result)
    for source in sources:
        _remark_on_weaker_lines(source, written, places, result)
    _choose(candidates, result)
    files = [source.path for source in sources if source.path]
    in_order = sorted(result.problems, key=lambda text: _line(text, files))
    result.problems = redacted(in_order, {s for source in sources for s in source.secrets})
    result.events = [row for at, row in enumerate(result.events) if row not in result.events[:at]]
    return result


def _line(problem: str, files: list[str]) -> int:
    """Return the line of YAML that a problem is about; 0 if it is about none."""
    for path in files:
        found = re.match(r":(\d+)\b", problem.removeprefix(path), re.ASCII)
        if found and problem.startswith(path):
            return int(found[1])
    return 0


def _places(sources: Sequence[Source]) -> dict[Loc, Place]:
    """Return where each value stands that counts; who lists deployments lists them all."""
    found: dict[Loc, Place] = {}
    for source in reversed(sources):
        lists = {loc for loc in source.places if loc[-1] == "deployments"}
        found = {loc: place for loc, place in found.items() if loc[:3] not in lists} | source.places
    return found


def _merged(sources: Sequence[Source]) -> tuple[Written, dict[Loc, str], list[str]]:
    """Merge the sources; leave out what is wrong, so that everything else can be checked, too.

    What is wrong comes back as sentences: of values by their place, of unknown keys all together.
    """
    try:
        return Written(sources=sources), {}, []  # type: ignore[call-arg]
    except ValidationError as failed:
        errors = failed.errors(include_url=False)
    wrong: dict[Loc, str] = {}
    unknown: list[str] = []
    for error in errors:
        parts = error["loc"]  # of an item of a list, the list's place is known
        known = (parts[:n] for n in range(len(parts), 0, -1))
        loc = next(loc for loc in known if any(loc in source.places for source in sources))
        places = [source.places[loc] for source in sources if loc in source.places]
        sentences = [f"{place.where} {reason(error)}" for place in places]
        if error["type"] == "extra_forbidden":
            unknown += sentences
        else:
            wrong.setdefault(loc, f"{sentences[0]}.")
        for source in sources:
            source.drop(loc)
    return Written(sources=sources), wrong, unknown  # type: ignore[call-arg]


def _settle_options(
    written: Written, wrong: Mapping[Loc, str], places: Mapping[Loc, Place], result: Assembly
) -> dict[str, str]:
    """Settle the global options; return where each that was given stands."""
    where: dict[str, str] = {}
    for name in Options.model_fields:
        result.values[name], result.origins[name] = getattr(written, name), "default"
        if (place := places.get((name,))) is not None:
            where[name], result.origins[name] = place.where, place.origin
    result.problems += [sentence for loc, sentence in wrong.items() if len(loc) == 1]
    _fit_timeouts(result, where)
    return where


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


def _remark_on_weaker_lines(
    source: Source, written: Written, places: Mapping[Loc, Place], result: Assembly
) -> None:
    """Point out lines of YAML that say something else than a stronger source."""
    weaker = {
        loc: place
        for loc, place in source.places.items()
        if place.line and places.get(loc, place) is not place
    }
    alone = _merged([source])[0] if weaker else written
    for loc, place in weaker.items():
        if _said(alone, loc) != _said(written, loc):
            text = f"{place.line} is without effect: {places[loc].where} is stronger."
            result.remark("info", "setting_outranked", text)


def _said(written: Written, loc: Loc) -> object:
    block = written.providers.get(str(loc[1])) if len(loc) > 1 else written
    return getattr(block, str(loc[-1]), None)


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
        result.events += found.events


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
    order = [name for name in dict.fromkeys(order) if name in candidates]
    chain = [name for name in order if candidates[name].enabled]
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
    off = [name for name in order if name not in chain]
    if fallbacks is not None and off:
        verb = "is" if len(off) == 1 else "are"
        result.origins["fallback_providers"] = f"{given}, {', '.join(off)} {verb} switched off"
    values["primary_provider"], values["fallback_providers"] = chain[0], tuple(chain[1:])
    members = dict.fromkeys((*chain, *usable))
    values["providers"] = tuple(candidates[name].values for name in members)
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
