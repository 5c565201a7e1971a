"""Pure: what a source gives → a value. The types that the fields of the model are made of.

A validator's error ends the sentence "NAME …" and never shows the value. Where it is empty, the field's bounds
say what is expected. All durations are floats in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Final
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, SecretStr

from llm_unified.failures.table import FALLBACK_KINDS
from llm_unified.response import FailureKind

NAMED_KINDS: Final = tuple(
    kind.value for kind in FailureKind if kind in FALLBACK_KINDS | {FailureKind.BAD_REQUEST}
)
"""The failures that ``LLM_FALLBACK_ON`` may name."""
_TRUE = frozenset({"true", "1", "yes", "on", "y", "t", "enabled"})
_FALSE = frozenset({"false", "0", "no", "off", "n", "f", "disabled"})
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|sec|seconds?|m|min|minutes?|h)?", re.ASCII)
_FACTORS = {"ms": 0.001, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Kind:
    """What sort of value a field takes, for tables and messages."""

    name: str
    unit: str = ""


def unquoted(text: str) -> str:
    """Return the text without the white space and the quotes that come along when pasting."""
    text = text.strip()
    while len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text


def printable(key: str) -> str:
    """Return the name of a setting, fit for a message whatever it is."""
    return "".join(sign if sign.isprintable() else "?" for sign in key[:40])


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known word that is most like another, or ``""``."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``", did you mean …?"`` or ``""``."""
    found = closest(word.lower(), known)
    return f", did you mean {found}?" if found else ""


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, (dict, list, tuple)) or value is None:
        raise ValueError("must be one value")
    return unquoted(str(value))


def as_label(value: object) -> str:
    """Refuse what would lead to another path, query or header than the one meant."""
    text = _text(value)
    for form in (text, unquote(text)):
        if re.search(r"[?#\\]|(?:^|/)\.\.(?:/|$)", form) or not form.isprintable():
            raise ValueError(
                "must not hold '..', '?', '#', a backslash or an invisible character, since it becomes part of "
                "an address or a header"
            )
    return text


def _url(value: object) -> str:
    text = _text(value)
    if not text.isprintable():
        raise ValueError("must not hold a line break or another invisible character")
    return text


def _redis_url(value: object) -> str:
    text = _url(value)
    if not re.match(r"(rediss?|unix)://", text):
        raise ValueError("must start with redis:// or rediss://, as in redis://localhost:6379/0")
    return text


def _items(value: object) -> list[str]:
    parts = value if isinstance(value, (list, tuple, frozenset)) else _text(value).split(",")
    return [item for part in parts if (item := _text(part))]


def _name(value: object) -> str:
    return _text(value).lower().replace("-", "_").replace(" ", "_")


def _names(value: object) -> tuple[str, ...]:
    names = tuple(map(_name, _items(value)))
    return () if names == ("none",) else names


def _boolean(value: object) -> bool:
    word = _text(value).lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    return word in _TRUE


def _count(value: object) -> int:
    text = "" if isinstance(value, bool) else _text(value)
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError
    return int(text)


def _seconds(value: object) -> float:
    found = None if isinstance(value, bool) else _DURATION.fullmatch(_text(value).lower())
    if not found:
        raise ValueError
    unit = found[2] or "s"
    return float(found[1]) * _FACTORS.get(unit if unit == "ms" else unit[0], 1.0)


def _price(value: object) -> float:
    text = "" if isinstance(value, bool) else _text(value)
    if not re.fullmatch(r"\d*\.?\d*(e-?\d+)?", text, re.ASCII | re.IGNORECASE) or not text[
        :1
    ].strip("e"):
        raise ValueError
    return float(text)


def _failures(value: object) -> frozenset[FailureKind]:
    words = [_name(item) for item in _items(value)]
    if words == ["all"]:
        return FALLBACK_KINDS
    if words in ([], ["none"]):
        raise ValueError("must name a failure; to ask nobody else set LLM_ENABLE_FALLBACK=false")
    for word in words:
        if word == FailureKind.CANCELLED:
            raise ValueError(f"must not have {word}: that always goes back to the caller")
        if word not in NAMED_KINDS:
            hint = did_you_mean(word, NAMED_KINDS)
            raise ValueError(f"must be a list of {', '.join(NAMED_KINDS)}{hint}")
    return frozenset(map(FailureKind, words))


Flag = Annotated[bool, Kind("boolean"), BeforeValidator(_boolean)]
Count = Annotated[int, Kind("count"), BeforeValidator(_count)]
Text = Annotated[str, Kind("text"), BeforeValidator(_text)]
Label = Annotated[str, Kind("text"), BeforeValidator(as_label)]
"""A text that becomes part of a path, a query or a header."""
Url = Annotated[str, Kind("url"), BeforeValidator(_url)]
RedisUrl = Annotated[SecretStr, Kind("url"), BeforeValidator(_redis_url)]
Word = BeforeValidator(lambda value: _text(value).lower())
"""Before a ``Literal`` of lower-case words."""
ProviderName = Annotated[str, Kind("provider"), BeforeValidator(_name)]
ProviderNames = Annotated[tuple[str, ...], Kind("providers"), BeforeValidator(_names)]
Failures = Annotated[frozenset[FailureKind], Kind("failures"), BeforeValidator(_failures)]
Seconds = Annotated[float, Kind("seconds", "s"), BeforeValidator(_seconds)]
UpToHour = Annotated[Seconds, Field(ge=0.001, le=3600)]
UpToDay = Annotated[Seconds, Field(ge=0.001, le=86400)]
Price = Annotated[float, Kind("price", "USD"), BeforeValidator(_price), Field(ge=0, le=1)]
