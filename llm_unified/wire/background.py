"""One owned event loop on a thread, for callers that are not asynchronous.

The synchronous API is the asynchronous one, run here: no second implementation, one set of sockets for all
threads. A forked child starts a loop of its own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["BackgroundLoop", "refuse_inside_loop"]

T = TypeVar("T")


def refuse_inside_loop(called: str, instead: str) -> None:
    """Blocking a running event loop would stall everything in it, so say what to call instead.

    Raises:
        RuntimeError: this thread runs an event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        f"{called}() blocks, and this thread runs an event loop; use 'await service.{instead}(...)' here"
    )


class BackgroundLoop:
    """Starts its thread on first use; safe from any thread and after ``fork``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        _ALL.add(self)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                started = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(started,), name="llm-unified", daemon=True
                )
                self._thread.start()
                started.wait()
            assert self._loop is not None  # noqa: S101 - `started` was set after it
            return self._loop

    def _run(self, started: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._stopping = asyncio.Event()
            self._loop.call_soon(started.set)
            runner.run(self._stopping.wait())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` there and wait for it here; what interrupts the wait cancels the work."""
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise
        except BaseException:
            future.cancel()  # KeyboardInterrupt arrives in this thread, not in that one
            raise

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run ``work`` there without waiting for it."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop, if it was started."""
        return self._loop

    def close(self) -> None:
        """Stop the loop and end its thread; can be used again afterwards."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(self._stopping.set)
            if thread is not threading.current_thread():
                thread.join(timeout=10.0)

    def _after_fork(self) -> None:
        """In the child the thread is gone; its sockets belong to the parent."""
        self._lock = threading.Lock()
        self._loop = self._thread = None


_ALL: weakref.WeakSet[BackgroundLoop] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for background in list(_ALL):
        background._after_fork()  # noqa: SLF001 - same module


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork_in_child)
