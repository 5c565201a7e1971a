"""One daemon thread with an event loop of its own.

Servers of this package live here, so that they serve synchronous tests, asynchronous tests and tests
that block their loop alike.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["BackgroundLoop"]

T = TypeVar("T")


class BackgroundLoop:
    """An event loop in a daemon thread. ``close()`` ends its tasks, its loop and its thread."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            asyncio.set_event_loop(None)

    @property
    def inside(self) -> bool:
        """Whether the caller runs in this thread, where waiting for the loop would be a deadlock."""
        return threading.current_thread() is self._thread

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for its result. Not from the loop's own thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the loop's thread and wait for its result; safe from any thread."""
        if self.inside:
            return function()
        future: Future[T] = Future()

        def step() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 (handed over to the thread that waits)
                future.set_exception(error)

        self.loop.call_soon_threadsafe(step)
        return future.result()

    def close(self) -> None:
        """End everything; safe to call twice."""
        if self.loop.is_closed():
            return
        self.run(self._end_tasks())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports that were aborted close their sockets in the next turn
        await asyncio.sleep(0)
