"""Pure: what the sources say about one provider → its settings, and what is missing or wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_unified.providers import PROVIDERS, ProviderRow, provider_row, read_base_url
from llm_unified.settings.options import PROVIDER_OPTIONS, InvalidValueError, parse
from llm_unified.settings.sources import Given, Keys, Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Candidate", "build_candidate", "shown"]

_FIELDS = {option.name: option for option in PROVIDER_OPTIONS}
_LONGEST_SHOWN = 40
_LOOKS_SECRET = re.compile(r"sk-|gsk_|key|://[^/]*@|[A-Za-z0-9+/_-]{24,}", re.IGNORECASE)

_PLACEHOLDER = re.compile(
    r"(sk-|gsk_)?(ant-|proj-)?(\.{3,}|x{3,}|\*{3,})"
    r"|<.*>|change[-_]?me|todo|placeholder|(sk-|gsk_)?your[-_].*key.*",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Candidate:
    """A provider that somebody mentioned, as far as it could be put together."""

    name: str
    row: ProviderRow
    enabled: bool = True
    insisted: bool = False
    """Somebody wrote ``enabled: true``."""
    has_key: bool = False
    value: dict[str, object] = field(default_factory=dict)
    """The fields of ``ProviderSettings``."""
    missing: list[str] = field(default_factory=list)
    """What it needs and does not have: sentences without their full stop."""
    problems: list[str] = field(default_factory=list)
    """What it has and cannot be used: whole sentences."""
    ours: bool = False
    """It stands in our file or our arguments, so what is wrong with it is our concern."""
    shadowed: list[str] = field(default_factory=list)
    """Variables without effect, because every deployment in YAML has a value of its own."""
    outdone: list[tuple[str, str]] = field(default_factory=list)
    """Lines of YAML that say something else than a stronger source, which is named with each."""
    placeholders: list[str] = field(default_factory=list)
    """Where keys come from that nobody filled in."""
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def is_configured(self) -> bool:
        """Whether it can be asked though nobody named it: it is whole, and not by accident."""
        mentioned = self.has_key or self.name not in PROVIDERS
        return self.enabled and mentioned and not self.missing and not self.problems


def build_candidate(name: str, layers: list[Layer], slips: Mapping[str, str]) -> Candidate:
    """Put one provider together; ``slips`` are misspelt variables, to point out in a message."""
    merged: dict[str, Given] = {}
    outdone = []
    for layer in reversed(layers):
        block = layer.providers.get(name, {})
        outdone += [
            (merged[setting].line, given.where)
            for setting, given in block.items()
            if setting in merged and merged[setting].line and merged[setting].value != given.value
        ]
        merged |= block
    several = merged.pop("deployments", None)
    # A deployment's own values win over the provider's, whatever the source of those.
    own = several.value if several and isinstance(several.value, list) else [{}]
    rows = [{**merged, **row} for row in own]
    first_model = next((str(row["model"].value) for row in rows if "model" in row), None)

    found = Candidate(name, provider_row(name, first_model))
    found.outdone = outdone
    found.origins = {setting: given.origin for setting, given in merged.items()}
    for number, row in enumerate(own):
        for setting, given in row.items():
            found.origins[f"deployments.{number}.{setting}"] = given.origin
    found.ours = any(
        given.line or given.origin == "argument" for row in rows for given in row.values()
    )
    found.shadowed = [
        given.where
        for setting, given in merged.items()
        if setting != "api_key" and all(setting in row for row in own) and not given.line
    ]
    found.origins = _default_origins(found, own) | found.origins
    common = _parsed(merged, found.problems)
    if "enabled" in common:
        found.enabled = bool(common.pop("enabled"))
        found.insisted = found.enabled
    found.value = {"name": name, "timeout": common.pop("timeout", None)}
    found.value["deployments"] = [
        _deployment(found, row, {**common, **_parsed(its_own, found.problems)}, slips)
        for row, its_own in zip(rows, own, strict=True)
    ]
    return found


def _default_origins(found: Candidate, own: list[dict[str, Given]]) -> dict[str, str]:
    """Return the settings that a provider's row supplies where nobody gave them."""
    row = found.row
    supplied = {
        "model": row.default_model,
        "base_url": row.default_base_url,
        "api_version": row.default_api_version,
    }
    return {
        name: "default"
        for name, value in supplied.items()
        if value and not all(name in block for block in own)
    }


