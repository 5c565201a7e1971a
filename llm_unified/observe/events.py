"""What a service says while it works: one frozen value for each thing that happens.

Of one call, in this order::

    CallStarted
      FellBack?                          somebody else than the first (or the last one asked) is asked
      AttemptStarted … AttemptEnded      always in pairs; between them the request is sent, if it is
      CooledDown? QuotaSpent? Misconfigured? BreakerChanged*
      …
    CallEnded                            exactly one, however it ended

A ping is one pair of `AttemptStarted` and `AttemptEnded` with ``operation="ping"`` and no call around it.
All durations are seconds, all costs US dollars. Texts are categories of ours, never an upstream's words;
prompts and answers are only in the fields that say so, which no ``repr`` shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from llm_unified.logs import log
from llm_unified.pool.upstream import Upstream
from llm_unified.response import Attempt, Embedding, FailureKind, LLMResponse, Usage

__all__ = [
    "AttemptEnded",
    "AttemptStarted",
    "BreakerChanged",
    "CallEnded",
    "CallOutcome",
    "CallStarted",
    "CooledDown",
    "Event",
    "FellBack",
    "Misconfigured",
    "Operation",
    "QuotaSpent",
    "Reloaded",
    "Sending",
    "Upstream",
]

Operation = Literal["chat", "embeddings", "ping"]
CallOutcome = Literal["answered", "failed", "cancelled", "interrupted"]
"""``interrupted``: a stream broke after its first content. ``cancelled``: the caller went away."""


@dataclass(slots=True)
class Sending:
    """What an *inline* subscriber of `AttemptStarted` may hang on the request before it leaves."""

    headers: dict[str, str] = field(default_factory=dict)
    """Sent along, e.g. ``traceparent``. They never replace a header of the request itself."""
    scopes: list[AbstractContextManager[object]] = field(default_factory=list)
    """Entered, in the task that sends, until the answer's headers came; left before anybody reads on."""
    gaps: list[float] | None = None
    """Set it to a list to get ``AttemptEnded.chunk_seconds``."""
    _entered: list[AbstractContextManager[object]] = field(default_factory=list, repr=False)

    def __enter__(self) -> None:
        for scope in self.scopes:
            with _harmless(scope):
                scope.__enter__()
                self._entered.append(scope)

    def __exit__(self, *_: object) -> None:
        while self._entered:
            scope = self._entered.pop()
            with _harmless(scope):
                scope.__exit__(None, None, None)


@contextmanager
def _harmless(scope: object) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a subscriber hurts no request
        name = type(scope).__qualname__
        if name not in _said:
            _said.add(name)
            log(
                "error",
                "subscriber_failed",
                subscriber=name,
                error=type(error).__name__,
                failures=1,
            )


_said: set[str] = set()
"""Scopes that raised: it is said once."""


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A caller asked for something, and there is a configuration to ask on."""

    call_id: str
    operation: Operation
    stream: bool
    chain: tuple[str, ...]
    """The providers in order; the first is asked first."""
    upstream: Upstream
    """The first deployment of the first provider: the vendor and model that are meant."""
    messages: Sequence[Any] = field(repr=False)
    """**Content**: the conversation; for embeddings the texts. Not to be changed."""
    params: Mapping[str, Any] = field(repr=False)
    """**Content** in part (tools, schemas): the other parameters, in OpenAI's words. Not to be changed."""


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """One deployment is about to be asked."""

    call_id: str
    operation: Operation
    stream: bool
    upstream: Upstream
    sending: Sending = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """Its verdict is known. ``attempt.sent`` says whether a request left at all; if not, it counts nowhere."""

    call_id: str
    operation: Operation
    stream: bool
    upstream: Upstream
    attempt: Attempt
    """Outcome, kind, status, seconds, tokens, cost, what was adapted."""
    cooldown_seconds: float = 0.0
    """How long the deployment, or its key, is left alone because of this; 0.0: not at all."""
    misconfigured: bool = False
    """Somebody must change a setting before this can work."""
    response_model: str | None = None
    """As the upstream calls the model that answered."""
    response_id: str | None = None
    """The upstream's own id of the answer."""
    finish_reason: str | None = None
    """In OpenAI's words."""
    chunk_seconds: Sequence[float] = field(default=(), repr=False)
    """Streams, where an inline subscriber asked for it (`Sending.gaps`): how long after the one before each
    chunk came, from the second on. Chunks that the network delivered together are one."""
    requests: int = 0
    """HTTP requests that it took: redirects, and embeddings in several parts, take more than one."""
    connections_opened: int = 0
    connections_reused: int = 0


@dataclass(frozen=True, slots=True)
class FellBack:
    """Another provider is asked instead."""

    call_id: str
    operation: Operation
    stream: bool
    source: str
    """Who is not asked, or not asked again."""
    target: str
    """Who is asked now."""
    source_deployment: str | None
    """The one of ``source`` that was asked last; ``None``: none was."""
    target_deployment: str
    kind: FailureKind | None
    """How ``source`` failed; ``None``: it cooled down and was not asked."""


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A circuit breaker changed its state: one of ``"closed"``, ``"open"``, ``"half-open"``."""

    call_id: str | None
    """Whose attempt it was; ``None``: another process's."""
    provider: str
    deployment: str
    """Whose attempt it was; all with the same endpoint, or key, share the breaker."""
    scope: Literal["endpoint", "key"]
    before: str
    after: str
    kind: FailureKind | None
    """Why it is, or was, open."""
    seconds: float
    """Until a probe may be made; 0.0 when closed."""


@dataclass(frozen=True, slots=True)
class CooledDown:
    """A deployment (with all that share its endpoint, or its key) is left alone for a while."""

    call_id: str | None
    """Whose attempt it was; ``None``: another process's."""
    provider: str
    deployment: str
    kind: FailureKind
    seconds: float
    asked_for: bool
    """The upstream named that time (``Retry-After``)."""


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """A key or a model is refused: said once, until it works again."""

    call_id: str
    operation: Operation
    upstream: Upstream
    attempt: Attempt
    cooldown_seconds: float


@dataclass(frozen=True, slots=True)
class QuotaSpent:
    """The money or quota of a key is spent: said once, until it works again."""

    call_id: str
    operation: Operation
    upstream: Upstream
    attempt: Attempt
    cooldown_seconds: float


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Another configuration is in force."""

    chain: tuple[str, ...]
    pool_size: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """One call is over. Usage and costs are those of all its attempts together, as far as they are known."""

    call_id: str
    operation: Operation
    stream: bool
    chain: tuple[str, ...]
    outcome: CallOutcome
    upstream: Upstream
    """The last one asked: who answered, if anybody did; as in `CallStarted` where nobody was asked."""
    attempts: tuple[Attempt, ...]
    seconds: float
    first_token_seconds: float | None
    """Streams: from the call's beginning until the first content, tool or reasoning delta."""
    by_fallback: bool
    """Another provider than the first of the chain answered (or was interrupted)."""
    usage: Usage | None = None
    cost_usd: float | None = None
    kind: FailureKind | None = None
    """How the last attempt failed; ``None`` also where none was made."""
    error: BaseException | None = field(default=None, repr=False)
    """What the caller gets instead of an answer."""
    response_model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    response: LLMResponse | Embedding | None = field(default=None, repr=False)
    """**Content**: the answer."""


Event: TypeAlias = (
    CallStarted
    | AttemptStarted
    | AttemptEnded
    | FellBack
    | BreakerChanged
    | CooledDown
    | Misconfigured
    | QuotaSpent
    | Reloaded
    | CallEnded
)
