"""Single arguments of a call: each is of the right type, or a `BadRequestError` names it. Nothing is sent then."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from llm_unified.errors import BadRequestError

__all__ = ["check_messages", "check_params", "flag_of", "name_of", "seconds_of"]

_NO_NAME: Final = re.compile(r"[\x00-\x1f\x7f?#\\]|(^|/)\.\.?(/|$)|//")
"""What would make another path or header of a name."""
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
"""RFC 9110, "token"."""
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
"""RFC 9110, "field-value", as one line."""


def seconds_of(how: Mapping[str, Any], name: str) -> float | None:
    """A limit in seconds.

    Raises:
        BadRequestError: it is no finite number above 0.
    """
    value = how.get(name)
    if value is None:
        return None
    if not _number(value):
        raise BadRequestError(f"{name} must be a number of seconds, not {value!r:.40}")
    if value <= 0:
        raise BadRequestError(f"{name} must be more than 0 seconds, not {value!r:.40}")
    return float(value)


def name_of(how: Mapping[str, Any], name: str) -> str | None:
    """The name of a model.

    Raises:
        BadRequestError: it is no text, or would lead to another path.
    """
    value = how.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise BadRequestError(f"{name} must be the name of a {name}, not {value!r:.40}")
    if _NO_NAME.search(value):
        raise BadRequestError(
            f"{name} {value!r:.80} is no {name}'s name: it holds '?', '#', '..' or a control character"
        )
    return value


def flag_of(how: Mapping[str, Any], name: str) -> bool:
    """A switch that is on unless it was switched off.

    Raises:
        BadRequestError: it is neither.
    """
    value = how.get(name)
    if not isinstance(value, bool | None):
        raise BadRequestError(f"{name} must be True or False, not {value!r:.40}")
    return value is not False


def check_messages(value: Any) -> None:
    """Raises BadRequestError: no list of dicts with text keys."""
    _dicts("messages", value, '{"role": "user", "content": "Hi"}')


def check_params(params: Mapping[str, Any]) -> None:
    """Raises BadRequestError: a parameter that all vendors know is of a type that none takes."""
    for name, value in params.items():
        check = _CHECKS.get(name)
        if check is not None:
            check(name, value)


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond all floats
        return False


def _is(what: str, test: Callable[[Any], bool]) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if not test(value):
            raise BadRequestError(f"{name} must be {what}, not {value!r:.40}")

    return check


def _dicts(name: str, value: Any, example: str) -> None:
    wrong = isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence)
    if not wrong:
        for item in value:  # on the path of every call: no call per message
            if item.__class__ is not dict and not isinstance(item, Mapping):
                wrong = True
    if wrong:
        raise BadRequestError(f"{name} must be a list of dicts like {example}")


def _tools(name: str, value: Any) -> None:
    _dicts(name, value, '{"type": "function", "function": {…}}')


def _headers(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise BadRequestError(f"{name} must be a dict of header names and texts")
    for header, text in value.items():  # values may be secrets: they are not shown
        if not isinstance(header, str) or not _HEADER_NAME.match(header):
            raise BadRequestError(f"{name}: {header!r:.40} is no header's name")
        if not isinstance(text, str) or not _HEADER_VALUE.match(text):
            raise BadRequestError(f"{name}: the value of {header!r:.40} must be one line of text")


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)


_NUMBER: Final = _is("a number", _number)
_COUNT: Final = _is(
    "a whole number of at least 1",
    lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1,
)
_WHOLE: Final = _is("a whole number", lambda v: isinstance(v, int) and not isinstance(v, bool))
_SWITCH: Final = _is("True or False", lambda v: isinstance(v, bool))
_TEXT: Final = _is("a text", lambda v: isinstance(v, str))
_DICT: Final = _is("a dict", lambda v: isinstance(v, Mapping))
_TEXT_OR_DICT: Final = _is("a text or a dict", lambda v: isinstance(v, str | Mapping))

_CHECKS: Final[Mapping[str, Callable[[str, Any], None]]] = MappingProxyType(
    {
        **dict.fromkeys(("temperature", "top_p", "frequency_penalty", "presence_penalty"), _NUMBER),
        **dict.fromkeys(("max_tokens", "max_completion_tokens"), _COUNT),
        **dict.fromkeys(("seed", "top_k", "top_logprobs", "dimensions"), _WHOLE),
        **dict.fromkeys(("parallel_tool_calls", "logprobs", "store"), _SWITCH),
        **dict.fromkeys(
            (
                *("user", "verbosity", "service_tier", "encoding_format"),
                *("safety_identifier", "prompt_cache_key"),
            ),
            _TEXT,
        ),
        **dict.fromkeys(
            (
                *("extra_body", "logit_bias", "metadata", "stream_options"),
                *("thinking", "audio", "prediction", "web_search_options"),
            ),
            _DICT,
        ),
        "tools": _tools,
        "functions": _tools,
        **dict.fromkeys(("tool_choice", "function_call", "reasoning_effort"), _TEXT_OR_DICT),
        "modalities": _is("a list of texts", _texts),
        "stop": _is("a text or a list of texts", lambda v: isinstance(v, str) or _texts(v)),
        "extra_headers": _headers,
    }
)
