"""Keep the garbage collector out of the way while LiteLLM is loaded.

LiteLLM brings 400,000 objects that live as long as the process. A collection that walks them holds the
interpreter for 100 to 250 ms, in whatever thread it happens, so the event loop stands still. Hence no
collection runs while they are made, and afterwards they are set aside (`gc.freeze`), where no later
collection looks at them: also the application's own collections stay as short as they were.

The price: what else was alive at that moment is set aside, too. It is still freed when the last reference
goes; only if it becomes part of a reference cycle later it stays. That happens once per process.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["set_aside"]

_lock = threading.Lock()
_done = False


@contextlib.contextmanager
def set_aside() -> Iterator[None]:
    """Collect nothing inside; what was made inside is never walked. The first time only."""
    global _done  # noqa: PLW0603 - once per process is the point
    if _done or not gc.isenabled():  # an application that switched it off has a plan of its own
        yield
        return
    with _lock:
        gc.collect(1)  # young garbage would stay; the old generation takes too long
        gc.disable()
        try:
            yield
            gc.freeze()
            _done = True
        finally:
            gc.enable()
