"""Cooldowns that all processes of a fleet share over Redis.

Each process finds out for itself who fails; here it tells the others, and asks what they found at most once
a second. Redis is advice, never a dependency: when it hangs, is slow, wrong or gone, a call waits for it once,
shortly, and then goes on with what this process knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

from llm_unified.forksafe import ForkSafeLock
from llm_unified.logs import log
from llm_unified.pool.entries import Entry, Outbox, entry_key, read_entry
from llm_unified.pool.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from llm_unified.pool.deployments import Deployment
    from llm_unified.pool.rotation import Rotation
    from llm_unified.response import FailureKind

__all__ = ["Fleet"]

REFRESH_INTERVAL_SECONDS: Final = 1.0
"""Between two looks at Redis."""
REDIS_WAIT_SECONDS: Final = 0.2
"""How long a call waits for Redis at most; one that takes longer counts as unreachable."""
LONGEST_BACKOFF_SECONDS: Final = 30.0
"""Between two looks at a Redis that is unreachable; it doubles up to that."""
CLOSE_SECONDS: Final = 0.4


class Fleet:
    """One service's view of it. Safe from any event loop of any thread, and after a fork."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """No I/O here.

        Raises:
            ConfigurationError: the ``redis`` package is missing, or the URL cannot be read.
        """
        self._worker = Worker(url, limit=REDIS_WAIT_SECONDS)
        self._clock = clock
        self._outbox = Outbox(clock)
        self._lock = ForkSafeLock()
        self._next_look = float("-inf")
        self._backoff = 0.0
        self._blocked_until = float("-inf")
        self._flushing = False

    async def refresh(self, deployments: Mapping[str, Deployment], rotation: Rotation) -> None:
        """Let those cool down here that other processes found failing. Raises nothing."""
        started = self._clock()
        with self._lock:
            if started < self._next_look or started < self._blocked_until:
                return
            self._next_look = started + REFRESH_INTERVAL_SECONDS
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def look(client: Any) -> None:
            self._reach(lambda: self._look(client, deployments, rotation, started))
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(done.set)

        if not self._post(look):
            return
        try:
            async with asyncio.timeout(REDIS_WAIT_SECONDS):
                await done.wait()
        except TimeoutError as error:
            self._failed(error)  # at once, so that no other call waits for the same

    def publish(
        self, ids: Iterable[str], kind: FailureKind, seconds: float, *, asked_for: bool = False
    ) -> None:
        """Tell the others that these deployments cool down; returns at once.

        ``asked_for``: the upstream named that time (``Retry-After``).
        """
        self._outbox.put(ids, Entry(kind, asked_for, self._clock() + seconds))
        self._flush_soon()

    def withdraw(self, ids: Iterable[str]) -> None:
        """Tell the others that these deployments answer again; returns at once."""
        self._outbox.put(ids, None)
        self._flush_soon()

    async def aclose(self) -> None:
        """Send what is waiting, for half a second at most, and end the connection."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        if self._outbox and not self._backing_off():
            self._flush_soon()

        def last(client: Any) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        if self._worker.running and self._post(last):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await done.wait()
        self._worker.stop(wait=0.1 if done.is_set() else 0.0)

    # -- on the worker's thread ------------------------------------------------------------------

    def _look(
        self,
        client: Any,
        deployments: Mapping[str, Deployment],
        rotation: Rotation,
        started: float,
    ) -> None:
        self._flush(client)
        ids = list(deployments)
        values = client.mget([entry_key(id_) for id_ in ids]) if ids else []
        entries = {i: read_entry(value) for i, value in zip(ids, values, strict=True)}
        found = {i: entry for i, entry in entries.items() if entry is not None}
        if not found:
            return
        pipeline = client.pipeline(transaction=False)
        for id_ in found:
            pipeline.pttl(entry_key(id_))
        for (id_, entry), left in zip(found.items(), pipeline.execute(), strict=True):
            if left > 0 and not self._outbox.overrules(id_, started):
                rotation.cooldown_elsewhere(
                    deployments[id_], left / 1000.0, entry.kind, asked_for=entry.asked_for
                )

    def _flush(self, client: Any) -> None:
        self._flushing = False
        changes = self._outbox.take()
        if not changes:
            return
        now = self._clock()
        pipeline = client.pipeline(transaction=False)
        for id_, change in changes.items():
            if change is None:
                pipeline.delete(entry_key(id_))
            else:
                seconds = change.until - now
                milliseconds = max(1, int(seconds * 1000.0))
                pipeline.set(entry_key(id_), change.value(seconds), px=milliseconds)
        try:
            pipeline.execute()
        except BaseException:
            self._outbox.unsent(changes)
            raise
        self._outbox.sent(changes)

    def _reach(self, work: Callable[[], None]) -> None:
        """Do ``work`` and note whether Redis could be reached, in time."""
        began = time.monotonic()
        try:
            work()
            if time.monotonic() - began > REDIS_WAIT_SECONDS:
                raise TimeoutError  # noqa: TRY301 - slow is as bad as silent
        except Exception as error:  # noqa: BLE001 - whatever a Redis, or what stands in its place, provokes
            self._failed(error)
        else:
            with self._lock:
                self._backoff = 0.0

    # -- any thread ------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        with self._lock:
            if self._flushing or self._backing_off():  # then the next look sends it, too
                return
            self._flushing = True

        self._post(lambda client: self._reach(lambda: self._flush(client)))

    def _backing_off(self) -> bool:
        return self._clock() < self._blocked_until

    def _post(self, job: Callable[[Any], None]) -> bool:
        try:
            self._worker.post(job)
        except RuntimeError as error:  # no thread can be started, at the interpreter's end for one
            self._flushing = False
            self._failed(error)
            return False
        return True

    def _failed(self, error: BaseException) -> None:
        """Leave Redis alone for a while; say so once, until it works again."""
        with self._lock:
            if self._backing_off():  # said already, of the same look
                return
            first = self._backoff == 0.0
            longer = max(REFRESH_INTERVAL_SECONDS, 2.0 * self._backoff)
            self._backoff = min(LONGEST_BACKOFF_SECONDS, longer)
            self._blocked_until = self._clock() + self._backoff
        if first:
            log("warning", "redis_unreachable", error=type(error).__name__)
