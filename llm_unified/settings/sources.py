"""Where settings are read from: arguments, the environment, a ``.env`` file.

Every source becomes a :class:`Layer`; nothing is judged here but keys, which are wrapped the moment
they are read. (YAML, the fourth source, is in ``configfile.py``.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from llm_unified.providers import PROVIDERS
from llm_unified.settings.options import OPTIONS, PROVIDER_OPTIONS, did_you_mean, unquoted

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Given",
    "Keys",
    "Layer",
    "read_arguments",
    "read_env_file",
    "read_key_file",
    "read_variables",
    "strays",
    "typos",
    "variable_origin",
]


@dataclass(frozen=True, slots=True)
class Given:
    """A value, and where it came from."""

    value: object = field(repr=False)
    where: str
    """For a message: ``"LLM_POOL_SIZE"`` or ``"llm.yaml:12 (pool_size)"``."""
    origin: str
    """For the operator: ``"environment LLM_POOL_SIZE"`` or ``"YAML llm.yaml:12"``."""
    line: str = ""
    """``"llm.yaml:12"`` if it stands in the YAML file, wherever its text is taken from."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that a source gave, and the names under which it looked in vain."""

    found: tuple[SecretStr, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(slots=True)
class Layer:
    """Everything that one source says. A provider's keys are one :class:`Keys` at ``"api_key"``."""

    options: dict[str, Given] = field(default_factory=dict)
    providers: dict[str, dict[str, Given]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    path: str = ""
    """The YAML file's, as its problems begin."""
    followed: set[str] = field(default_factory=set)
    """Variables with names of somebody's own that were asked for."""


KEY_SETTINGS = ("api_key", "api_keys", "api_key_file")
_FIELDS = {
    "azure_openai": ("enabled", "model", "base_url", "api_version"),
    "openai": ("enabled", "model", "base_url", "organization"),
    "groq": ("enabled", "model", "base_url"),
    "anthropic": ("enabled", "model", "base_url"),
}
_VARIABLES: dict[str, tuple[str, str]] = {
    variable: (name, setting)
    for name, fields in _FIELDS.items()
    for setting in (*fields, *KEY_SETTINGS)
    if (variable := PROVIDERS[name].variable(setting))
}
"""``"OPENAI_MODEL"`` → ``("openai", "model")``."""
_OPTION_VARIABLES = {option.variable: option.name for option in OPTIONS}
KNOWN_VARIABLES: tuple[str, ...] = (
    *_OPTION_VARIABLES,
    "LLM_CONFIG_FILE",
    "LLM_ENV_FILE",
    *_VARIABLES,
)
_OTHER_NAMES = {
    "OPENAI_API_BASE": "OPENAI_BASE_URL",
    "GROQ_API_BASE": "GROQ_BASE_URL",
    "ANTHROPIC_API_BASE": "ANTHROPIC_BASE_URL",
    "AZURE_API_KEY": "AZURE_OPENAI_API_KEY",
    "AZURE_API_BASE": "AZURE_OPENAI_ENDPOINT",
    "AZURE_API_VERSION": "AZURE_OPENAI_API_VERSION",
    "AZURE_OPENAI_KEY": "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_BASE_URL": "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_API_BASE": "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_MODEL": "AZURE_OPENAI_DEPLOYMENT",
    "AZURE_OPENAI_DEPLOYMENT_NAME": "AZURE_OPENAI_DEPLOYMENT",
    "LLM_API_KEY": "OPENAI_API_KEY",
    "LLM_BASE_URL": "OPENAI_BASE_URL",
    "LLM_MODEL": "OPENAI_MODEL",
    "LLM_PRIMARY": "LLM_PRIMARY_PROVIDER",
    "LLM_PROVIDER": "LLM_PRIMARY_PROVIDER",
    "LLM_FALLBACK": "LLM_FALLBACK_PROVIDERS",
    "LLM_FALLBACKS": "LLM_FALLBACK_PROVIDERS",
}
_NOT_OURS = frozenset({"OPENAI_API_TYPE", "OPENAI_API_VERSION", "OPENAI_LOG", "OPENAI_ORG_ID"})
_PREFIXES = ("LLM_", *(f"{row.env_prefix}_" for row in PROVIDERS.values() if row.env_prefix))


def typos(names: Iterable[str]) -> dict[str, str]:
    """Return the variables that look like a slip, each with the name that was probably meant."""
    found = {}
    for name in sorted(set(names) - set(KNOWN_VARIABLES) - _NOT_OURS):
        upper = name.upper()
        if re.search(r"_API_KEYS?_", upper):  # OPENAI_API_KEY_EU: a name of somebody's own
            continue
        if upper in _OTHER_NAMES:
            found[name] = _OTHER_NAMES[upper]
        elif upper.startswith(_PREFIXES):
            found[name] = next(iter(get_close_matches(upper, KNOWN_VARIABLES, 1, 0.88)), "")
    return {name: meant for name, meant in found.items() if meant}


def strays(names: Iterable[str]) -> list[str]:
    """Return the variables with our prefix that are nobody's slip, and have no effect."""
    names = set(names)
    unknown = names - set(KNOWN_VARIABLES) - set(typos(names))
    return sorted(n for n in unknown if n.startswith("LLM_") and not n.startswith("LLM_UNIFIED_"))


def read_variables(variables: Mapping[str, str | None], env_file: str = "") -> Layer:
    """Read the environment, or the content of ``env_file``. An empty value counts as not set."""
    layer = Layer()
    keys: dict[str, list[tuple[str, str, Keys]]] = {}
    for variable in KNOWN_VARIABLES:
        text = unquoted(variables.get(variable) or "")
        if not text:
            continue
        given = Given(text, variable, variable_origin(variable, env_file))
        if variable in _OPTION_VARIABLES:
            layer.options[_OPTION_VARIABLES[variable]] = given
        elif variable in _VARIABLES:
            name, setting = _VARIABLES[variable]
            if setting in KEY_SETTINGS:
                found = _keys(setting, text, variable, layer.problems)
                origin = given.origin
                if setting == "api_key_file" and found.found:
                    origin = f"file {text} ({variable})"
                keys.setdefault(name, []).append((variable, origin, found))
            else:
                layer.providers.setdefault(name, {})[setting] = given
    for name, parts in keys.items():
        layer.providers.setdefault(name, {})["api_key"] = Given(
            merge_keys(found for _, _, found in parts),
            ", ".join(variable for variable, _, _ in parts),
            ", ".join(origin for _, origin, _ in parts),
        )
    return layer


def variable_origin(variable: str, env_file: str = "", line: str = "") -> str:
    """Say where a variable's value came from, and which line of YAML asked for it."""
    if env_file:
        inner = f"{variable}, {line}" if line else variable
        return f"env file {env_file} ({inner})"
    return f"environment {variable} ({line})" if line else f"environment {variable}"


def read_arguments(overrides: Mapping[str, object]) -> Layer:
    """Read the keyword arguments of ``load_settings``; ``None`` counts as not given.

    They are called like the variables in lower case, without ``LLM_``: ``pool_size=2``,
    ``openai_api_key="…"``; ``providers={"openai": {"model": "…"}}`` does as well.
    """
    layer = Layer()
    options = {option.name for option in OPTIONS}
    blocks: dict[str, dict[str, object]] = {}
    for name, value in overrides.items():
        if value is None:
            continue
        if name in options:
            layer.options[name] = Given(_reveal(value), name, "argument")
        elif name == "providers" and isinstance(value, Mapping):
            for provider, block in value.items():
                blocks.setdefault(str(provider).lower(), {}).update(block or {})
        elif name.upper() in _VARIABLES:
            provider, setting = _VARIABLES[name.upper()]
            blocks.setdefault(provider, {})[setting] = value
        else:
            known = (*options, "providers", *(variable.lower() for variable in _VARIABLES))
            layer.problems.append(
                f"load_settings() has no argument {name!r}{did_you_mean(name, known) or '.'}"
            )
    for provider, block in blocks.items():
        layer.providers[provider] = _read_block(f"providers.{provider}", block, layer.problems)
    return layer


def _read_block(path: str, block: Mapping[str, object], problems: list[str]) -> dict[str, Given]:
    """Read the arguments that belong to one provider, or to one of its deployments."""
    given: dict[str, Given] = {}
    known = (*(option.name for option in PROVIDER_OPTIONS), *KEY_SETTINGS, "deployments")
    keys = []
    for name, value in block.items():
        setting = {"endpoint": "base_url", "deployment": "model"}.get(name, name)
        where = f"{path}.{name}"
        if value is None:
            continue
        if setting in KEY_SETTINGS:
            keys.append(_keys(setting, _reveal(value), where, problems))
        elif setting == "deployments" and isinstance(value, (list, tuple)):
            rows = [_read_block(f"{where}[{i}]", row, problems) for i, row in enumerate(value)]
            given[setting] = Given(rows, where, "argument")
        elif setting in known:
            given[setting] = Given(_reveal(value), where, "argument")
        else:
            problems.append(f"{where} is unknown{did_you_mean(name, known) or '.'}")
    if keys:
        given["api_key"] = Given(merge_keys(keys), f"{path}.api_key", "argument")
    return given


def merge_keys(parts: Iterable[Keys]) -> Keys:
    """Return all keys, each once, in order."""
    parts = list(parts)
    return Keys(
        tuple(dict.fromkeys(key for part in parts for key in part.found)),
        tuple(dict.fromkeys(name for part in parts for name in part.missing)),
    )


def secret_keys(texts: Iterable[str], where: str, problems: list[str]) -> Keys:
    """Wrap keys. One with a space or an exotic character cannot travel in a header: a problem."""
    keys = [SecretStr(text) for item in texts if (text := unquoted(item))]
    if not all(re.fullmatch(r"[!-~]+", key.get_secret_value()) for key in keys):
        problems.append(
            f"{where} is not a key: it has a space, a line break or a character outside ASCII. "
            "Copy the key again."
        )
    return Keys(tuple(dict.fromkeys(keys)))


def read_env_file(path: str, problems: list[str]) -> dict[str, str | None]:
    """Read the ``.env`` file that ``LLM_ENV_FILE`` names; nothing is ever found by searching."""
    # Imported late: it costs three times what pydantic costs, and few need it.
    from pydantic_settings import BaseSettings, DotEnvSettingsSource

    file = Path(path).expanduser()
    if not file.is_file():
        problems.append(f"LLM_ENV_FILE names {path}, which is not a file. Correct it or unset it.")
        return {}
    try:
        source = DotEnvSettingsSource(
            BaseSettings, env_file=file, env_file_encoding="utf-8", case_sensitive=True
        )
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"LLM_ENV_FILE names {path}, which cannot be read: {type(error).__name__}.")
        return {}
    return dict(source.env_vars)


def read_key_file(path: str, where: str, problems: list[str]) -> Keys:
    """Read a mounted secret: one key per line."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        problems.append(f"{where} names a file that cannot be read ({reason}). Check the mount.")
        return Keys()
    return secret_keys(text.splitlines(), where, problems)


def _keys(setting: str, value: object, where: str, problems: list[str]) -> Keys:
    if setting == "api_key_file":
        return read_key_file(str(value), where, problems)
    if isinstance(value, (list, tuple)):
        return secret_keys([str(_reveal(item)) for item in value], where, problems)
    return secret_keys(str(value).split(","), where, problems)


def _reveal(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
