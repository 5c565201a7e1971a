"""What a failure is, and what follows from it. Pure: facts in, verdicts out; no clock, no network.

The table (`FOLLOWS`) and :func:`classify` are the failure table of the README. Classification goes by
transport fault, HTTP status and the vendor's own error code; a message text is looked at only where the
vendor gives nothing else (Anthropic's "prompt is too long").
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from llm_unified.response import FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FOLLOWS",
    "TRANSIENT",
    "Consequence",
    "Evidence",
    "Verdict",
    "attempt_budget",
    "classify",
    "retry_after",
]

K = FailureKind


class Consequence(Enum):
    """What a failure means for the one that failed."""

    NOTHING = "nothing"
    COUNT = "breaker counts"
    REST_KEY = "the key rests for Retry-After"
    MISCONFIGURED_KEY = "the key is wrong: misconfigured"
    MISCONFIGURED = "the model or deployment is wrong: misconfigured"


FOLLOWS: Final[Mapping[FailureKind, Consequence]] = {
    K.CONNECTION: Consequence.COUNT,
    K.TIMEOUT: Consequence.COUNT,
    K.RATE_LIMIT: Consequence.REST_KEY,
    K.SERVER: Consequence.COUNT,
    K.AUTH: Consequence.MISCONFIGURED_KEY,
    K.NOT_FOUND: Consequence.MISCONFIGURED,
    K.INVALID_RESPONSE: Consequence.COUNT,
    K.CONTEXT_LENGTH: Consequence.NOTHING,
    K.CONTENT_POLICY: Consequence.NOTHING,
    K.BAD_REQUEST: Consequence.NOTHING,
    K.CANCELLED: Consequence.NOTHING,
}

TRANSIENT: Final = frozenset({K.CONNECTION, K.TIMEOUT, K.SERVER, K.INVALID_RESPONSE})
"""Kinds that asking the same provider again may cure at once (only with ``LLM_RETRIES`` > 0)."""

_CONTEXT_CODES: Final = {
    "context_length_exceeded",
    "string_above_max_length",
    "exceed_context_size_error",
}
_POLICY_CODES: Final = {
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "moderation_blocked",
}
_OVERLOADED_CODES: Final = {
    "overloaded_error",
    "overloaded",
    "rate_limit_error",
    "rate_limit_exceeded",
}
_AUTH_CODES: Final = {
    "authentication_error",
    "permission_error",
    "invalid_api_key",
    "billing_error",
}
# Anthropic reports an over-long prompt as a plain invalid_request_error; the text is all there is.
_CONTEXT_TEXT: Final = re.compile(
    r"prompt is too long|maximum context length|input is too long|context window", re.IGNORECASE
)
_POLICY_TEXT: Final = re.compile(
    r"content filtering policy|content management policy", re.IGNORECASE
)
_WORD: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}\Z")
_PARAM: Final = re.compile(r"[a-z][a-z0-9_.\[\]]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts of one failed attempt, gathered at the wire where possible."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Response headers, names in lower case."""
    body: bytes = b""
    """Body of an error response, or the last bytes of a broken stream; bounded by the transport."""
    fault: FailureKind | None = None
    """``CONNECTION``, ``TIMEOUT`` or ``INVALID_RESPONSE`` (undecodable) if the transport itself failed."""
    reason: str = ""
    """A few words of ours about ``fault``."""
    sent: bool = True
    """Whether a request left this process. If none did, the fault is the caller's."""
    error_in_stream: bool = False
    """An error event arrived inside a 200 stream; ``body`` holds it."""
    hint: int | None = None
    """Status by LiteLLM's own mapping, used only where the wire is not ours."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure was. ``reason`` is made of our words and vetted vendor codes only."""

    kind: FailureKind
    reason: str = ""
    status: int | None = None
    retry_after: float | None = None


def classify(evidence: Evidence, *, now: datetime | None = None) -> Verdict:
    """Name the failure. ``now`` (aware, default: the current time) is needed for HTTP dates."""
    code, text, words = _vendor_error(evidence.body)
    wait = retry_after(evidence.headers, now=now)
    status = evidence.status
    if evidence.fault is not None:
        return Verdict(evidence.fault, evidence.reason, status)
    if not evidence.sent:
        return Verdict(K.BAD_REQUEST, evidence.reason or "refused before anything was sent")
    if status is None:
        status = evidence.hint
    if status is None:
        return Verdict(K.CONNECTION, evidence.reason or "no answer")
    if status < 300:  # noqa: PLR2004 - the HTTP classes are their own names
        return _inside_success(evidence, code, text, words, wait)
    reason = words
    if status < 400:  # noqa: PLR2004
        return Verdict(K.INVALID_RESPONSE, "redirected elsewhere", status)
    return Verdict(_by_status(status, code, text), reason, status, wait)


def _inside_success(
    evidence: Evidence, code: set[str], text: str, words: str, wait: float | None
) -> Verdict:
    if not (evidence.error_in_stream and code):
        return Verdict(
            K.INVALID_RESPONSE, evidence.reason or "answer could not be read", evidence.status
        )
    if code & _OVERLOADED_CODES:
        kind = K.RATE_LIMIT
    elif code & _AUTH_CODES:
        kind = K.AUTH
    elif code & _POLICY_CODES or _POLICY_TEXT.search(text):
        kind = K.CONTENT_POLICY
    elif code & _CONTEXT_CODES or _CONTEXT_TEXT.search(text):
        kind = K.CONTEXT_LENGTH
    elif "invalid_request_error" in code:
        kind = K.BAD_REQUEST
    else:
        kind = K.SERVER
    return Verdict(
        kind, f"error event in the stream{': ' + words if words else ''}", evidence.status, wait
    )


