"""The deployments' connection pools: one per deployment and event loop, closed with the loop, kept over a reload."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import Final, Generic, Protocol, TypeVar

from llm_unified.wire.loops import PerLoop

__all__ = ["Connections", "Pool"]

_RETIRED: Final = "retired "


class Pool(Protocol):
    """What is kept: a `ConnectionPool`."""

    async def idle(self) -> None: ...
    async def aclose(self) -> None: ...
    def abandon(self) -> None: ...


P = TypeVar("P", bound=Pool)


class Connections(Generic[P]):
    """All pools of one service, by event loop and by what they connect to."""

    def __init__(self) -> None:
        self._loops: PerLoop[dict[str, P]] = PerLoop(dict, self._close, self._abandon)
        self._retiring: set[asyncio.Task[None]] = set()

    async def here(self) -> dict[str, P]:
        """This loop's pools; the caller adds what is missing."""
        return await self._loops.here()

    def everywhere(self, key: str) -> list[P]:
        """All loops' pools of this key."""
        return [pools[key] for _, pools in self._loops.items() if key in pools]

    def retire(self, keep: Collection[str]) -> None:
        """Close, each in its own loop and once it is idle, all pools whose key is not in ``keep``."""
        for loop, pools in self._loops.items():
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                if loop.is_running():
                    loop.call_soon_threadsafe(self._retire_here, pools, frozenset(keep))

    def _retire_here(self, pools: dict[str, P], keep: frozenset[str]) -> None:
        for key in [key for key in pools if key not in keep and not key.startswith(_RETIRED)]:
            pool = pools.pop(key)
            # Still listed, under a name that nobody asks for, so that it is closed with the others.
            name = f"{_RETIRED}{id(pool)}"
            pools[name] = pool
            task = asyncio.get_running_loop().create_task(_close_when_idle(pools, name))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    @staticmethod
    async def _close(pools: dict[str, P]) -> None:
        for pool in list(pools.values()):  # those that retire leave the dict meanwhile
            with contextlib.suppress(Exception):
                await pool.aclose()
        pools.clear()

    @staticmethod
    def _abandon(pools: dict[str, P]) -> None:
        for pool in pools.values():
            pool.abandon()
        pools.clear()

    async def aclose(self) -> None:
        """Close everything in all loops."""
        await self._loops.aclose()
        for task in [task for task in self._retiring if task.get_loop() is _running_loop()]:
            task.cancel()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _close_when_idle(pools: dict[str, P], name: str) -> None:
    pool = pools[name]
    await pool.idle()
    with contextlib.suppress(Exception):
        await pool.aclose()
    pools.pop(name, None)
