"""Many conversations at once: order kept, failures as values, one deadline per item."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from llm_unified.errors import LLMError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from llm_unified.response import LLMResponse

__all__ = ["ask_many"]


class _Bar(Protocol):
    def __call__(self) -> None: ...


async def ask_many(
    ask: Callable[[Any], Awaitable[LLMResponse]],
    conversations: Sequence[Any],
    *,
    concurrency: int,
    progress: bool,
) -> list[LLMResponse | LLMError]:
    """``ask`` each conversation, at most ``concurrency`` at a time; what failed is its `LLMError`."""
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
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(conversations))):
                group.create_task(worker(step))
    return [result for result in results if result is not None]


@contextlib.contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[_Bar]:
    """A progress bar on stderr, by rich; only where a person looks at it."""
    if not shown:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)
