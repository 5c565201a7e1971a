"""The lines that ``watch --json`` or a service's log wrote. Foreign input: what is no such line is named, never fatal."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Fallback", "Reading", "Sample", "read"]

_LONGEST: Final = 100_000  # characters of a line of ours
_WORDS: Final = 200  # characters of a text that are shown
_NAMED: Final = 8  # bad lines that are named one by one
_FAILED: Final = ("attempt_failed", "provider_misconfigured")
_ANSWERED: Final = ("call_answered",)
_TOKENS: Final = ("prompt_tokens", "completion_tokens")
_MOMENTS: Final = ("time", "timestamp", "ts")
"""Where programs that configured structlog put the moment."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One provider was asked, by a watch or by a user's call. Moments are seconds since 1970."""

    at: float
    provider: str
    ok: bool
    seconds: float | None = None
    tokens: float = 0
    cost_usd: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Fallback:
    """Somebody else than the first of the chain answered, or would have; ``""``: nobody."""

    at: float
    wanted: str
    answered: str


@dataclass(slots=True)
class Reading:
    """All that the lines say."""

    samples: list[Sample] = field(default_factory=list)
    fallbacks: list[Fallback] = field(default_factory=list)
    answers: str = ""
    """Who answered the last call, or would have when the watch ended; ``""``: nobody, or nobody knows."""
    zone: tzinfo = UTC
    """Of the first line: the clock of whoever reads the report."""
    lines: int = 0
    other: int = 0
    """Lines of other programs' events: no fault of theirs."""
    rounds: int = 0
    bad: int = 0
    bad_lines: list[tuple[int, str]] = field(default_factory=list)
    """The first ones: their numbers, and what is wrong."""
    _sums: dict[tuple[str, str], float] = field(default_factory=dict)

    def refuse(self, number: int, why: str) -> None:
        """Count a line that says nothing."""
        self.bad += 1
        if len(self.bad_lines) < _NAMED:
            self.bad_lines.append((number, why))

    def grown(self, provider: str, row: Mapping[str, Any], name: str) -> float:
        """What a running sum grew by since the line before; a smaller one is a new watch's."""
        total = _number(row.get(name)) or 0.0
        before = self._sums.get((provider, name), 0.0)
        self._sums[provider, name] = total
        return total - before if total >= before else total


class _WrongLineError(ValueError):
    """Its text says why."""


def read(lines: Iterable[bytes]) -> Reading:
    """Read them all; the order of time is made later."""
    found = Reading()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found.lines += 1
        try:
            value = _object(line)
            _take(found, value)
        except _WrongLineError as error:
            found.refuse(number, str(error))
    found.samples.sort(key=lambda sample: sample.at)
    found.fallbacks.sort(key=lambda fallback: fallback.at)
    return found


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > _LONGEST:
        raise _WrongLineError("longer than any line of ours")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise _WrongLineError("not JSON") from None
    if not isinstance(value, dict):
        raise _WrongLineError("not a JSON object")
    return value


def _take(found: Reading, value: dict[str, Any]) -> None:
    if isinstance(value.get("providers"), dict):
        _round(found, value)
    elif isinstance(event := value.get("event"), str):
        _event(found, event, value)
    else:
        raise _WrongLineError("neither a round of a watch nor an event of a log")


def _round(found: Reading, value: dict[str, Any]) -> None:
    at = _moment(found, value)
    rows = value["providers"]
    if not all(isinstance(row, dict) for row in rows.values()):
        raise _WrongLineError("a provider that is no JSON object")
    found.rounds += 1
    for name, row in rows.items():
        provider = _text(name)
        tokens, cost = (found.grown(provider, row, key) for key in ("tokens", "cost_usd"))
        if row.get("up") is None:
            continue  # not checked
        milliseconds = _number(row.get("ms"))
        found.samples.append(
            Sample(
                at,
                provider,
                row["up"] is True,
                None if milliseconds is None else milliseconds / 1000,
                tokens,
                cost,
                _text(row.get("problem")),
            )
        )
    chain = value.get("chain")
    answers = found.answers = _text(value.get("answers"))
    if isinstance(chain, list) and chain and answers != _text(chain[0]):
        found.fallbacks.append(Fallback(at, _text(chain[0]), answers))


def _event(found: Reading, event: str, value: dict[str, Any]) -> None:
    if event in _FAILED:
        status, kind = value.get("status"), _text(value.get("kind"))
        problem = f"{kind}, HTTP {status}" if isinstance(status, int) else kind
        _asked(found, value, ok=False, problem=problem)
    elif event in _ANSWERED:
        _asked(found, value, ok=True)
        found.answers = _text(value.get("provider"))
    elif event == "fallback":
        wanted, answered = _text(value.get("wanted")), _text(value.get("answered"))
        found.fallbacks.append(Fallback(_moment(found, value), wanted, answered))
    else:
        found.other += 1


def _asked(found: Reading, value: dict[str, Any], *, ok: bool, problem: str = "") -> None:
    provider = _text(value.get("provider"))
    if not provider:
        raise _WrongLineError("an event without its provider")
    seconds, cost = _number(value.get("seconds")), _number(value.get("cost_usd"))
    tokens = sum(_number(value.get(name)) or 0.0 for name in _TOKENS)
    at = _moment(found, value)
    found.samples.append(Sample(at, provider, ok, seconds, tokens, cost or 0.0, problem))


def _moment(found: Reading, value: dict[str, Any]) -> float:
    for name in _MOMENTS:
        moment = value.get(name)
        if isinstance(moment, str):
            try:
                parsed = datetime.fromisoformat(moment)
                parsed = parsed.astimezone() if parsed.tzinfo is None else parsed
                seconds = parsed.timestamp()
            except (ValueError, OverflowError, OSError):
                break
            if not found.samples and not found.fallbacks and parsed.tzinfo is not None:
                found.zone = parsed.tzinfo
            return seconds
        if (number := _number(moment)) is not None:
            return number
    raise _WrongLineError("no moment in time")


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    if text.isprintable() and len(text) <= _WORDS:
        return text.strip()
    return "".join(c if c.isprintable() else " " for c in text[:_WORDS]).strip()
