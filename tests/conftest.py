"""What every test starts from: an empty environment and no network beyond this machine."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

PREFIXES = ("LLM_", "OPENAI_", "AZURE_", "GROQ_", "ANTHROPIC_")
LOCAL_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname().lower()}
LOOK_UPS = {"socket.getaddrinfo", "socket.gethostbyname"}
SENDS = {"socket.connect", "socket.sendto", "socket.sendmsg"}

leaks: list[str] = []


class NetworkBlockedError(AssertionError):
    """A test tried to leave this machine. Not an ``OSError``, which code under test would handle."""


def _stays_here(host: Any, *, looked_up: bool) -> bool:
    if host is None:
        return True
    name = (host.decode() if isinstance(host, bytes) else str(host)).lower().rstrip(".")
    if name in LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    # "Looking up" a literal address asks nobody; connecting to it is judged by itself.
    return looked_up or address.is_loopback or address.is_unspecified


def _watch(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: Python itself reports every look-up and connection here, whoever makes it."""
    if event in LOOK_UPS:
        host, allowed = args[0], _stays_here(args[0], looked_up=True)
    elif event in SENDS and isinstance(args[1], tuple):  # not a tuple: a Unix socket's path
        host, allowed = args[1], _stays_here(args[1][0], looked_up=False)
    else:
        return
    if not allowed:
        leaks.append(f"{event} {host!r}")
        raise NetworkBlockedError(f"tests stay on this machine, but this one tried: {leaks[-1]}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Leaving the machine fails the test, even where the code under test swallows the error."""
    leaks.clear()
    yield
    assert not leaks, f"this test tried to leave the machine: {leaks}"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, URL or switch of the developer's own machine reaches a test."""
    for name in list(os.environ):
        if name.upper().startswith(PREFIXES):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def silent_structlog() -> Iterator[None]:
    """`capture_logs` leaves structlog configured, so that later tests would print their events."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def sim() -> Iterator[Any]:
    """All four providers on loopback, with a journal and a script of outcomes."""
    from llm_unified.testing import Simulator

    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def redis() -> Iterator[Any]:
    """A Redis of its own on loopback; it is stopped afterwards."""
    pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server (Debian: apt-get install it)")
    from tests.redis_server import Redis

    server = Redis()
    yield server
    server.stop()


@pytest.fixture(autouse=True, scope="session")
def control_c() -> None:
    """A shell's job in the background ignores SIGINT, and all its children inherit that: not those of tests."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