def _by_status(status: int, code: set[str], text: str) -> FailureKind:  # noqa: PLR0911 - a table
    if status in (429, 529):
        return K.RATE_LIMIT
    if status in (401, 402, 403):
        return K.AUTH
    if status in (404, 405, 410):
        return K.NOT_FOUND
    if status == 408:  # noqa: PLR2004
        return K.TIMEOUT
    if status >= 500:  # noqa: PLR2004
        return K.RATE_LIMIT if code & {"overloaded_error", "overloaded"} else K.SERVER
    if status in (400, 422):
        if code & _CONTEXT_CODES or _CONTEXT_TEXT.search(text):
            return K.CONTEXT_LENGTH
        if code & _POLICY_CODES or _POLICY_TEXT.search(text):
            return K.CONTENT_POLICY
    if status in (409, 425):  # a lock or a race at the provider: another one may well answer
        return K.SERVER
    return K.BAD_REQUEST


def _vendor_error(body: bytes) -> tuple[set[str], str, str]:
    """Codes (lower case), message, and the printable part of a vendor's error envelope.

    OpenAI, Groq: ``{"error": {"message", "type", "param", "code"}}``; Azure adds ``innererror.code``;
    Anthropic: ``{"type": "error", "error": {"type", "message"}}``. Printable are only short lower-case
    words in the code, type and param fields: a message could carry anything.
    """
    found = _first_error_object(body)
    if found is None:
        return set(), "", ""
    inner = found.get("innererror")
    raw = [
        found.get("code"),
        found.get("type"),
        inner.get("code") if isinstance(inner, dict) else None,
    ]
    codes = {value.lower() for value in raw if isinstance(value, str)}
    text = found.get("message")
    words = [value for value in raw if isinstance(value, str) and _WORD.match(value)]
    param = found.get("param")
    if isinstance(param, str) and _PARAM.match(param):
        words.append(f"param={param}")
    return codes, text if isinstance(text, str) else "", ", ".join(dict.fromkeys(words))


def _first_error_object(body: bytes) -> dict[str, Any] | None:
    for candidate in (body, *reversed(re.findall(rb"^data: (\{.*\})\s*$", body, re.MULTILINE))):
        try:
            data = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(data, list) and data:  # Google wraps its envelope in a list
            data = data[0]
        if isinstance(data, dict):
            error = data.get("error")
            if isinstance(error, dict):
                return error
            if isinstance(error, str):
                return {"message": error}
    return None


_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _duration(value: str) -> float | None:
    """``"6m0s"``, ``"20ms"``, ``"1.5"`` → seconds."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    parts = _DURATION.findall(value)
    if not parts or "".join(n + u for n, u in parts) != value.strip():
        return None
    return sum(float(n) * _UNIT[u] for n, u in parts)


def _moment(value: str, now: datetime) -> float | None:
    """An HTTP date or an RFC 3339 time → seconds from ``now``, never negative."""
    try:
        then = datetime.fromisoformat(value)
    except ValueError:
        try:
            then = parsedate_to_datetime(value)
        except (ValueError, TypeError):
            return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - now).total_seconds())


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds that the upstream asked for, or ``None``.

    In order: ``retry-after-ms`` (OpenAI, Azure), ``retry-after`` (RFC 9110 §10.2.3: seconds or a date),
    then the latest reset among the vendor's limits that are used up: ``x-ratelimit-reset-requests`` and
    ``-tokens`` (OpenAI, Groq: durations such as ``"6m0s"``), ``anthropic-ratelimit-*-reset`` (RFC 3339).
    """
    now = now or datetime.now(UTC)
    millis = headers.get("retry-after-ms")
    if millis is not None and (value := _duration(millis)) is not None:
        return value / 1000.0
    plain = headers.get("retry-after")
    if plain is not None:
        seconds = _duration(plain)
        seconds = _moment(plain, now) if seconds is None else seconds
        if seconds is not None:
            return seconds
    resets: list[float] = []
    for name, raw in headers.items():
        if name.startswith("x-ratelimit-reset"):
            remaining = headers.get(name.replace("reset", "remaining"), "0")
        elif name.startswith("anthropic-ratelimit-") and name.endswith("-reset"):
            remaining = headers.get(name.removesuffix("reset") + "remaining", "0")
        else:
            continue
        seconds = _duration(raw)
        seconds = _moment(raw, now) if seconds is None else seconds
        if seconds is not None and remaining.strip() == "0":
            resets.append(seconds)
    return max(resets, default=None)


RESERVE: Final = 5.0
"""Seconds kept back, at most, for each provider still to come."""


def attempt_budget(*, timeout: float, remaining: float, later: int) -> float:
    """Seconds that one attempt may take.

    ``min(timeout, remaining - later * reserve)`` where the reserve of each of the ``later`` providers is
    its equal share of what remains, but at most `RESERVE`: with a short deadline everybody gets the same,
    with a long one the first is not starved. Hence the last provider is always reachable.
    """
    reserve = min(RESERVE, remaining / (later + 1))
    return max(0.0, min(timeout, remaining - later * reserve))
