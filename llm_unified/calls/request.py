"""What one call asks for (frozen), and what has happened to it so far (`Trail`)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from llm_unified.errors import BadRequestError
from llm_unified.observe.events import AttemptEnded, Operation
from llm_unified.pool.deployments import Deployment
from llm_unified.response import Attempt, LLMResponse
from llm_unified.settings import Settings

__all__ = ["Asked", "Operation", "Request", "Trail", "json_copy"]

_LEAVES: Final = frozenset({str, int, float, bool, type(None)})
_DEEPEST: Final = 100
"""Levels of nesting in messages and parameters; vendors' own limits are far below."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call as its caller meant it; nothing in it changes."""

    chain: tuple[str, ...]
    """Providers in order; the first is asked first."""
    messages: Sequence[Any] = field(repr=False)
    """Conversation; texts, for embeddings."""
    params: Mapping[str, Any] = field(repr=False)
    deadline: float | None = None
    """Seconds for the whole call; ``None``: as configured."""
    timeout: float | None = None
    """Seconds for one attempt; ``None``: as configured."""
    operation: Operation = "chat"
    stream: bool = False
    model: str | None = None
    """Overrides the first provider's model; for embeddings, the model that all are asked for."""
    accept: Callable[[LLMResponse], Any] | None = None
    parser: Callable[[str], Any] | None = None
    """Makes ``response.parsed`` of the content; raises ValueError where it is not what was asked for."""

    @property
    def counted(self) -> bool:
        """Whether it is a user's request; pings are not."""
        return self.operation != "ping"

    def model_for(self, deployment: Deployment) -> str:
        """What this deployment is asked for: the call's own model, if it is meant for its provider."""
        meant = self.operation == "embeddings" or deployment.provider == self.chain[0]
        return self.model if self.model is not None and meant else deployment.model


Asked = Callable[[Settings], Request]
"""A caller's arguments, checked and copied; what they mean under the configuration of the call's begin."""


@dataclass(slots=True)
class Trail:
    """What one call has been through."""

    deadline: float
    """Seconds for the whole call."""
    started: float = field(default_factory=time.monotonic)
    attempts: list[Attempt] = field(default_factory=list)
    call_id: str = field(default_factory=lambda: os.urandom(8).hex())
    """Ours, for events, logs, spans and errors of this call."""
    first_token: float | None = None
    """Seconds from its beginning until a stream's first content."""
    ended: AttemptEnded | None = None
    """The last attempt, as it was published."""
    cause: BaseException | None = None
    """The foreign exception behind the last failure, if there is one."""
    credentials: set[str] = field(default_factory=set)
    """Keys that were asked in this round."""

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; negative behind it."""
        return self.started + self.deadline - time.monotonic()


def json_copy(value: Any, name: str, depth: int = 0) -> Any:
    """A copy of JSON-like data, in which the caller cannot change anything later: leaves are shared.

    Raises:
        BadRequestError: it is too deep, refers to itself, or holds what is no JSON.
    """
    kind = value.__class__
    if kind in _LEAVES:
        return value
    if depth > _DEEPEST:
        raise _too_deep(name)
    deeper = depth + 1
    if kind is dict or isinstance(value, Mapping):
        return {
            key: item if item.__class__ in _LEAVES else json_copy(item, name, deeper)
            for key, item in value.items()
        }
    if kind is list or isinstance(value, list | tuple):
        return [json_copy(item, name, deeper) for item in value]
    if isinstance(
        value, str | int | float | type
    ):  # subclasses; a pydantic model as `response_format`
        return value
    raise BadRequestError(f"{name} holds a {kind.__name__}, which is no JSON; send plain data")


def _too_deep(name: str) -> BadRequestError:
    return BadRequestError(
        f"{name} is nested more than {_DEEPEST} levels deep, or refers to itself; send plain data"
    )
