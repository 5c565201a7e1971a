"""One call of the service on its way: what is asked, and what happened so far."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from llm_unified.response import Attempt, FailureKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from llm_unified.engine import Engine
    from llm_unified.live import LiveStream
    from llm_unified.policy import Verdict
    from llm_unified.pool.deployments import Deployment
    from llm_unified.response import Embedding, LLMResponse, Outcome, Usage
    from llm_unified.wire.transport import Wire

__all__ = ["CALL", "Call", "NextError", "PendingAttempt", "StopError"]


@dataclass(slots=True)
class Call:
    """One call of the service on its way: what is asked, and what happened so far."""

    chain: tuple[str, ...]
    """Providers in order; the first is asked first."""
    messages: Sequence[Any]
    params: dict[str, Any]
    deadline: float
    """Seconds for the whole call."""
    timeout: float | None = None
    """Seconds for one attempt; ``None``: as configured."""
    model: str | None = None
    """Overrides the first provider's model."""
    embeds: bool = False
    """Embeddings are wanted: ``messages`` are texts, and ``model`` is for all providers."""
    accept: Callable[[LLMResponse], Any] | None = None
    parser: Callable[[str], Any] | None = None
    stream: bool = False
    pinned: Deployment | None = None
    """Ask this copy and nobody else (a ping)."""
    empty_is_fine: bool = False
    counted: bool = True
    """Whether it is a user's request; pings are not."""
    rehearsal: bool = False
    """Nothing is sent: no trace in rests, statistics or log."""

    started: float = field(default_factory=time.monotonic)
    attempts: list[Attempt] = field(default_factory=list)
    answer: LLMResponse | None = None
    opened: LiveStream | None = None
    embedding: Embedding | None = None
    cause: BaseException | None = None
    order: tuple[str, ...] = ()
    forced: str | None = None
    engine: Engine | None = None
    """Who carries it out; a reload meanwhile changes nothing for this call."""
    clients: dict[str, Any] | None = None
    """The pool copies' clients in this event loop."""
    current: Deployment | None = None
    """The copy that is being asked."""
    attempt: Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]] | None = None
    """What the Router's attempt at a provider goes through: the turn, the limit, the verdict."""

    @property
    def remaining(self) -> float:
        return self.started + self.deadline - time.monotonic()

    def model_for(self, deployment: Deployment) -> str:
        """What this copy is asked for: the call's own model, if it is meant for this provider."""
        if self.model is not None and (self.embeds or deployment.provider == self.chain[0]):
            return self.model
        return deployment.model


@dataclass(slots=True)
class PendingAttempt:
    """One attempt under way at one pool copy."""

    call: Call
    deployment: Deployment
    wire: Wire
    budget: float
    """Seconds that it may take."""
    began: float = field(default_factory=time.monotonic)
    first_token: float | None = None
    """Seconds until the first content of a stream."""

    @property
    def model(self) -> str:
        return self.call.model_for(self.deployment)

    def ended(
        self, verdict: Verdict | None, usage: Usage | None = None, cost: float | None = None
    ) -> Attempt:
        """What is told of it; ``verdict`` is ``None`` when it answered."""
        kind = None if verdict is None else verdict.kind
        status = None if verdict is None else verdict.status
        return Attempt(
            provider=self.deployment.provider,
            model=self.model,
            deployment=self.deployment.id,
            outcome=_OUTCOMES.get(kind, "failed"),
            kind=kind,
            status=self.wire.status if status is None else status,
            seconds=time.monotonic() - self.began,
            first_token_seconds=self.first_token,
            request_id=self.wire.request_id,
            retry_after=None if verdict is None else verdict.retry_after,
            reason="" if verdict is None else verdict.reason,
            usage=usage,
            cost_usd=cost,
        )


_OUTCOMES: Final[Mapping[FailureKind | None, Outcome]] = {
    None: "answered",
    FailureKind.CANCELLED: "cancelled",
}


class NextError(Exception):
    """This provider did not answer; the Router goes on to the next. Internal."""


class StopError(BaseException):
    """Nobody else is to be asked. Internal.

    Not an `Exception`, so LiteLLM's fallback does not catch it.
    """

    def __init__(self, error: BaseException, cause: BaseException | None = None) -> None:
        super().__init__()
        self.error, self.cause = error, cause


CALL: ContextVar[Call | None] = ContextVar("llm_unified_call", default=None)
"""The call that this task works for."""
