"""The settings as tables, read off the model: options for ``check``, schema and documentation; environment variables.

Also what a misspelt variable was probably meant to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic.fields import FieldInfo

from llm_unified.failures.table import FALLBACK_KINDS
from llm_unified.providers import PROVIDERS, ProviderRow
from llm_unified.settings.kinds import NAMED_KINDS, Kind, closest, did_you_mean
from llm_unified.settings.model import PREFIX, Options, WrittenProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

__all__ = [
    "FALLBACK_KINDS",
    "KNOWN_VARIABLES",
    "OPTIONS",
    "PROVIDER_OPTIONS",
    "VARIABLES",
    "Option",
    "did_you_mean",
    "typos",
    "unread",
]


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that can be set."""

    name: str
    kind: str
    """``boolean``, ``count``, ``seconds``, ``price``, ``text``, ``url``, ``choice``, ``provider``,
    ``providers`` or ``failures``."""
    default: Any
    help: str
    unit: str = ""
    """``"s"``, ``"USD"`` or ``""``."""
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable of a global option."""
        return PREFIX + self.name.upper()


def _facts(annotation: Any, metadata: Any) -> Iterator[Any]:
    """Yield what a field's annotation says, also inside of ``X | None``."""
    yield annotation
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)
    for inner in get_args(annotation):
        yield from _facts(inner, getattr(inner, "__metadata__", ()))


def _rows(model: type[BaseModel]) -> Iterator[Option]:
    for name, field in model.model_fields.items():
        facts = list(_facts(field.annotation, field.metadata))
        kind = next((fact for fact in facts if isinstance(fact, Kind)), None)
        if kind is None:
            continue
        choices = NAMED_KINDS if kind.name == "failures" else ()
        if kind.name == "choice":
            choices = tuple(fact for fact in facts if isinstance(fact, str))
        yield Option(
            name,
            kind.name,
            field.default,
            field.description or "",
            kind.unit,
            next((fact.ge for fact in facts if hasattr(fact, "ge")), 0),
            next((fact.le for fact in facts if hasattr(fact, "le")), 0),
            choices,
        )


OPTIONS: Final = tuple(_rows(Options))
"""What concerns all providers, in the order of the documentation."""
PROVIDER_OPTIONS: Final = tuple(_rows(WrittenProvider))
"""What concerns one provider or deployment; keys and the list of deployments apart."""

CONFIG_FILE: Final = "LLM_CONFIG_FILE"
ENV_FILE: Final = "LLM_ENV_FILE"


def _settings(row: ProviderRow) -> Iterator[str]:
    yield from ("api_key", "api_keys", "api_key_file", "enabled", "model", "base_url")
    if row.default_api_version:
        yield "api_version"
    if row.name == "openai":
        yield "organization"


VARIABLES: Final[dict[str, tuple[str, ...]]] = {
    **{option.variable: (option.name,) for option in OPTIONS},
    **{
        variable: ("providers", row.name, setting)
        for row in PROVIDERS.values()
        for setting in _settings(row)
        if (variable := row.variable(setting))
    },
}
"""Where the variables belong: ``"OPENAI_MODEL"`` → ``("providers", "openai", "model")``."""
KNOWN_VARIABLES: Final = (*VARIABLES, CONFIG_FILE, ENV_FILE)

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
_NOT_OURS = frozenset(
    {
        *("OPENAI_API_TYPE", "OPENAI_API_VERSION", "OPENAI_LOG", "OPENAI_ORG_ID"),
        # The `llm` command line's, whose plugin we are.
        *("LLM_USER_PATH", "LLM_LOAD_PLUGINS", "LLM_EMBEDDING_MODEL", "LLM_EMBEDDINGS_DB"),
        *("LLM_RAISE_ERRORS", "LLM_TOOLS_DEBUG", "LLM_OPENAI_SHOW_RESPONSES"),
    }
)
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
            found[name] = closest(upper, KNOWN_VARIABLES, 0.88)
    return {name: meant for name, meant in found.items() if meant}


def unread(names: Iterable[str]) -> list[str]:
    """Return the variables that begin like ours and have no effect, misspelt ones apart."""
    names = set(names)
    unknown = names - set(KNOWN_VARIABLES) - _NOT_OURS - set(typos(names))
    return sorted(n for n in unknown if n.startswith("LLM_") and not n.startswith("LLM_UNIFIED_"))
