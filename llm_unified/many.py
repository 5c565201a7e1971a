"""Many conversations at once: order kept, failures as values, one deadline per item."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Protocol

from llm_unified.calls.request import json_copy
from llm_unified.errors import BadRequestError, LLMError
from llm_unified.response import LLMResponse

__all__ = ["ask_many"]


class _Bar(Protocol):
    def __call__(self) -> None: ...


async def ask_many(
    ask: Callable[[Any], Awaitable[LLMResponse]],
    conversations: Iterable[Any],
    *,
    concurrency: int,
    progress: bool,
) -> list[LLMResponse | LLMError]:
    """``ask`` each conversation, at most ``concurrency`` at a time; what failed is its `LLMError`.

    What else ``ask`` raises ends the other calls and is raised.

    Raises:
        BadRequestError: ``concurrency`` or ``conversations`` are of no use.
    """
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise BadRequestError(
            f"concurrency must be a whole number of at least 1, not {concurrency!r:.40}"
        )
    if isinstance(conversations, str | bytes | Mapping) or not isinstance(conversations, Iterable):
        raise BadRequestError("conversations must be a list of lists of messages")
    conversations = [_kept(conversation) for conversation in conversations]
    results: list[LLMResponse | LLMError | None] = [None] * len(conversations)
    waiting = iter(enumerate(conversations))

    async def worker(step: _Bar) -> None:
        for place, conversation in waiting:
            try:
                results[place] = await ask(conversation)
            except LLMError as error:
                results[place] = error
            step()

    with _bar(len(conversations), shown=progress) as step:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(conversations))):
                    group.create_task(worker(step))
        except BaseExceptionGroup as raised:
            raise raised.exceptions[0] from None
    return [result for result in results if result is not None]


def _kept(conversation: Any) -> Any:
    """As it is now, whatever the caller changes while others are asked; if it cannot be copied, `ask` says why."""
    try:
        return json_copy(conversation, "messages")
    except BadRequestError:
        return conversation


@contextlib.contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[_Bar]:
    """A progress bar on stderr, by rich; only where a person looks at it, and where rich is there to draw it."""
    if not shown or find_spec("rich") is None:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)
