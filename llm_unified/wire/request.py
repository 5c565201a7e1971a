"""Requests of ours as the wire takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import yarl

from llm_unified.wire.exchange import HttpRequest, SecretHeaders

__all__ = ["get", "post", "post_headers"]

USER_AGENT: Final = "llm-unified"
_EVENTS: Final = "text/event-stream"
_JSON: Final = "application/json"


def post_headers(headers: Mapping[str, str], *, stream: bool) -> SecretHeaders:
    """``headers`` and those that every request with a JSON body has.

    Events are not asked for compressed: what compresses them also holds them back.
    """
    common = {
        "Accept": _EVENTS if stream else _JSON,
        "Accept-Encoding": "identity" if stream else "gzip, deflate",
        "Content-Type": _JSON,
        "User-Agent": USER_AGENT,
    }
    given = {name.lower() for name in headers}
    kept = {name: value for name, value in common.items() if name.lower() not in given}
    return SecretHeaders({**kept, **headers})


def post(url: yarl.URL, headers: SecretHeaders, body: bytes) -> HttpRequest:
    """A request with a JSON body."""
    return HttpRequest("POST", url, headers, body)


def get(url: str, headers: Mapping[str, str]) -> HttpRequest:
    """A request without a body."""
    common = {"Accept": _JSON, "Accept-Encoding": "gzip, deflate", "User-Agent": USER_AGENT}
    return HttpRequest("GET", yarl.URL(url, encoded=True), SecretHeaders({**common, **headers}))
