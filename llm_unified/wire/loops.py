"""Things that belong to one event loop, and end with it.

An aiohttp session, and so a pool copy's sockets, works only in the loop that made it. `PerLoop` keeps one
bundle per running loop and closes it when that loop shuts down: an asynchronous generator left suspended in
the loop is finalised by `loop.shutdown_asyncgens()`, which `asyncio.run`, `asyncio.Runner`, pytest-asyncio
and every server call before they close a loop. So twenty `asyncio.run`s in a row leak nothing, without any
help from the caller.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["PerLoop"]

T = TypeVar("T")


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
        self._lock = threading.Lock()
        self._entries: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None]]] = {}

    async def here(self) -> T:
        """This loop's bundle."""
        loop = asyncio.get_running_loop()
        entry = self._entries.get(loop)
        if entry is None:
            self._forget_dead()
            guard = self._guard(loop)
            with self._lock:
                entry = self._entries.setdefault(loop, (self._make(), guard))
            if entry[1] is guard:
                await anext(guard)
        return entry[0]

    async def _guard(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            with self._lock:
                entry = self._entries.pop(loop, None)
            if entry is not None:
                await self._close(entry[0])

    def _forget_dead(self) -> None:
        with self._lock:
            dead = [loop for loop in self._entries if loop.is_closed()]
            gone = [self._entries.pop(loop) for loop in dead]
        for value, _ in gone:
            self._abandon(value)

    async def aclose(self) -> None:
        """Close the bundles of all loops: this one's here, a running loop's there, a dead one's anyhow."""
        here = asyncio.get_running_loop()
        elsewhere = []
        for loop, (value, guard) in list(self._entries.items()):
            if loop is here:
                await guard.aclose()
            elif loop.is_running():
                future = asyncio.run_coroutine_threadsafe(guard.aclose(), loop)
                elsewhere.append(asyncio.wrap_future(future))
            else:
                with self._lock:
                    self._entries.pop(loop, None)
                self._abandon(value)
        await asyncio.gather(*elsewhere, return_exceptions=True)

    def items(self) -> list[tuple[asyncio.AbstractEventLoop, T]]:
        """All loops with their bundles."""
        with self._lock:
            return [(loop, value) for loop, (value, _) in self._entries.items()]
