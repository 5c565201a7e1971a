"""Loads LiteLLM and builds what carries out the calls. Blocks for seconds: use a thread.

What it does to the host: a `fork` waits while LiteLLM is being imported, since a child forked in the middle
of an import would wait for ever for that module's lock. An interpreter that ends waits for it, too.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from llm_unified.calls.collector import collector_frozen
from llm_unified.observe.publisher import Publisher
from llm_unified.settings import Settings

if TYPE_CHECKING:  # loading them is what is done here
    from llm_unified.calls.dispatcher import Dispatcher
    from llm_unified.engine.engine import Engine

__all__ = ["build_dispatcher", "build_engine", "importing"]

_EXIT_SECONDS: Final = 30.0
_lock: Final = threading.RLock()
# A thread that stands still in the middle of an import, as daemon threads do when the interpreter ends, keeps
# the lock of that module, or that of all imports; a finalizer of LiteLLM's imports, and would wait for ever.
atexit.register(_lock.acquire, timeout=_EXIT_SECONDS)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_lock.acquire,
        after_in_parent=_lock.release,
        after_in_child=_lock.release,
    )


def importing() -> AbstractContextManager[bool]:
    """One at a time in this process, and no `fork` meanwhile."""
    return _lock


def build_engine(settings: Settings) -> Engine:
    """One configuration's door to LiteLLM, its code path warm.

    Raises:
        ConfigurationError: the embedded model cannot run, or a package is missing.
    """
    with importing():
        import structlog  # noqa: F401 - else the first failure imports it in the event loop

        from llm_unified.engine.engine import Engine

        engine = Engine(settings)
        asyncio.run(engine.warm_up())
        return engine


def build_dispatcher(settings: Settings, publisher: Publisher) -> Dispatcher:
    """What carries out a service's calls.

    Raises:
        ConfigurationError: as `build_engine`.
    """
    with importing(), collector_frozen():
        from llm_unified.calls.dispatcher import Dispatcher
        from llm_unified.wire.connections import Connections

        return Dispatcher(build_engine(settings), Connections(), publisher=publisher)
