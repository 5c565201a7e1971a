"""The pool copies' clients: one per copy and event loop, closed with the loop, kept over a reload."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_unified.wire.loops import PerLoop
from llm_unified.wire.tidy import quietly

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from llm_unified.wire.transport import PoolTransport

__all__ = ["Connections", "PooledClient"]


_RETIRED = "retired "


@dataclass(frozen=True, slots=True)
class PooledClient:
    """What LiteLLM is given for one copy, and the sockets behind it."""

    client: Any
    transport: PoolTransport


class Connections:
    """All clients of one service, by event loop and by what they connect to."""

    def __init__(self, abandon: Callable[[PoolTransport], None]) -> None:
        """``abandon`` drops the sockets of a loop that is gone already, so without awaiting."""
        self._abandon = abandon
        self._loops: PerLoop[dict[str, PooledClient]] = PerLoop(dict, self._close, self._drop)
        self._retiring: set[asyncio.Task[None]] = set()

    async def here(self) -> dict[str, PooledClient]:
        """This loop's clients; the engine adds what is missing."""
        return await self._loops.here()

    def retire(self, keep: Collection[str]) -> None:
        """Close, each in its own loop and once it is idle, all clients whose key is not in ``keep``."""
        for loop, clients in self._loops.items():
            if loop.is_running():
                loop.call_soon_threadsafe(self._retire_here, clients, frozenset(keep))

    def _retire_here(self, clients: dict[str, PooledClient], keep: frozenset[str]) -> None:
        for key in [key for key in clients if key not in keep and not key.startswith(_RETIRED)]:
            pooled = clients.pop(key)
            # Still listed, under a name that nobody asks for, so that it is closed with the others.
            name = f"{_RETIRED}{id(pooled)}"
            clients[name] = pooled
            task = asyncio.get_running_loop().create_task(_close_when_idle(clients, name))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    @staticmethod
    async def _close(clients: dict[str, PooledClient]) -> None:
        for pooled in list(clients.values()):  # those that retire leave the dict meanwhile
            await quietly(pooled.transport.aclose())
        clients.clear()

    def _drop(self, clients: dict[str, PooledClient]) -> None:
        for pooled in clients.values():
            self._abandon(pooled.transport)
        clients.clear()

    async def aclose(self) -> None:
        """Close everything in all loops."""
        await self._loops.aclose()
        here = asyncio.get_running_loop()
        for task in [task for task in self._retiring if task.get_loop() is here]:
            task.cancel()


async def _close_when_idle(clients: dict[str, PooledClient], name: str) -> None:
    pooled = clients[name]
    await pooled.transport.idle()
    await quietly(pooled.transport.aclose())
    clients.pop(name, None)
