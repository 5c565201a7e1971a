"""The counters of one provider, or of one deployment. Not safe by itself from several threads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from llm_unified.observe.events import AttemptEnded
from llm_unified.observe.figures import Figures, Tokens
from llm_unified.observe.histogram import Histogram

__all__ = ["Tally"]


@dataclass(slots=True)
class Tally:
    """Counts what it is told."""

    calls: int = 0
    attempts: int = 0
    errors: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    fallbacks_in: int = 0
    fallbacks_out: int = 0
    in_flight: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost_usd: float = 0.0
    seconds: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)
    opened: int = 0
    reused: int = 0

    def attempt(self, event: AttemptEnded) -> None:
        """One that was sent for a user's request."""
        attempt = event.attempt
        self.attempts += 1
        self.opened += event.connections_opened
        self.reused += event.connections_reused
        if attempt.kind is None:
            self.seconds.add(attempt.seconds)
            if attempt.first_token_seconds is not None:
                self.first_token.add(attempt.first_token_seconds)
        else:
            self.errors += 1
            self.kinds[attempt.kind.value] += 1
        usage = attempt.usage
        if usage is not None:
            self.prompt += usage.prompt_tokens
            self.completion += usage.completion_tokens
            self.cached += usage.cached_tokens
            self.cache_write += usage.cache_write_tokens
            self.reasoning += usage.reasoning_tokens
        if attempt.cost_usd is not None:
            self.cost_usd += attempt.cost_usd

    def connected(self, event: AttemptEnded) -> None:
        """A ping."""
        self.opened += event.connections_opened
        self.reused += event.connections_reused

    @property
    def tokens(self) -> Tokens:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "cached_tokens": self.cached,
            "cache_write_tokens": self.cache_write,
            "reasoning_tokens": self.reasoning,
        }

    def as_dict(self) -> Figures:
        return {
            "calls": self.calls,
            "attempts": self.attempts,
            "answers": self.attempts - self.errors,
            "errors": self.errors,
            "errors_by_kind": dict(self.kinds),
            "fallbacks_in": self.fallbacks_in,
            "fallbacks_out": self.fallbacks_out,
            "in_flight": self.in_flight,
            "tokens": self.tokens,
            "cost_usd": self.cost_usd,
            "latency": self.seconds.as_dict(),
            "first_token": self.first_token.as_dict(),
            "connections": {"opened": self.opened, "reused": self.reused},
        }
