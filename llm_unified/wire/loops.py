"""Things that belong to one event loop, and end with it.

A deployment's sockets work only in the loop that made them. `PerLoop` keeps one bundle per running loop and
closes it when that loop shuts down: an asynchronous generator left suspended in the loop is finalised by
`loop.shutdown_asyncgens()`, which `asyncio.run`, `asyncio.Runner`, pytest-asyncio and every server call before
they close a loop. So twenty `asyncio.run`s in a row leak nothing, without any help from the caller. A loop
that was closed without that, and those of the parent process, are abandoned.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

from llm_unified.forksafe import ForkSafeLock, after_fork

__all__ = ["PerLoop"]

T = TypeVar("T")
_CLOSE_ELSEWHERE_SECONDS = 5.0
"""So long `aclose` waits for another loop, which may be blocked."""


class PerLoop(Generic[T]):
    """One ``T`` per event loop, made on first use, closed with the loop."""

    def __init__(
        self,
        make: Callable[[], T],
        close: Callable[[T], Awaitable[None]],
        abandon: Callable[[T], None],
    ) -> None:
        """``close`` runs inside the loop; ``abandon`` must do without, for a loop that is already gone."""
        self._make, self._close, self._abandon = make, close, abandon
        self._lock = ForkSafeLock()
        self._entries: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None]]] = {}
        after_fork(self)

    async def here(self) -> T:
        """This loop's bundle."""
        loop = asyncio.get_running_loop()
        entry = self._entries.get(loop)
        if entry is None:
            self._drop(lambda each: each.is_closed())
            guard = self._guard(loop)
            entry = self._make(), guard
            await anext(guard)
            with self._lock:
                self._entries[loop] = entry
        return entry[0]

    async def _guard(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            with self._lock:
                entry = self._entries.pop(loop, None)
            if entry is not None:
                await self._close(entry[0])

    def _drop(self, gone: Callable[[asyncio.AbstractEventLoop], bool]) -> None:
        """Abandon the bundles of loops that are gone."""
        with self._lock:
            entries = [self._entries.pop(loop) for loop in list(self._entries) if gone(loop)]
        for value, guard in entries:
            self._abandon(value)
            # Its entry is gone, so it ends at once; left suspended it would wake its loop when collected.
            with contextlib.suppress(StopIteration):
                guard.aclose().send(None)

    def after_fork(self) -> None:
        """In the child: the loops are the parent's."""
        self._drop(lambda _: True)

    async def aclose(self) -> None:
        """Close the bundles of all loops: this one's here, a running loop's there, a dead one's anyhow."""
        if not self._entries:
            return
        here = asyncio.get_running_loop()
        elsewhere = []
        for loop, (_, guard) in list(self._entries.items()):
            if loop is here:
                await guard.aclose()
            elif loop.is_running():
                future = asyncio.run_coroutine_threadsafe(guard.aclose(), loop)
                elsewhere.append(asyncio.wrap_future(future))
        self._drop(lambda loop: not loop.is_running())
        if elsewhere:
            await asyncio.wait(elsewhere, timeout=_CLOSE_ELSEWHERE_SECONDS)

    def items(self) -> list[tuple[asyncio.AbstractEventLoop, T]]:
        """All loops with their bundles."""
        with self._lock:
            return [(loop, value) for loop, (value, _) in self._entries.items()]
