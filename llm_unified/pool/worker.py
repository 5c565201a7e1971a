"""One thread that talks to Redis, so that nobody else ever waits for it.

The synchronous client on a thread of our own, rather than `redis.asyncio` in the callers' loops: a look-up
of the host's name blocks nobody and needs no thread of an application's executor, a loop that ends abruptly
leaves no socket and no task behind, and one connection serves all loops. A forked child starts a thread and
a connection of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import queue
import threading
from typing import TYPE_CHECKING, Any, Final

from llm_unified.errors import ConfigurationError
from llm_unified.forksafe import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Worker"]

IDLE_SECONDS: Final = 10.0
"""Without work the thread ends and closes its connection; the next job starts another."""


class Worker:
    """Runs jobs one after the other on a daemon thread, each with a Redis client."""

    def __init__(self, url: str, *, limit: float) -> None:
        """``limit``: seconds for connecting, and for each answer. No I/O here.

        Raises:
            ConfigurationError: the ``redis`` package is missing, or the URL cannot be read.
        """
        if importlib.util.find_spec("redis") is None:
            raise ConfigurationError(
                "LLM_REDIS_URL needs the redis package: pip install 'llm-unified[redis]', or unset it"
            )
        self._url, self._limit = url, limit
        self._lock = ForkSafeLock()
        self._thread: threading.Thread | None = None
        self._jobs: queue.SimpleQueue[Callable[[Any], None] | None] = queue.SimpleQueue()
        try:
            self._client().close()
        except (ValueError, TypeError):  # the message would show the password
            raise ConfigurationError(
                "LLM_REDIS_URL cannot be read; it looks like redis://user:password@host:6379/0"
            ) from None

    def _client(self) -> Any:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return Redis.from_url(
            self._url,
            socket_timeout=self._limit,
            socket_connect_timeout=self._limit,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # every Redis speaks it, and without a greeting
        )

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def post(self, job: Callable[[Any], None]) -> None:
        """Run ``job`` there; returns at once. It must not raise.

        Raises:
            RuntimeError: no thread can be started.
        """
        with self._lock:
            if not self.running:
                self._jobs = queue.SimpleQueue()
                thread = threading.Thread(
                    target=self._run, args=(self._jobs,), name="llm-unified-redis", daemon=True
                )
                thread.start()
                self._thread = thread
            self._jobs.put(job)

    def stop(self, *, wait: float) -> None:
        """End the thread after the jobs that it has; ``wait`` at most so many seconds for that."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._jobs.put(None)
        if thread is not None:
            thread.join(wait)

    def _run(self, jobs: queue.SimpleQueue[Callable[[Any], None] | None]) -> None:
        with contextlib.closing(self._client()) as client:
            while (job := self._next(jobs)) is not None:
                job(client)

    def _next(
        self, jobs: queue.SimpleQueue[Callable[[Any], None] | None]
    ) -> Callable[[Any], None] | None:
        try:
            return jobs.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            with self._lock:  # a job that came this moment is still done
                if not jobs.empty():
                    return jobs.get()
                if self._jobs is jobs:
                    self._thread = None
                return None
