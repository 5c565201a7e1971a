"""How long a provider asks to be left alone, in seconds: finite, from 0 to one hour, or ``None``.

A value that does not follow its grammar is absent, and the next header is looked at:

* ``retry-after-ms`` (OpenAI, Azure): milliseconds, digits with an optional fraction.
* ``retry-after`` (RFC 9110 §10.2.3): seconds, digits with an optional fraction (OpenAI's and
  Anthropic's SDKs read one), or a date in one of the three forms of RFC 9110 §5.6.7. A date in the past
  is 0. Of several numbers joined by commas (RFC 9110 §5.3) the longest counts: each was asked for.
* then the latest reset among the vendor's limits that are used up: ``x-ratelimit-reset-requests``,
  ``-tokens`` (OpenAI, Groq: ``"6m0s"``, ``"20ms"``), ``anthropic-ratelimit-*-reset`` (RFC 3339).

Signs, exponents, underscores, ``inf``, ``nan``, digits of other scripts and values of more than
`MAX_VALUE_CHARACTERS` are no numbers of HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["LONGEST_RETRY_AFTER_SECONDS", "retry_after"]

LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
"""More than this is taken for this: a provider is asked again at least every hour."""
MAX_VALUE_CHARACTERS: Final = 64
"""Longer than any date or number that a provider means."""

_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_DURATIONS: Final = re.compile(rf"(?:{_DURATION.pattern})+")
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HTTP_DATE: Final = re.compile(
    r"[A-Z][a-z]{2,8},? [A-Za-z0-9: -]+ [0-9]{2}:[0-9]{2}:[0-9]{2} (?:GMT|UTC|[0-9]{4})"
)
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_RESET: Final = re.compile(
    r"x-ratelimit-reset-(?:requests|tokens)|anthropic-ratelimit-[a-z-]{1,40}-reset"
)


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Return the seconds that the headers ask for, if any.

    ``headers`` have names in lower case; ``now`` (aware, default: the current time) is what dates
    are compared with.
    """
    now = now or datetime.now(UTC)
    millis = _number(headers.get("retry-after-ms", ""))
    if millis is not None:
        return _capped(millis / 1000.0)
    plain = headers.get("retry-after", "").strip(" \t")
    asked = _moment(plain, now)
    if asked is None and len(plain) <= MAX_VALUE_CHARACTERS:
        numbers = [_number(part) for part in plain.split(",")]
        asked = max((n for n in numbers if n is not None), default=None)
    if asked is not None:
        return _capped(asked)
    return max(map(_capped, _resets(headers, now)), default=None)


def _capped(seconds: float) -> float:
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS)


def _number(value: str) -> float | None:
    text = value.strip(" \t") if len(value) <= MAX_VALUE_CHARACTERS else ""
    return float(text) if _NUMBER.fullmatch(text) else None


def _duration(value: str) -> float | None:
    """``"6m0s"``, ``"20ms"``, ``"1.5"`` → seconds."""
    text = value.strip(" \t") if len(value) <= MAX_VALUE_CHARACTERS else ""
    if not _DURATIONS.fullmatch(text):
        return _number(text)
    return sum(float(n) * _UNIT_SECONDS[unit] for n, unit in _DURATION.findall(text))


def _moment(value: str, now: datetime) -> float | None:
    """An HTTP date or an RFC 3339 time → seconds from ``now``, never negative."""
    if len(value) > MAX_VALUE_CHARACTERS:
        return None
    try:
        if _RFC_3339.fullmatch(value):
            then = datetime.fromisoformat(value)
        elif _HTTP_DATE.fullmatch(value):
            then = parsedate_to_datetime(value)
        else:
            return None
        if then.tzinfo is None:  # asctime's form has no zone; all HTTP dates are in UTC
            then = then.replace(tzinfo=UTC)
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):  # 31 February, year 0, …
        return None


def _resets(headers: Mapping[str, str], now: datetime) -> Iterator[float]:
    for name, value in headers.items():
        if not _RESET.fullmatch(name):
            continue
        remaining = headers.get(name.replace("reset", "remaining"), "0").strip(" \t")
        seconds = _duration(value)
        seconds = _moment(value.strip(" \t"), now) if seconds is None else seconds
        if seconds is not None and remaining == "0":
            yield seconds
