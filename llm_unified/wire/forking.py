"""One hook for everything here that must start afresh in a forked child.

In the child no thread but the forking one exists, and an event loop of the parent's must not be touched:
its selector (epoll) and its self-pipe are shared with the parent.
"""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol

__all__ = ["after_fork"]


class _Forkable(Protocol):
    def after_fork(self) -> None: ...


_ALL: Final[weakref.WeakSet[_Forkable]] = weakref.WeakSet()


def after_fork(thing: _Forkable) -> None:
    """Call ``thing.after_fork()`` in every child, for as long as it lives."""
    _ALL.add(thing)


def _in_child() -> None:
    for thing in list(_ALL):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_in_child)
