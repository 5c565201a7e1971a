"""What can be set: one row per option, and how a text becomes its value.

The environment, YAML, the JSON schema, ``.env.example`` and ``llm-unified check`` are all read off
these two tables. All durations are floats in seconds.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from llm_unified.response import FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FALLBACK_KINDS",
    "OPTIONS",
    "PROVIDER_OPTIONS",
    "InvalidValueError",
    "Option",
    "did_you_mean",
    "parse",
    "unquoted",
]

Kind = Literal[
    "boolean",
    "count",
    "seconds",
    "cost",
    "text",
    "choice",
    "provider",
    "providers",
    "failures",
    "url",
]

FALLBACK_KINDS: frozenset[FailureKind] = frozenset(FailureKind) - {
    FailureKind.BAD_REQUEST,
    FailureKind.CANCELLED,
}
"""The failures that another provider may cure; the two others are the caller's own."""


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that can be set."""

    name: str
    kind: Kind
    default: object
    help: str
    low: float = 0
    high: float = math.inf
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable of a global option."""
        return f"LLM_{self.name.upper()}"

    @property
    def unit(self) -> str:
        """``"s"``, ``"USD"`` or ``""``."""
        return {"seconds": "s", "cost": "USD"}.get(self.kind, "")


_HOUR, _DAY, _TINY = 3600, 86400, 0.001

OPTIONS: tuple[Option, ...] = (
    Option(
        "primary_provider", "provider", None, "Who is asked first; by default the first with a key"
    ),
    Option(
        "fallback_providers",
        "providers",
        None,
        "Who is asked next, in this order; by default all others with a key; 'none' for nobody",
    ),
    Option("enable_fallback", "boolean", True, "Whether anybody but the primary is asked"),
    Option("pool_size", "count", 3, "Separate connections per deployment, used in turn", 1, 64),
    Option("timeout", "seconds", 60.0, "The longest that one attempt may take", _TINY, _HOUR),
    Option("connect_timeout", "seconds", 5.0, "The longest wait for a connection", _TINY, _HOUR),
    Option(
        "first_token_timeout",
        "seconds",
        30.0,
        "Streams: the longest wait for the first content",
        _TINY,
        _HOUR,
    ),
    Option(
        "stream_idle_timeout",
        "seconds",
        30.0,
        "Streams: the longest silence after the first content",
        _TINY,
        _HOUR,
    ),
    Option(
        "deadline", "seconds", 120.0, "The longest that a call may take, all attempts", _TINY, _DAY
    ),
    Option("cooldown", "seconds", 10.0, "How long a deployment rests after failing", 0, _HOUR),
    Option("failure_threshold", "count", 3, "Failures in a row until a deployment rests", 1, 1000),
    Option("retries", "count", 0, "Further rounds when everybody failed and time is left", 0, 10),
    Option(
        "fallback_on",
        "failures",
        FALLBACK_KINDS,
        "The failures after which the next provider is asked",
        choices=tuple(kind.value for kind in FailureKind if kind in FALLBACK_KINDS),
    ),
    Option("enable_connection_warming", "boolean", False, "Whether connections are kept warm"),
    Option("keep_alive_interval", "seconds", 60.0, "Time between two warm-up rounds", _TINY, _DAY),
    Option("warm_on_startup", "boolean", True, "Whether the warmer starts with a round"),
    Option(
        "warm_probe",
        "choice",
        "completion",
        "'completion' asks for one token; 'connection' only opens the connection, free of charge",
        choices=("completion", "connection"),
    ),
    Option("redis_url", "url", None, "A Redis that lets several processes share who rests"),
)

PROVIDER_OPTIONS: tuple[Option, ...] = (
    Option("enabled", "boolean", True, "false leaves the provider out"),
    Option("model", "text", None, "The model to ask (Azure: the name of the deployment)"),
    Option("base_url", "url", None, "Where it is reached (Azure: the endpoint)"),
    Option("api_version", "text", None, "Azure's api-version"),
    Option("organization", "text", None, "OpenAI's organization"),
    Option("timeout", "seconds", None, "The longest that one attempt at it may take", _TINY, _HOUR),
    Option("weight", "count", 1, "Its share of the turns among the provider's deployments", 1, 100),
    Option("input_cost_per_token", "cost", None, "Price of one prompt token, for `cost_usd`", 0, 1),
    Option("output_cost_per_token", "cost", None, "Price of one answered token", 0, 1),
    Option("base_model", "text", None, "Azure: the model behind the deployment, for its price"),
)


