"""The upstream in a process of its own, and what it can do: that it is not what is measured."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self, cast

CONNECTIONS = 64
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


class Upstream:
    """`upstream.py`, for as long as the block lasts."""

    def __enter__(self) -> Self:
        program = Path(__file__).resolve().parents[1] / "upstream.py"
        self._process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate("")

    def state(self) -> dict[str, float]:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{self.url}/-/state") as answer:
            found: dict[str, float] = json.loads(answer.read())
        return found

    def capacity(self, seconds: float) -> dict[str, float]:
        """Requests per second to bare sockets, and what one costs the upstream."""
        before = self.state()
        begun = time.perf_counter()
        asyncio.run(_load(self.port, seconds))
        wall = time.perf_counter() - begun
        after = self.state()
        served, cpu = after["served"] - before["served"], after["cpu"] - before["cpu"]
        return {
            "rate": served / wall,
            "cpu_us": cpu / served * 1e6,
            "core": served / cpu,
        }


class _Load(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer."""

    def __init__(self) -> None:
        self.going = True
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"}"):  # the rest of the answer is still to come
            return
        if self.going:
            self._transport.write(REQUEST)
        else:
            self.done.set_result(None)
            self._transport.close()


async def _load(port: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    made: list[Any] = [
        await loop.create_connection(_Load, "127.0.0.1", port) for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(seconds)
    for _, load in made:
        load.going = False
    await asyncio.gather(*(load.done for _, load in made))
