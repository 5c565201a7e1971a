"""The settings as a table, read off the model: what ``check``, the schema, the README and exports go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic.fields import FieldInfo

from llm_unified.failures.table import FALLBACK_KINDS
from llm_unified.settings.kinds import NAMED_KINDS, Kind, did_you_mean
from llm_unified.settings.model import PREFIX, Options, WrittenProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

__all__ = ["FALLBACK_KINDS", "OPTIONS", "PROVIDER_OPTIONS", "Option", "did_you_mean"]


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

    def expected(self) -> str:
        """Return the end of the sentence "NAME …" for a value that does not fit."""
        match self.kind:
            case "count":
                return f"must be a whole number between {self.low:g} and {self.high:g}"
            case "seconds":
                return f"must be a number of seconds between {self.low:g} and {self.high:g}"
            case "price":
                return "must be a price in USD for one token, such as 0.0000025"
            case _:
                return f"must be {' or '.join(self.choices)}"


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