class InvalidValueError(ValueError):
    """The value cannot be used; the message ends the sentence "NAME …" and never shows it."""


_TRUE = frozenset({"true", "1", "yes", "on", "y", "t", "enabled"})
_FALSE = frozenset({"false", "0", "no", "off", "n", "f", "disabled"})
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|sec|seconds?|m|min|minutes?|h)?", re.ASCII)
_FACTORS = {"ms": 0.001, "m": 60.0, "h": 3600.0}


def unquoted(text: str) -> str:
    """Return the text without the white space and the quotes that come along when pasting."""
    text = text.strip()
    while len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text


def did_you_mean(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return ``", did you mean …?"`` or ``""``."""
    found = get_close_matches(word.lower(), list(known), n=1, cutoff=cutoff)
    return f", did you mean {found[0]}?" if found else ""


def parse(option: Option, value: object) -> object:  # noqa: PLR0911
    """Turn what a source gave into the option's value.

    Raises:
        InvalidValueError: with what is expected.
    """
    match option.kind:
        case "boolean":
            return _boolean(value)
        case "count":
            return _count(option, value)
        case "seconds" | "cost":
            return _number(option, value)
        case "provider":
            return _name(_text(value))
        case "providers":
            names = tuple(_name(item) for item in _items(value))
            return () if names == ("none",) else names
        case "failures":
            return _failures(option, value)
        case "choice":
            word = _text(value).lower()
            if word not in option.choices:
                expected = " or ".join(option.choices)
                raise InvalidValueError(f"must be {expected}{did_you_mean(word, option.choices)}")
            return word
        case _:
            return _text(value)


def _text(value: object) -> str:
    if isinstance(value, (dict, list, tuple)) or value is None:
        raise InvalidValueError("must be one text")
    return unquoted(str(value))


def _items(value: object) -> list[str]:
    parts = value if isinstance(value, (list, tuple, set, frozenset)) else _text(value).split(",")
    return [item for part in parts if (item := _text(part))]


def _name(text: str) -> str:
    return text.lower().replace("-", "_").replace(" ", "_")


def _boolean(value: object) -> bool:
    word = str(value).strip().lower() if isinstance(value, (bool, int)) else _text(value).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise InvalidValueError("must be true or false")


def _between(option: Option) -> str:
    return f"between {option.low:g} and {option.high:g}"


def _count(option: Option, value: object) -> int:
    text = "" if isinstance(value, bool) else _text(value)
    number = int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else -1
    if not option.low <= number <= option.high:
        raise InvalidValueError(f"must be a whole number {_between(option)}")
    return number


def _number(option: Option, value: object) -> float:
    if option.kind == "cost":
        try:
            number = -1.0 if isinstance(value, bool) else float(_text(value))
        except ValueError:
            number = -1.0
        if not option.low <= number <= option.high:
            raise InvalidValueError("must be a price in USD for one token, such as 0.0000025")
        return number
    found = None if isinstance(value, bool) else _DURATION.fullmatch(_text(value).lower())
    seconds = -1.0
    if found:
        unit = found[2] or "s"
        seconds = float(found[1]) * _FACTORS.get(unit if unit == "ms" else unit[0], 1.0)
    if not option.low <= seconds <= option.high:
        raise InvalidValueError(f"must be a number of seconds {_between(option)}")
    return seconds


def _failures(option: Option, value: object) -> frozenset[FailureKind]:
    words = [_name(item) for item in _items(value)]
    if words == ["all"]:
        return FALLBACK_KINDS
    if words in ([], ["none"]):
        raise InvalidValueError(
            "must name a failure; to ask nobody else set LLM_ENABLE_FALLBACK=false"
        )
    for word in words:
        if word not in option.choices:
            if word in set(FailureKind):
                raise InvalidValueError(
                    f"must not have {word}: that always goes back to the caller"
                )
            hint = did_you_mean(word, option.choices)
            raise InvalidValueError(f"must be a list of {', '.join(option.choices)}{hint}")
    return frozenset(map(FailureKind, words))
