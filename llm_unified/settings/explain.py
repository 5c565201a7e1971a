"""Pure: pydantic's errors → sentences that say what to look at and what is expected, and show no secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from llm_unified.settings.options import OPTIONS, PROVIDER_OPTIONS, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["reason", "redacted", "shown"]

_ROWS = {False: {row.name: row for row in PROVIDER_OPTIONS}, True: {row.name: row for row in OPTIONS}}
_LONGEST_SHOWN = 40
_SHORTEST_REDACTED = 8
_LOOKS_SECRET = re.compile(r"sk-|gsk_|key|://[^/]*@|[A-Za-z0-9+/_-]{24,}", re.IGNORECASE)


def reason(error: Mapping[str, Any]) -> str:
    """Return the end of the sentence "NAME …" for one of pydantic's errors."""
    if said := str(error.get("ctx", {}).get("error", "")):
        return said
    loc = error["loc"]
    row = _ROWS[len(loc) == 1].get(str(loc[-1])) if loc else None
    if row is None or row.kind not in {"count", "seconds", "price", "choice"}:
        return str(error["msg"])
    hint = did_you_mean(str(error["input"]), row.choices) if row.choices else ""
    return row.expected() + hint


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
