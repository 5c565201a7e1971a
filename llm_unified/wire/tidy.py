"""Clean-up of asynchronous work that must leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from llm_unified.wire.httpx_transport import Wire

__all__ = ["Bounded", "quietly"]

_PATIENCE = 30.0  # seconds until an attempt that never sends anything is cancelled all the same


async def quietly(work: Awaitable[Any]) -> None:
    """Await a clean-up whose failure changes nothing."""
    with contextlib.suppress(Exception):
        await work


class Bounded:
    """Runs attempts, each for a limited time.

    LiteLLM hops through a thread before it sends, and loses a coroutine with a warning if it is cancelled
    on that hop. So each attempt is a task of its own, cancelled only once something was sent.
    """

    def __init__(self) -> None:
        self._reaping: set[asyncio.Task[None]] = set()

    async def run(
        self, work: Coroutine[Any, Any, Any] | Awaitable[Any], seconds: float, wire: Wire
    ) -> Any:
        """``await work`` for at most ``seconds``, then `TimeoutError`."""
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            await self._abandon(task, wire)
            raise
        if not done:
            await self._abandon(task, wire)
            raise TimeoutError
        return task.result()

    async def _abandon(self, task: asyncio.Future[Any], wire: Wire) -> None:
        reaper = asyncio.create_task(_reap(task, wire))
        self._reaping.add(reaper)
        reaper.add_done_callback(self._reaping.discard)
        await asyncio.wait({reaper}, timeout=0.05)

    async def aclose(self) -> None:
        """Wait for what is being cancelled in this loop."""
        loop = asyncio.get_running_loop()
        mine = {reaper for reaper in self._reaping if reaper.get_loop() is loop}
        if mine:
            await asyncio.wait(mine, timeout=1.0)


async def _reap(task: asyncio.Future[Any], wire: Wire) -> None:
    """Cancel an attempt, but not before it has sent something."""
    if wire.ours and wire.requests == 0 and not task.done():
        departed = asyncio.get_running_loop().create_future()
        wire.on_request = lambda: None if departed.done() else departed.set_result(None)
        await asyncio.wait({task, departed}, timeout=_PATIENCE)
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # seen: asyncio need not complain
    await quietly(wire.aclose())
