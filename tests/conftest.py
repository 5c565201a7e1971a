"""What every test starts from: an empty environment and no network beyond this machine."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import os
import shutil
import signal
import socket
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

PREFIXES = ("LLM_", "OPENAI_", "AZURE_", "GROQ_", "ANTHROPIC_")
LOCAL_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname().lower()}
LOOK_UPS = {"socket.getaddrinfo", "socket.gethostbyname"}
SENDS = {"socket.connect", "socket.sendto", "socket.sendmsg"}

leaks: list[str] = []
left_out = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="the whole matrices and the long runs")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full(one_of=0): without --full one of so many cases runs")
    config.stash[left_out] = 0
    with contextlib.suppress(ImportError):
        from hypothesis import settings

        settings.register_profile("quick", max_examples=25, deadline=None)
        settings.register_profile("full", max_examples=200, deadline=None)
        settings.load_profile("full" if config.getoption("full") else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``--full`` leave out what a change seldom breaks alone."""
    if config.getoption("full"):
        return
    kept: list[pytest.Item] = []
    seen: defaultdict[str, int] = defaultdict(int)
    out = []
    for item in items:
        mark = item.get_closest_marker("full")
        if mark is not None:
            name, one_of = item.nodeid.partition("[")[0], mark.kwargs.get("one_of", 0)
            at = seen[name]
            seen[name] += 1
            # Along the diagonals: each value of an outer parameter meets each of the inner ones in turn.
            if not one_of or at % one_of != at // one_of % one_of:
                out.append(item)
                continue
        kept.append(item)
    items[:] = kept
    config.stash[left_out] = len(out)
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = len(out)
    config.hook.pytest_deselected(items=out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """What a worker of pytest-xdist left out; all leave out the same."""
    if hasattr(node, "workeroutput"):  # not where it crashed
        node.config.stash[left_out] = node.workeroutput.get("left_out", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if number := config.stash[left_out]:
        terminalreporter.write_line(
            f"{number} cases of the matrices and the long runs were left out; run with --full"
        )


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
    if LOOK_UPS is None:  # the interpreter ends, and this module is gone
        return
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
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server (Debian: apt-get install it)")
    from tests.redis_server import Redis

    server = Redis()
    yield server
    server.stop()


@pytest.fixture(autouse=True, scope="session")
def no_open_session() -> Iterator[None]:
    """When all is over no HTTP session of ours or LiteLLM's is open: each was closed by who opened it."""
    yield
    if (aiohttp := sys.modules.get("aiohttp")) is not None:
        # By their type: some objects of LiteLLM's load something when they are asked for their class.
        sessions = [o for o in gc.get_objects() if issubclass(type(o), aiohttp.ClientSession)]
        assert not [session for session in sessions if not session.closed]


@pytest.fixture(autouse=True, scope="session")
def control_c() -> None:
    """A shell's job in the background ignores SIGINT, and all its children inherit that: not those of tests."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
