"""Pure: pydantic's errors → sentences that say what to look at and what is expected, and show no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_unified.providers import PROVIDERS
from llm_unified.settings.kinds import did_you_mean
from llm_unified.settings.model import DEPLOYMENT_KEYS, PROVIDER_KEYS, Written
from llm_unified.settings.options import OPTIONS, PROVIDER_OPTIONS, Option

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["reason", "redacted", "shown"]

_TOP = tuple(Written.model_fields)
_LONGEST_SHOWN = 40
_SHORTEST_REDACTED = 8
_LOOKS_SECRET = re.compile(r"sk-|gsk_|key|://[^/]*@|[A-Za-z0-9+/_-]{24,}", re.IGNORECASE)


def reason(error: Mapping[str, Any]) -> str:
    """Return the end of the sentence "NAME …" for one of pydantic's errors."""
    loc, value = error["loc"], error["input"]
    if error["type"] == "extra_forbidden":
        return _unknown(loc, value)
    if said := str(error.get("ctx", {}).get("error", "")):
        return said + shown(value)
    rows = OPTIONS if len(loc) == 1 else PROVIDER_OPTIONS
    row = next((row for row in rows if loc and row.name == loc[-1]), None)
    return (row and _expected(row, value)) or str(error["msg"])


def _expected(row: Option, value: object) -> str:
    text = {
        "count": f"must be a whole number between {row.low:g} and {row.high:g}",
        "seconds": f"must be a number of seconds between {row.low:g} and {row.high:g}",
        "price": "must be a price in USD for one token, such as 0.0000025",
        "choice": f"must be {' or '.join(row.choices)}{did_you_mean(str(value), row.choices)}",
    }.get(row.kind)
    return text + shown(value) if text else ""


def _unknown(loc: tuple[str | int, ...], value: object) -> str:
    known = {1: _TOP, 3: PROVIDER_KEYS}.get(len(loc), DEPLOYMENT_KEYS)
    key, inner = str(loc[-1]), set(value) if isinstance(value, Mapping) else set()
    if known is _TOP and inner & set(_TOP) - set(PROVIDER_KEYS):
        return "is an unknown key. Options stand at the top level: remove this line and one indentation"
    if known is _TOP and (inner or key in PROVIDERS):
        return "is an unknown key: a provider belongs under `providers:`"
    hint = did_you_mean(key.lower().removeprefix("llm_"), known)
    return f"is an unknown key{hint or '. Known: ' + ', '.join(known)}"


def shown(value: object, before: str = ", not ") -> str:
    """Return a short harmless value for a message, nothing for what might be a secret."""
    text = str(value)
    if not isinstance(value, (str, int, float)) or len(text) > _LONGEST_SHOWN:
        return ""
    return "" if _LOOKS_SECRET.search(text) else f"{before}{text!r}"


def redacted(texts: Iterable[str], secrets: Iterable[str]) -> list[str]:
    """Blank out a key that got into another setting by mistake; each text once."""
    found = list(texts)
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_REDACTED:
            found = [text.replace(secret, "[secret]") for text in found]
    return list(dict.fromkeys(found))
