"""How long a call, an attempt and a silence may last: as asked, else as configured, else what suits the model.

A model that reasons may think for minutes without a word, which the defaults would take for a hang. Where
nobody set a limit, a call that reasons gets these instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from llm_unified.calls.request import Request
from llm_unified.settings import Settings

__all__ = ["REASONING_DEADLINE_SECONDS", "REASONING_TIMEOUT_SECONDS", "Limits"]

REASONING_TIMEOUT_SECONDS: Final = 600.0
"""Of one attempt, of the wait for its first content, and of a silence between two events of its stream.
Source: the default timeout of OpenAI's and Anthropic's own SDKs, ten minutes."""
REASONING_DEADLINE_SECONDS: Final = 2 * REASONING_TIMEOUT_SECONDS
"""Of the whole call: when one has hung for all of its time, as much is left for the next."""


class Limits:
    """Of one call."""

    def __init__(
        self, request: Request, settings: Settings, reasons: Callable[[str], bool]
    ) -> None:
        """``reasons``: whether the model that this provider is asked for thinks unasked."""
        self._request, self._settings = request, settings
        self._asked = _asked_to_reason(request)
        self._reasons = reasons

    def reasoning(self, provider: str) -> bool:
        """Whether it will think before it answers."""
        return self._reasons(provider) if self._asked is None else self._asked

    @property
    def deadline(self) -> float:
        """Seconds for the whole call."""
        if self._request.deadline is not None:
            return self._request.deadline
        chain = self._request.chain
        return self._of("deadline", REASONING_DEADLINE_SECONDS, any(map(self.reasoning, chain)))

    def attempt(self, provider: str) -> float:
        """Seconds for one attempt, as configured."""
        own = self._settings.provider(provider).timeout
        return own or self._of("timeout", REASONING_TIMEOUT_SECONDS, self.reasoning(provider))

    def first_token(self, provider: str) -> float:
        """Seconds until a stream's first sign of life."""
        return self._of("first_token_timeout", REASONING_TIMEOUT_SECONDS, self.reasoning(provider))

    def idle(self, provider: str) -> float:
        """Seconds of silence in a stream."""
        return self._of("stream_idle_timeout", REASONING_TIMEOUT_SECONDS, self.reasoning(provider))

    def _of(self, name: str, reasoning: float, reasons: bool) -> float:
        configured: float = getattr(self._settings, name)
        if reasons and self._settings.is_default(name):
            return max(configured, reasoning)
        return configured


def _asked_to_reason(request: Request) -> bool | None:
    """``None``: the call says nothing about it."""
    effort, thinking = request.params.get("reasoning_effort"), request.params.get("thinking")
    if request.operation != "chat":
        return False
    if thinking is not None:
        return not (isinstance(thinking, dict) and thinking.get("type") == "disabled")
    return None if effort is None else effort != "none"