def shown(value: object, before: str = ", not ") -> str:
    """Return a short harmless value for a message, nothing for what might be a secret."""
    text = str(value)
    if not isinstance(value, (str, int, float)) or len(text) > _LONGEST_SHOWN:
        return ""
    return "" if _LOOKS_SECRET.search(text) else f"{before}{text!r}"


def _parsed(block: Mapping[str, Given], problems: list[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, given in block.items():
        if name == "api_key":
            continue
        try:
            values[name] = parse(_FIELDS[name], given.value)
        except InvalidValueError as error:
            problems.append(f"{given.where} {error}{shown(given.value)}.")
    return values


def _deployment(
    found: Candidate,
    given: Mapping[str, Given],
    values: dict[str, object],
    slips: Mapping[str, str],
) -> dict[str, object]:
    """Complete one deployment from the provider's row; note what is missing."""
    # Deployments of a provider of one's own may be at different vendors.
    row = provider_row(found.name, str(values.get("model") or ""))
    keys = given["api_key"].value if "api_key" in given else None
    keys = keys if isinstance(keys, Keys) else Keys()
    found.has_key = found.has_key or bool(keys.found)
    if any(_PLACEHOLDER.fullmatch(key.get_secret_value()) for key in keys.found):
        found.placeholders.append(given["api_key"].where)
    if "base_url" in values:
        _read_address(found, row, given, values)
    if values.get("api_base") is None:
        values["api_base"] = row.default_base_url
    values["api_version"] = values.get("api_version") or row.default_api_version
    model = str(values.get("model") or row.default_model or "")
    values["model"] = row.bare_model(model)
    values["litellm_model"] = row.litellm_model(model)
    values["api_keys"] = keys.found

    if not model:
        found.missing.append(_lacks(found, "model", slips))
    elif found.name not in PROVIDERS and "/" not in model:
        found.problems.append(
            f"{given['model'].where} must begin with LiteLLM's name of the vendor, as in "
            "mistral/mistral-large-latest."
        )
    if "base_url" in row.needs and values["api_base"] is None:
        found.missing.append(_lacks(found, "base_url", slips))
    if keys.missing and not keys.found:
        names = " and ".join(keys.missing)
        found.missing.append(f"{given['api_key'].where} takes a key from {names}. Set {names}")
    elif "api_key" in row.needs and not keys.found:
        found.missing.append(_lacks(found, "api_key", slips))
    return values


def _read_address(
    found: Candidate, row: ProviderRow, given: Mapping[str, Given], values: dict[str, object]
) -> None:
    """Replace ``base_url`` by ``api_base``, and by what else the address says."""
    address = given["base_url"]
    try:
        target = read_base_url(row, str(values.pop("base_url")))
    except ValueError as error:
        found.problems.append(f"{address.where} {error}.")
        values["api_base"] = ""
        return
    values["api_base"] = target.base_url
    for name, value in (("model", target.model), ("api_version", target.api_version)):
        if value and name not in values:
            values[name] = value
            found.origins[name] = address.origin
    if target.model and values["model"] != target.model:
        found.problems.append(
            f"{address.where} is the address of another deployment than {given['model'].where} "
            "says. Leave only https:// and the host in it."
        )


def _lacks(found: Candidate, setting: str, slips: Mapping[str, str]) -> str:
    row = found.row
    variable = row.variable(setting)
    if variable is None:
        wanted = {"api_key": "api_key_env"}.get(setting, setting)
        return f"{found.name} has no {wanted}. Add `{wanted}:` to it in the YAML file"
    wanted = "key" if setting == "api_key" else row.spellings.get(setting, setting)
    wrong = next((name for name, meant in slips.items() if meant == variable), None)
    hint = f" ({wrong} is set: a slip of the pen?)" if wrong else ""
    more = f" (or {variable}S, {variable}_FILE)" if setting == "api_key" else ""
    return f"{found.name} has no {wanted}. Set {variable}{more}{hint}"
