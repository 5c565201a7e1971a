"""Pure: the names of all environment variables that are read, and what a misspelt one was meant to be."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from llm_unified.providers import PROVIDERS
from llm_unified.settings.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llm_unified.providers import ProviderRow

__all__ = ["KEY_SETTINGS", "KNOWN_VARIABLES", "OPTION_VARIABLES", "PROVIDER_VARIABLES"]

KEY_SETTINGS: Final = ("api_key", "api_keys", "api_key_file")
CONFIG_FILE: Final = "LLM_CONFIG_FILE"
ENV_FILE: Final = "LLM_ENV_FILE"


def _settings(row: ProviderRow) -> Iterator[str]:
    yield from ("enabled", "model", "base_url")
    if row.default_api_version:
        yield "api_version"
    if row.name == "openai":
        yield "organization"
    yield from KEY_SETTINGS


OPTION_VARIABLES: Final = {option.variable: option.name for option in OPTIONS}
PROVIDER_VARIABLES: Final = {
    variable: (row.name, setting)
    for row in PROVIDERS.values()
    for setting in _settings(row)
    if (variable := row.variable(setting))
}
"""``"OPENAI_MODEL"`` → ``("openai", "model")``."""
KNOWN_VARIABLES: Final = (*OPTION_VARIABLES, CONFIG_FILE, ENV_FILE, *PROVIDER_VARIABLES)

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
"""Other software's names, and those that people guess."""
_NOT_OURS = frozenset({"OPENAI_API_TYPE", "OPENAI_API_VERSION", "OPENAI_LOG", "OPENAI_ORG_ID"})
_PREFIXES = ("LLM_", *(f"{row.env_prefix}_" for row in PROVIDERS.values() if row.env_prefix))


def typos(names: Iterable[str]) -> dict[str, str]:
    """Return the variables that look misspelt, each with the name that was probably meant."""
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


def unread(names: Iterable[str]) -> list[str]:
    """Return the variables that begin like ours and have no effect, misspelt ones apart."""
    names = set(names)
    unknown = names - set(KNOWN_VARIABLES) - set(typos(names))
    return sorted(n for n in unknown if n.startswith("LLM_") and not n.startswith("LLM_UNIFIED_"))
