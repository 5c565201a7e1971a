"""Everything that this library raises, in one tree.

::

    LLMError
    ├── ConfigurationError         every problem at once, each naming its variable and the next step
    ├── BadRequestError            the caller's fault; exactly one upstream request was made
    ├── AllProvidersFailedError    .attempts  .retry_after (s or None)
    │   └── DeadlineExceededError  says how the time was spent
    ├── StreamInterruptedError     after the first content: .partial_text .tool_calls .usage .attempts
    └── ServiceClosedError

No exception of LiteLLM, openai, httpx or pydantic escapes; the foreign one, where there is one, is the
``__cause__`` after its secrets were removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llm_unified.response import Attempt, FailureKind, ToolCallDelta, Usage

__all__ = [
    "AllProvidersFailedError",
    "BadRequestError",
    "ConfigurationError",
    "DeadlineExceededError",
    "LLMError",
    "ServiceClosedError",
    "StreamInterruptedError",
]


class LLMError(Exception):
    """Base of every error raised on purpose.

    ``attempts`` lists what was tried, in order; it is empty where nothing was. ``call_id`` is ours, the same in
    this call's events, logs and spans; ``None`` where no call had begun.
    """

    call_id: str | None = None

    def __init__(self, message: str, *, attempts: Iterable[Attempt] = ()) -> None:
        super().__init__(message)
        self.attempts: tuple[Attempt, ...] = tuple(attempts)

    def __reduce__(self) -> Any:
        """Pickled whole, for worker pools; a foreign ``__cause__`` stays behind."""
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(kind: type[LLMError], args: tuple[Any, ...], state: dict[str, Any]) -> LLMError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ConfigurationError(LLMError):
    """The configuration is wrong. ``problems`` holds every problem, each a sentence with a next step."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        if len(self.problems) == 1:
            message = self.problems[0]
        else:
            lines = "".join(f"\n  {i}. {p}" for i, p in enumerate(self.problems, 1))
            message = f"{len(self.problems)} problems in the configuration:{lines}"
        super().__init__(message)


class BadRequestError(LLMError):
    """The provider refused the request as wrong; another provider would do the same."""

    def __init__(
        self,
        message: str,
        *,
        attempts: Iterable[Attempt] = (),
        kind: FailureKind = FailureKind.BAD_REQUEST,
        status: int | None = None,
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.kind = kind
        self.status = status


class AllProvidersFailedError(LLMError):
    """Nobody answered.

    ``retry_after`` is the number of seconds until the first provider is worth asking again, or ``None``
    where nobody said.
    """

    def __init__(
        self, message: str, *, attempts: Iterable[Attempt] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.retry_after = retry_after


class DeadlineExceededError(AllProvidersFailedError):
    """The call's deadline passed before anybody answered; the message says how the time was spent."""


class StreamInterruptedError(LLMError):
    """A stream broke after its first content, when switching would splice two models.

    ``partial_text`` and ``tool_calls`` are what had arrived, ``usage`` what was counted until then (or
    ``None``), ``kind`` says why it ended.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: FailureKind,
        partial_text: str = "",
        tool_calls: Iterable[ToolCallDelta] = (),
        usage: Usage | None = None,
        attempts: Iterable[Attempt] = (),
    ) -> None:
        super().__init__(message, attempts=attempts)
        self.kind = kind
        self.partial_text = partial_text
        self.tool_calls: tuple[ToolCallDelta, ...] = tuple(tool_calls)
        self.usage = usage


class ServiceClosedError(LLMError):
    """The service was closed; build a new one."""
