"""Keep the garbage collector out of the way while LiteLLM is loaded.

LiteLLM brings 400,000 objects that live as long as the process. A collection that walks them holds the
interpreter for 100 to 250 ms, in whatever thread it happens, so the event loop stands still.

What this does to the host, once per process: no collection runs while LiteLLM is loaded, and afterwards what is
alive is frozen (`gc.freeze`), where no later collection looks at it; so the application's own collections stay
as short as they were. The price: what else was alive at that moment is frozen, too. It is still freed when the
last reference goes; only if it becomes part of a reference cycle later it stays.

``LLM_UNIFIED_GC_FREEZE=false`` in the environment turns all of it off, as does an application that switched
collecting off itself.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Iterator

__all__ = ["collector_frozen"]

_lock = threading.Lock()
_done = False


@contextlib.contextmanager
def collector_frozen() -> Iterator[None]:
    """Collect nothing inside; what was made inside is never looked at. The first time only."""
    global _done  # noqa: PLW0603 - once per process is the point
    off = os.environ.get("LLM_UNIFIED_GC_FREEZE", "").strip().lower() in ("false", "0", "no", "off")
    if off or _done or not gc.isenabled():
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
