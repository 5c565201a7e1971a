"""What must start afresh in a forked child: locks first, then everything that asked for it.

In the child no thread but the forking one exists: a lock that another thread held is held for ever. And an
event loop of the parent's must not be touched: its selector (epoll) and its self-pipe are shared with it.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ForkSafeLock", "after_fork"]


class _Forkable(Protocol):
    def after_fork(self) -> None: ...


class ForkSafeLock:
    """`threading.RLock` as a context manager; a forked child finds it free.

    Reentrant, because the garbage collector may finalize a stream in the middle of the thread's own section,
    and a finalizer that waits for its own thread waits for ever.

    What it guards may be half changed in the child if a thread of the parent was inside at the fork. Use it
    for short sections whose half-way states are valid.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def after_fork(self) -> None:
        self._lock = threading.RLock()


_LOCKS: Final[weakref.WeakSet[ForkSafeLock]] = weakref.WeakSet()
_THINGS: Final[weakref.WeakSet[_Forkable]] = weakref.WeakSet()


def after_fork(thing: _Forkable) -> None:
    """Call ``thing.after_fork()`` in every child, for as long as it lives; its `ForkSafeLock`s are free then."""
    _THINGS.add(thing)


def _in_child() -> None:
    for each in (*_LOCKS, *_THINGS):
        each.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_in_child)
