"""One owned event loop on a thread, for callers that are not asynchronous.

The synchronous API is the asynchronous one, run here: no second implementation, one set of sockets for all
threads. A forked child starts a loop of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from llm_unified.errors import ServiceClosedError
from llm_unified.forksafe import ForkSafeLock, after_fork

__all__ = ["BackgroundLoop", "close_all", "refuse_inside_loop"]

T = TypeVar("T")
_JOIN_SECONDS: Final = 10.0
_ALL: Final[weakref.WeakSet[BackgroundLoop]] = weakref.WeakSet()


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
        self._lock = ForkSafeLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = asyncio.Event()
        self._exiting = False
        self.closed = False
        """For good."""
        _ALL.add(self)
        after_fork(self)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self.closed:
            raise ServiceClosedError("this service was closed; build a new UnifiedLLMService")
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            self._loop = loop = asyncio.new_event_loop()
            self._stopping = asyncio.Event()
            self._thread = thread = threading.Thread(
                target=_run, args=(loop, self._stopping), name="llm-unified", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                loop.close()
                self._loop = self._thread = None
                raise ServiceClosedError("no thread can be started: the process ends") from error
        return loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` there and wait for it here; what interrupts the wait cancels the work.

        Raises:
            ServiceClosedError: `close` came before the result.
            RuntimeError: this is the loop's own thread (a finaliser may run there), which would wait for
                itself; see `post`.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a blocking call in the thread of the loop that has to answer it")
        future = self.start(work)
        loop = self._loop
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            if loop is not None and loop is self._loop:
                raise
            if (
                self._exiting
            ):  # a daemon thread: it stands still until the process is gone, as all of them do
                threading.Event().wait()
            raise ServiceClosedError("the service was closed during this call") from None
        except BaseException:
            future.cancel()  # KeyboardInterrupt arrives in this thread, not in that one
            raise

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run ``work`` there without waiting for it.

        Raises:
            ServiceClosedError: after `close`, or when the process ends.
        """
        try:
            with self._lock:  # else it could be posted behind the loop's last turn, and never run
                return asyncio.run_coroutine_threadsafe(work, self._running())
        except BaseException:
            work.close()
            raise

    def post(self, call: Callable[..., object], *args: object) -> None:
        """Call it there soon, if the loop runs; for finalisers, which may run in any thread and must not wait."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(call, *args)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop, if it was started."""
        return self._loop

    def close(self, *, exiting: bool = False) -> None:
        """Stop the loop and end its thread, for good. What runs there is cancelled.

        ``exiting``: the interpreter ends, and with it the threads that wait for an answer.
        """
        with self._lock:
            self.closed, self._exiting = True, exiting
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            if loop is None or thread is None:
                return
            with contextlib.suppress(RuntimeError):  # ended by itself
                loop.call_soon_threadsafe(self._stopping.set)
        if thread is not threading.current_thread():
            thread.join(timeout=_JOIN_SECONDS)

    def after_fork(self) -> None:
        """In the child the thread is gone; the loop and its sockets are the parent's."""
        self._loop = self._thread = None


def _run(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(stopping.wait())


@atexit.register
def close_all() -> None:
    """Let the loops end as loops do: what is still open in them is closed, and nothing warns of it."""
    for background in list(_ALL):
        background.close(exiting=True)
