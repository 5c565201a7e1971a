"""A subscriber on a thread of its own, behind a bounded queue: it may be slow, block for ever or raise."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Final

from llm_unified.forksafe import ForkSafeLock, after_fork
from llm_unified.logs import log

__all__ = ["QUEUED_EVENTS", "Queued"]

QUEUED_EVENTS: Final = 10_000
"""So many may wait for one subscriber; what comes beyond that is dropped for it, and said once in the log."""
_GATHER_SECONDS: Final = 0.02
"""So much later than the event a subscriber may hear of it."""
_IDLE_SECONDS: Final = 10.0
"""Without events the thread ends; the next event starts another."""


class Queued:
    """Hands events on in their order. A forked child starts afresh: what waited there is the parent's."""

    def __init__(self, deliver: Callable[[Any], None], name: str = "") -> None:
        """``deliver`` must not raise; ``name``: for the log."""
        self._deliver, self._name = deliver, name
        self._lock = ForkSafeLock()
        self._ended = self._full = False
        self.dropped = 0
        """Events that it never got, because it was too slow."""
        self.after_fork()
        after_fork(self)

    def after_fork(self) -> None:
        """In the child there is no thread."""
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, event: object) -> None:
        """Returns at once."""
        if self._ended:
            return
        if self._events.qsize() >= QUEUED_EVENTS:
            self.dropped += 1
            if not self._full:
                self._full = True
                log("error", "subscriber_too_slow", subscriber=self._name, waiting=QUEUED_EVENTS)
            return
        self._events.put(event)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._ended:
                thread = threading.Thread(
                    target=self._run, args=(self._events,), name="llm-unified-events", daemon=True
                )
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:  # the process ends
                    self._ended = True

    def end(self, *, wait: float = 0.0) -> None:
        """End after what is there; ``wait`` at most so many seconds for that, unless this is its own thread."""
        with self._lock:
            self._ended, thread = True, self._thread
        self._hurry.set()
        self._events.put(None)
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join(wait)

    def _run(self, events: queue.SimpleQueue[Any]) -> None:
        while (event := self._next(events)) is not None:
            # One waking for all that comes in a moment, and not one for each event.
            self._hurry.wait(_GATHER_SECONDS)
            self._deliver(event)
            for _ in range(events.qsize()):
                if (event := events.get()) is None:
                    return
                self._deliver(event)

    def _next(self, events: queue.SimpleQueue[Any]) -> Any:
        try:
            event = events.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            with self._lock:  # one that came this moment is still handed on
                if not events.empty():
                    return events.get()
                self._thread = None
                return None
        if self._full and events.empty():
            self._full = False
        return event
