"""Attempts, calls and pings as OpenTelemetry metrics."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from llm_unified.observe.events import AttemptEnded, AttemptStarted, CallEnded, Event
from llm_unified.observe.otel.attributes import upstream_attributes
from llm_unified.observe.otel.calls import calls_of
from llm_unified.observe.otel.vocabulary import (
    SECONDS_BUCKETS,
    TOKEN_BUCKETS,
    Vocabulary,
)
from llm_unified.observe.publisher import Listener
from llm_unified.response import Usage

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, Meter

__all__ = ["Metrics"]

_Attributes = dict[str, str | int]
_TOGETHER: Final = 64
"""So many attempts are recorded in one go, or as many as there are when somebody collects: the SDK's code is
then warm, which halves what it costs a call."""
_MOST_KEPT: Final = 1000
"""Sets of attributes that are made once; a caller may ask for any number of models."""


class Metrics:
    """The instruments of one service."""

    def __init__(self, meter: Meter, vocabulary: Vocabulary) -> None:
        def seconds(name: str, words: str) -> Histogram:
            return meter.create_histogram(
                name, "s", words, explicit_bucket_boundaries_advisory=SECONDS_BUCKETS
            )

        def tokens(name: str, words: str) -> Histogram:
            return meter.create_histogram(
                name, "{token}", words, explicit_bucket_boundaries_advisory=TOKEN_BUCKETS
            )

        v = vocabulary
        chat = seconds(v.chat_duration, "Duration of one attempt at one provider.")
        same = v.embeddings_duration == v.chat_duration
        self._durations = {
            "chat": chat,
            "embeddings": chat
            if same
            else seconds(v.embeddings_duration, "Duration of one attempt at one provider."),
            "ping": seconds("llm_unified.ping.duration", "Duration of a ping."),
        }
        self._calls = calls_of(meter)
        self._first_chunk = seconds(v.first_chunk, "Time to receive the first chunk of a stream.")
        self._output_chunk = seconds(
            v.output_chunk, "Time between two chunks of a stream, from the second on."
        )
        self._usage = _tokens_of_v1_41(v, tokens) or _TokensOfLatest(v, meter, tokens)
        self._waiting: deque[AttemptEnded] = deque()
        self._calls.before.add(self)
        self._kept: dict[tuple[str, str, str, str | None], _Attributes] = {}

        self.handlers: dict[type[Event], Listener] = {
            AttemptStarted: self._attempt_started,
            AttemptEnded: self._attempt_ended,
            CallEnded: self._calls.take,
        }
        """Who takes which events."""

    def _attempt_started(self, event: AttemptStarted) -> None:
        if event.stream:
            event.sending.gaps = []

    def _attempt_ended(self, event: AttemptEnded) -> None:
        if event.attempt.sent:
            self._waiting.append(event)
            if len(self._waiting) >= _TOGETHER:
                self.flush()

    def flush(self) -> None:
        """Record what waits."""
        while True:
            try:
                event = self._waiting.popleft()
            except IndexError:
                return
            self._record(event)

    def _record(self, event: AttemptEnded) -> None:
        attempt, operation = event.attempt, event.operation
        base = self._attributes(event)
        whole = base if attempt.kind is None else {**base, "error.type": attempt.kind.value}
        self._durations[operation].record(attempt.seconds, whole)
        if operation == "ping":
            return
        self._usage(operation, attempt.usage, base)
        if event.stream and attempt.first_token_seconds is not None:
            self._first_chunk.record(attempt.first_token_seconds, base)
            for gap in event.chunk_seconds:
                self._output_chunk.record(gap, base)

    def _attributes(self, event: AttemptEnded) -> _Attributes:
        upstream, operation = event.upstream, event.operation
        key = (operation, upstream.deployment, upstream.model, event.response_model)
        found = self._kept.get(key)
        if found is None:
            found = upstream_attributes(operation, upstream)
            if operation != "ping" and event.response_model is not None:
                found["gen_ai.response.model"] = event.response_model
            if len(self._kept) < _MOST_KEPT:
                self._kept[key] = found
        return found


def _tokens_of_v1_41(vocabulary: Vocabulary, tokens: Any) -> Any:
    if vocabulary.token_usage is None:
        return None
    used = tokens(vocabulary.token_usage, "Tokens of one attempt.")

    def record(operation: str, usage: Usage | None, base: _Attributes) -> None:
        if usage is None:
            return
        used.record(usage.prompt_tokens, {**base, "gen_ai.token.type": "input"})
        if operation != "embeddings":
            used.record(usage.completion_tokens, {**base, "gen_ai.token.type": "output"})

    return record


class _TokensOfLatest:
    """Counters of what was spent, 0 where nothing was counted, and histograms of single requests."""

    def __init__(self, vocabulary: Vocabulary, meter: Meter, tokens: Any) -> None:
        def counter(name: str, words: str) -> Counter:
            return meter.create_counter(f"{vocabulary.usage}{name}", "{token}", words)

        self._counters = (
            (counter("input_tokens", "Input tokens, cached ones included."), "prompt_tokens"),
            (
                counter("output_tokens", "Output tokens, reasoning included."),
                "completion_tokens",
            ),
            (counter("cache_read.input_tokens", "Read from a cache."), "cached_tokens"),
            (counter("cache_write.input_tokens", "Written to a cache."), "cache_write_tokens"),
            (counter("reasoning.output_tokens", "Spent on reasoning."), "reasoning_tokens"),
        )
        self._input = tokens(f"{vocabulary.chat_tokens}input_tokens", "Input of one request.")
        self._output = tokens(f"{vocabulary.chat_tokens}output_tokens", "Output of one request.")
        self._embedded = tokens(vocabulary.embeddings_tokens, "Input of one request.")

    def __call__(self, operation: str, usage: Usage | None, base: _Attributes) -> None:
        if operation == "embeddings":
            if usage is not None:
                self._embedded.record(usage.prompt_tokens, base)
            return
        by_modality = {**base, "gen_ai.token.modality": "unknown"}
        for place, (counter, name) in enumerate(self._counters):
            count = 0 if usage is None else getattr(usage, name)
            if count or place < 2:  # noqa: PLR2004 - the subsets of these two only where there are any
                counter.add(count, by_modality)
        if usage is not None:
            self._input.record(usage.prompt_tokens, base)
            self._output.record(usage.completion_tokens, base)
