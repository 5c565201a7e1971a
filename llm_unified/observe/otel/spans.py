"""Calls, attempts and pings as OpenTelemetry spans.

The attempt's span is the conventions' inference (or embeddings) span: it is the one with a provider, a model
and tokens. The call's span above it says what the caller got, and is no error when somebody answered.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import baggage, context, propagate
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context

from llm_unified.errors import LLMError
from llm_unified.observe.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    FellBack,
    Upstream,
)
from llm_unified.observe.otel.attributes import (
    request_attributes,
    response_attributes,
    upstream_attributes,
)
from llm_unified.observe.otel.calls import error_type
from llm_unified.observe.otel.content import asked_content, told_content
from llm_unified.observe.otel.vocabulary import Vocabulary
from llm_unified.observe.publisher import Listener

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context

__all__ = ["Spans"]

_MOST_KEPT: Final = 1000
"""Sets of attributes that are made once; a caller may ask for any number of models."""


@dataclass(slots=True)
class _Call:
    span: Span
    context: Context
    request: dict[str, Any]
    """What each attempt's span says of the request."""
    answered: tuple[Span, int] | None = None
    """The answering attempt's span and the moment of its end, while its content is still to come."""


@dataclass(slots=True)
class _Open:
    """What is under way, by call id."""

    calls: dict[str, _Call] = field(default_factory=dict)
    attempts: dict[str, Span] = field(default_factory=dict)


class _Current(AbstractContextManager[None]):
    """Makes a span current."""

    def __init__(self, inside: Context) -> None:
        self._inside = inside
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        self._token = context.attach(self._inside)

    def __exit__(self, *_: object) -> None:
        # A stream may be closed by another task than the one that opened it, where this was never current.
        if self._token is not None and context.get_current() is self._inside:
            context.detach(self._token)


class Spans:
    """The spans of one service. Called where things happen, so that the caller's span is the current one."""

    def __init__(self, tracer: Tracer, vocabulary: Vocabulary, *, content: bool) -> None:
        self._tracer, self._vocabulary, self._content = tracer, vocabulary, content
        self._open = _Open()
        self._upstreams: dict[tuple[str, Upstream], dict[str, Any]] = {}

        self.handlers: dict[type[Event], Listener] = {
            CallStarted: self._call_started,
            FellBack: self._fell_back,
            AttemptStarted: self._attempt_started,
            AttemptEnded: self._attempt_ended,
            CallEnded: self._call_ended,
        }
        """Who takes which events."""

    # -- calls -----------------------------------------------------------------------------------

    def _call_started(self, event: CallStarted) -> None:
        span = self._tracer.start_span(
            f"llm_unified.{event.operation}",
            kind=SpanKind.INTERNAL,
            attributes={
                "llm_unified.call_id": event.call_id,
                "llm_unified.chain": ", ".join(event.chain),
                "llm_unified.stream": event.stream,
            },
        )
        request: dict[str, Any] = {}
        if span.is_recording():
            request = request_attributes(event, self._vocabulary)
            if self._content:
                request |= asked_content(event)
        inside = set_span_in_context(span)
        self._open.calls[event.call_id] = _Call(span, inside, request)

    def _fell_back(self, event: FellBack) -> None:
        call = self._open.calls.get(event.call_id)
        if call is not None:
            reason = "cooldown" if event.kind is None else event.kind.value
            call.span.add_event(
                "llm_unified.fallback",
                {
                    "llm_unified.from": event.source,
                    "llm_unified.to": event.target,
                    "llm_unified.reason": reason,
                },
            )

    def _call_ended(self, event: CallEnded) -> None:
        call = self._open.calls.pop(event.call_id, None)
        if call is None:
            return
        if call.answered is not None:
            answered, ended = call.answered
            answered.set_attributes(told_content(event))
            answered.end(ended)
        span = call.span
        if span.is_recording():
            attributes: dict[str, Any] = {
                "llm_unified.outcome": event.outcome,
                "llm_unified.provider": event.upstream.provider,
                "llm_unified.attempts": len(event.attempts),
                "llm_unified.fallback": event.by_fallback,
            }
            if event.cost_usd is not None:
                attributes["llm_unified.cost_usd"] = event.cost_usd
            error = error_type(event)
            if error is not None:
                attributes["error.type"] = error
                ours = isinstance(event.error, LLMError)  # others could say anything
                span.set_status(StatusCode.ERROR, str(event.error) if ours else None)
            span.set_attributes(attributes)
        span.end()

    # -- attempts and pings ----------------------------------------------------------------------

    def _attempt_started(self, event: AttemptStarted) -> None:
        call = self._open.calls.get(event.call_id)
        if call is not None and not call.span.is_recording():
            inside = call.context  # not sampled: its children would not be either
        else:
            inside = self._started(event, call)
        event.sending.scopes.append(_Current(inside))
        # The trace goes upstream, the application's baggage does not: that is another company's server.
        propagate.inject(event.sending.headers, baggage.clear(inside))

    def _started(self, event: AttemptStarted, call: _Call | None) -> Context:
        ping = event.operation == "ping"
        attributes = self._of_upstream(event.operation, event.upstream)
        parent = context.get_current() if call is None else call.context
        span = self._tracer.start_span(
            "llm_unified.ping" if ping else f"{event.operation} {event.upstream.model}",
            parent,
            SpanKind.CLIENT,
            attributes if call is None else {**attributes, **call.request},
        )
        self._open.attempts[event.call_id] = span
        return set_span_in_context(span, parent)

    def _attempt_ended(self, event: AttemptEnded) -> None:
        span = self._open.attempts.pop(event.call_id, None)
        if span is None:
            return
        attempt = event.attempt
        if span.is_recording():
            span.set_attributes(response_attributes(event, self._vocabulary))
            if attempt.kind is not None:
                span.set_status(StatusCode.ERROR, attempt.reason or None)
        call = self._open.calls.get(event.call_id)
        if self._content and call is not None and attempt.outcome == "answered":
            call.answered = (span, time.time_ns())
        else:
            span.end()

    def _of_upstream(self, operation: str, upstream: Upstream) -> dict[str, Any]:
        found = self._upstreams.get((operation, upstream))
        if found is None:
            found = {
                **upstream_attributes(operation, upstream),
                "llm_unified.deployment": upstream.deployment,
            }
            if len(self._upstreams) < _MOST_KEPT:
                self._upstreams[operation, upstream] = found
        return found
