"""A real Redis server for tests."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
from collections.abc import Iterator
from typing import Any


class Redis:
    """A real server on a free port of loopback."""

    def __init__(self) -> None:
        # Below those that systems give out, so that nobody takes it while this one is stopped.
        for self.port in iter(lambda: random.randrange(20_000, 30_000), 0):
            with socket.socket() as free, contextlib.suppress(OSError):
                free.bind(("127.0.0.1", self.port))
                break
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "Ready to accept connections" in line:
                break

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        import redis

        with redis.Redis(port=self.port) as client:
            yield client
