"""The facts of one attempt, written down as they happen, and the request they are about.

Nothing in an `Exchange` is an upstream's own text, apart from headers that are vetted by name and a
`VendorError`, whose text is only for matching.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import yarl

from llm_unified.failures.envelope import VendorError
from llm_unified.response import FailureKind

__all__ = ["Exchange", "HttpRequest", "SecretHeaders", "WireError"]

_READ: Final = frozenset(
    {
        "content-type",
        "content-encoding",
        "retry-after",
        "retry-after-ms",
        "x-ms-retry-after-ms",
        "x-should-retry",
    }
)
_READ_PREFIXES: Final = ("x-ratelimit-", "anthropic-ratelimit-")
_REQUEST_IDS: Final = ("x-request-id", "request-id", "apim-request-id", "x-groq-id")
_MAX_VALUE_CHARS: Final = 256
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z", re.ASCII)
_WINDOW_CHARS: Final = 8
_WINDOW_STEP: Final = 4
"""Together they find every run of 11 characters that a request id shares with a credential."""


class WireError(Exception):
    """An exchange failed. All there is to know is in its `Exchange`; the text is words of ours."""


class SecretHeaders:
    """Request headers whose values no ``repr`` shows; not a mapping, so that no error tracker walks it."""

    __slots__ = ("__text", "__values")

    def __init__(self, values: Mapping[str, str]) -> None:
        self.__values = dict(values)
        self.__text = "\n".join(self.__values.values())

    def reveal(self) -> Mapping[str, str]:
        return self.__values

    def echoed_in(self, value: str) -> bool:
        """Whether ``value`` holds a run of characters of one of these values."""
        text = self.__text
        for i in range(0, max(1, len(value) - _WINDOW_CHARS + 1), _WINDOW_STEP):
            if value[i : i + _WINDOW_CHARS] in text:  # no generator: each of its steps is a call
                return True
        return False

    def __repr__(self) -> str:
        return f"<{len(self.__values)} headers>"


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """What is sent. ``repr`` shows the method and the URL without its query."""

    method: str
    url: yarl.URL
    """Built with ``encoded=True``: sent exactly as it stands."""
    headers: SecretHeaders
    body: bytes | None = None

    def __repr__(self) -> str:
        return f"<{self.method} {self.url.with_query(None)}>"


@dataclass(slots=True)
class Exchange:
    """What the wire saw of one attempt; of its last request, where there were several."""

    requests: int = 0
    """Requests handed to a connection, redirects included."""
    reused: bool = False
    """It went over a connection that had carried another before."""
    opened: int = 0
    """Connections made for it."""
    kept: int = 0
    """Connections that it took over from another, the times that it did."""
    carried: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers of the caller's trace, sent along (``traceparent``)."""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Lower-case names; only those that are read: type, Retry-After, rate limits."""
    request_id: str | None = None
    """The upstream's own, unless it could be an echo of what was sent."""
    error: VendorError | None = None
    """What the body of a refusal says."""
    fault: FailureKind | None = None
    reason: str = ""
    answered: bool = False
    """Some byte of an answer came."""
    ended: bool = False
    """The answer is whole: its end marker or the end of its body was seen."""
    counted: bool = False
    """A stream on the way through `completion()` said how many tokens it took."""

    @property
    def stale(self) -> bool:
        """A kept connection broke before any byte came: a fresh one may do."""
        return self.fault is FailureKind.CONNECTION and self.reused and not self.answered

    def begin(self) -> None:
        """One more request goes out; the facts of the one before it no longer count."""
        self.requests += 1
        self.reused = self.answered = self.ended = False
        self.status = self.error = self.fault = self.request_id = None
        self.headers, self.reason = {}, ""

    def fail(self, kind: FailureKind, reason: str) -> None:
        """Note what went wrong; the first fault is the one that counts."""
        if self.fault is None:
            self.fault, self.reason = kind, reason

    def receive(
        self, status: int, headers: Iterable[tuple[str, str]], request: HttpRequest
    ) -> None:
        """Note status and headers."""
        self.status, self.answered = status, True
        vetted: dict[str, str] = {}
        ids: dict[str, str] = {}
        for name, value in headers:
            key = _key(name)
            if key in _REQUEST_IDS:
                ids[key] = value
            elif key:
                text = value[:_MAX_VALUE_CHARS]
                vetted[key] = f"{vetted[key]}, {text}"[:_MAX_VALUE_CHARS] if key in vetted else text
        self.headers = vetted
        for key in _REQUEST_IDS:
            if key in ids:
                self.request_id = None if _echoes(ids[key], request) else ids[key]
                break


@lru_cache(maxsize=512)
def _key(name: str) -> str:
    """The lower-case name of a header that is read, ``""`` of any other."""
    key = name.lower()
    known = key in _READ or key in _REQUEST_IDS or key.startswith(_READ_PREFIXES)
    return key if known else ""


def _echoes(value: str, request: HttpRequest) -> bool:
    """Whether it is no plain identifier, or could be something that was sent."""
    if not _REQUEST_ID.match(value) or value.encode() in (request.body or b""):
        return True
    return request.headers.echoed_in(value)
