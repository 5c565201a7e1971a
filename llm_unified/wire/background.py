"""One owned event loop on a thread, for callers that are not asynchronous.

The synchronous API is the asynchronous one, run here: no second implementation, one set of sockets for all
threads. A forked child starts a loop of its own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from llm_unified.wire.forking import after_fork

__all__ = ["BackgroundLoop", "refuse_inside_loop"]

T = TypeVar("T")
_JOIN_SECONDS: Final = 10.0


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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        after_fork(self)

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
        """Run ``work`` there and wait for it here; what interrupts the wait cancels the work.

        Raises:
            RuntimeError: this is the loop's own thread (a finaliser may run there), which would wait for
                itself; see `post`.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a blocking call in the thread of the loop that has to answer it")
        future = self.start(work)
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

    def post(self, call: Callable[[], object]) -> None:
        """Call it there soon, if the loop runs; for finalisers, which may run in any thread and must not wait."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(call)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop, if it was started."""
        return self._loop

    def close(self) -> None:
        """Stop the loop and end its thread; can be used again afterwards."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        with contextlib.suppress(RuntimeError):  # ended by itself
            loop.call_soon_threadsafe(self._stopping.set)
        if thread is not threading.current_thread():
            thread.join(timeout=_JOIN_SECONDS)

    def after_fork(self) -> None:
        """In the child the thread is gone; the loop and its sockets are the parent's."""
        self._lock = threading.Lock()
        self._loop = self._thread = None
