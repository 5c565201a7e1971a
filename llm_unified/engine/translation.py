"""A request as LiteLLM translated it, and how such data is kept apart and written."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Translation", "encoded", "separate"]


@dataclass(frozen=True, slots=True, repr=False)
class Translation:
    """A request as LiteLLM translates it; the key is in its headers, so there is no `repr`."""

    headers: Mapping[str, str] | None
    """``None``: nothing but what authorizes it."""
    body: Mapping[str, Any]
    more: Mapping[str, Any]
    """Members for the body that LiteLLM does not know."""
    messages: list[Any]
    optional: Mapping[str, Any]
    about: Mapping[str, Any]
    """What LiteLLM's translation of the answer wants to know."""
    json_mode: bool
    fakes_stream: bool
    lost: tuple[str, ...]
    """Parameters that it left out."""


def separate(optional: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that a translation may change without changing those that are remembered."""
    return {
        name: copy.deepcopy(value) if value.__class__ in (dict, list) else value
        for name, value in optional.items()
    }


def encoded(body: Mapping[str, Any]) -> bytes:
    """JSON as the vendors' SDKs write it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
