"""From what the wire saw and what LiteLLM raised to a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from llm_unified.policy import Evidence, Verdict, classify
from llm_unified.response import FailureKind as K
from llm_unified.wire.httpx_transport import socket_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_unified.wire.httpx_transport import Wire

__all__ = ["inside", "judge"]

_BY_NAME: Final[Mapping[str, K]] = {
    "Timeout": K.TIMEOUT,
    "ContextWindowExceededError": K.CONTEXT_LENGTH,
    "ContentPolicyViolationError": K.CONTENT_POLICY,
}
"""LiteLLM's exceptions that say more than their status."""


def judge(error: BaseException, wire: Wire) -> Verdict:
    """The verdict on an exception of LiteLLM's, by what the wire saw."""
    if wire.fault is not None:
        return classify(Evidence(wire.status, wire.headers, fault=wire.fault, reason=wire.reason))
    if wire.requests and wire.status is not None:
        if wire.status < 300:  # noqa: PLR2004
            return inside(wire, "answer could not be read")
        return classify(Evidence(wire.status, wire.headers, wire.body))
    if wire.requests:
        return Verdict(K.CONNECTION, "no answer")
    if wire.ours:
        return classify(Evidence(sent=False, reason=f"{type(error).__name__} before it was sent"))
    return _judge_foreign(error)


def inside(wire: Wire, reason: str) -> Verdict:
    """The verdict on a 2xx that is no answer; an error event in its last bytes names the kind."""
    return classify(
        Evidence(wire.status or 200, wire.headers, wire.tail, error_in_stream=True, reason=reason)
    )


def _judge_foreign(error: BaseException) -> Verdict:
    """The same where LiteLLM used a client of its own: by its exception and that one's causes."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, httpx.HTTPStatusError):
            answer = current.response
            return classify(Evidence(answer.status_code, answer.headers, _body(answer)))
        if (fault := socket_fault(current)) is not None:
            return classify(Evidence(fault=fault[0], reason=fault[1]))
        current = current.__cause__ or current.__context__
    named = _BY_NAME.get(type(error).__name__)
    if named is not None:
        return Verdict(named, status=getattr(error, "status_code", None))
    response = getattr(error, "response", None)
    headers = {k.lower(): v for k, v in (getattr(response, "headers", None) or {}).items()}
    return classify(Evidence(headers=headers, hint=getattr(error, "status_code", None)))


def _body(response: httpx.Response) -> bytes:
    try:
        return response.content
    except httpx.StreamError:  # it was not read
        return b""
