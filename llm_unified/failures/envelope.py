"""A vendor's error envelope, reduced to what may be compared and what may be shown.

Shapes: OpenAI and Groq ``{"error": {"message", "type", "param", "code"}}``, Azure the same with
``innererror`` (nested), Anthropic ``{"type": "error", "error": {"type", "message"}}``, API gateways
``{"statusCode": 429, "message"}``, FastAPI ``{"detail"}``, Google a list around its envelope, others
``{"error": "text"}`` or ``{"message"}``. Nothing here raises, whatever the bytes are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from llm_unified.failures.vocabulary import PRINTABLE, printable_param

__all__ = ["MAX_BODY_BYTES", "VendorError", "of_event", "read_error"]

MAX_BODY_BYTES: Final = 65_536
"""An error body beyond it is cut, and then usually no longer JSON: only the status counts."""
MAX_MESSAGE_CHARACTERS: Final = 2_000
"""Vendors say what it is at the beginning; behind it may stand the whole prompt."""
MAX_CODE_CHARACTERS: Final = 64
MAX_PARAM_CHARACTERS: Final = 200
MAX_NESTING: Final = 4
"""Levels of ``innererror`` and of ``detail`` that are followed."""
MAX_DETAILS: Final = 8


@dataclass(frozen=True, slots=True, repr=False)
class VendorError:
    """What a vendor said of its failure. Only :attr:`words` may leave the process."""

    codes: frozenset[str] = frozenset()
    """Values of the code and type fields in lower case, numbers as text."""
    param: str | None = None
    message: str = ""
    """The first `MAX_MESSAGE_CHARACTERS`, for matching only: it may quote a key or the prompt."""

    @property
    def words(self) -> str:
        """Codes and types that stand in our closed list, and the parameter if it is a known one."""
        known = sorted(PRINTABLE[code] for code in self.codes if code in PRINTABLE)
        param = printable_param(self.param or "")
        if param:
            known.append(f"param={param}")
        return ", ".join(known)

    def __repr__(self) -> str:
        return f"VendorError({self.words!r})"


def read_error(body: bytes) -> VendorError | None:
    """Read the body of an error answer; ``None`` if there is no envelope in it. Never raises."""
    data = body[:MAX_BODY_BYTES]
    if data.lstrip()[:6].startswith((b"data:", b"event:")):  # a stream that began with its error
        lines = (line[5:] for line in data.splitlines() if line.startswith(b"data:"))
        data = next(lines, b"")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return _error(value, depth=0)


def of_event(event: object) -> VendorError | None:
    """Find an error envelope in a parsed event of a stream, or in the parsed body of a 200.

    Stricter than :func:`read_error`, because most of what it sees is no error: the envelope must be
    under ``error``, or the object must call itself an error.
    """
    if isinstance(event, list) and event:
        event = event[0]
    if not isinstance(event, dict):
        return None
    named = event.get("type") == "error" or event.get("object") == "error"
    status = event.get("statusCode")
    refused = isinstance(status, int) and status >= 400  # noqa: PLR2004 - the class of client errors
    if not (event.get("error") or named or refused):
        return None
    return _error(event, depth=0) or VendorError()


def _error(value: object, depth: int) -> VendorError | None:
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        return VendorError(_code(value), message=value[:MAX_MESSAGE_CHARACTERS])
    if not isinstance(value, dict) or depth > MAX_NESTING:
        return None
    for name in ("error", "errors", "detail"):
        inner = _error(value.get(name), depth + 1)
        if inner is not None:
            outer = _read(value)
            first, second = (outer, inner) if isinstance(value[name], str) else (inner, outer)
            return VendorError(
                inner.codes | outer.codes,
                first.param or second.param,
                first.message or second.message,
            )
    found = _read(value)
    return found if found.codes or found.message or found.param else None


def _read(error: Mapping[str, object]) -> VendorError:
    param, message = error.get("param"), error.get("message") or error.get("msg")
    return VendorError(
        frozenset(code for raw in _raw_codes(error) for code in _code(raw)) - {"error"},
        param if isinstance(param, str) and len(param) <= MAX_PARAM_CHARACTERS else None,
        message[:MAX_MESSAGE_CHARACTERS] if isinstance(message, str) else "",
    )


def _raw_codes(error: Mapping[str, object]) -> Iterator[object]:
    for name in ("code", "type", "status", "statusCode"):
        yield error.get(name)
    inner = error.get("innererror")
    for _ in range(MAX_NESTING):  # Azure nests it, and gives the reason in the innermost
        if not isinstance(inner, dict):
            break
        yield inner.get("code")
        inner = inner.get("innererror")
    details = error.get("details")  # Anthropic: an object with an error_code; Google: a list
    for detail in details[:MAX_DETAILS] if isinstance(details, list) else (details,):
        if isinstance(detail, dict):
            yield from (detail.get("error_code"), detail.get("code"), detail.get("reason"))


def _code(raw: object) -> frozenset[str]:
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 10**6:
        return frozenset({str(raw)})
    if isinstance(raw, str) and 0 < len(raw) <= MAX_CODE_CHARACTERS:
        return frozenset({raw.lower()})
    return frozenset()
