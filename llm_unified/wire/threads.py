"""Blocking work in a thread of its own.

Never in the event loop's default executor: an application may have filled it, and its work would wait
behind whatever is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from llm_unified.errors import ServiceClosedError

__all__ = ["in_thread"]

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``work(*args, **kwargs)`` in a daemon thread; if the wait is cancelled, its result is dropped.

    Raises:
        ServiceClosedError: no thread can be started any more, since the process ends.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("T", result))

    def run() -> None:
        result = error = None
        try:
            result = context.run(work, *args, **kwargs)
        except BaseException as caught:  # noqa: BLE001 - it is raised where the work is awaited
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop ended meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    try:
        threading.Thread(target=run, name="llm-unified-blocking", daemon=True).start()
    except RuntimeError as error:
        raise ServiceClosedError("no thread can be started: the process ends") from error
    return await future
