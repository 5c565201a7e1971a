"""Rests that all processes of a fleet keep, through the Router's own cooldown entries in Redis.

Each process judges for itself; here it tells the others, and hears from them at most once a second. Redis
is an advice, never a dependency: when it is slow or gone, calls go on with what this process knows.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from llm_unified.response import FailureKind
from llm_unified.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from llm_unified.pool.deployments import Deployment
    from llm_unified.rotation import Rotation

__all__ = ["SharedRests"]

INTERVAL: Final = 1.0
"""Seconds between two looks at Redis."""
PATIENCE: Final = 0.25
"""Seconds that a call waits for Redis, at most."""
_KINDS: Final = {kind.value: kind for kind in FailureKind}


class SharedRests:
    """Reads and writes LiteLLM's ``deployment:{id}:cooldown`` entries; their ids are equal in all processes."""

    def __init__(self, cooldowns: Any, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``cooldowns``: the Router's cooldown cache. Its methods block, so they run in threads."""
        self._cooldowns, self._clock = cooldowns, clock
        self._looked = -INTERVAL
        self._silent = False
        self._telling: set[asyncio.Future[Any]] = set()

    async def hear(self, deployments: dict[str, Deployment], rotation: Rotation) -> None:
        """Let rest here what rests elsewhere."""
        now = self._clock()
        if now - self._looked < INTERVAL:
            return
        self._looked = now
        try:
            async with asyncio.timeout(PATIENCE):
                found = await asyncio.to_thread(
                    self._cooldowns.get_active_cooldowns, list(deployments), None
                )
        except Exception as error:  # noqa: BLE001 - whatever a Redis client raises
            self._complain(error)
            return
        self._silent = False
        for id_, entry in found:
            left = entry["timestamp"] + entry["cooldown_time"] - time.time()
            kind = _KINDS.get(entry["exception_received"])
            if left > 0 and kind is not None:
                rotation.rest_elsewhere(deployments[id_], left, kind)

    def tell(
        self, ids: Iterable[str], kind: FailureKind, status: int | None, seconds: float
    ) -> None:
        """Tell the others that these copies rest; returns at once."""
        for id_ in ids:
            self._later(
                self._cooldowns.add_deployment_to_cooldown,
                id_,
                Exception(kind.value),
                status or 0,
                seconds,
            )

    def recall(self, ids: Iterable[str]) -> None:
        """Tell the others that these copies answer again; returns at once."""
        for id_ in ids:
            self._later(
                self._cooldowns.cooldown_store.delete_cache,
                self._cooldowns.get_cooldown_cache_key(id_),
            )

    def _later(self, work: Callable[..., Any], *args: Any) -> None:
        future = asyncio.get_running_loop().run_in_executor(None, work, *args)
        self._telling.add(future)
        future.add_done_callback(self._told)

    def _told(self, future: asyncio.Future[Any]) -> None:
        self._telling.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            self._complain(error)

    def _complain(self, error: BaseException) -> None:
        if not self._silent:  # once, until it works again
            self._silent = True
            log("warning", "redis_unreachable", error=type(error).__name__)

    async def aclose(self) -> None:
        """Wait for what this loop has still to tell."""
        loop = asyncio.get_running_loop()
        mine = {future for future in self._telling if future.get_loop() is loop}
        if mine:
            await asyncio.wait(mine, timeout=1.0)
