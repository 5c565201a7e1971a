"""What every test starts from: an empty environment and no network beyond this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

PREFIXES = ("LLM_", "OPENAI_", "AZURE_", "GROQ_", "ANTHROPIC_")
LOCAL_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname().lower()}


class NetworkBlockedError(AssertionError):
    """A test tried to leave this machine. An ``AssertionError``, so that no ``except OSError`` hides it."""


def _is_loopback(host: Any) -> bool:
    if host is None:
        return True
    name = (host.decode() if isinstance(host, bytes) else str(host)).lower().rstrip(".")
    if name in LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, URL or switch of the developer's own machine reaches a test."""
    for name in list(os.environ):
        if name.upper().startswith(PREFIXES):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections and name look-ups beyond loopback fail the test, even where the code swallows them."""
    leaks: list[str] = []

    def refuse(what: str, host: Any) -> None:
        leaks.append(f"{what} {host!r}")
        raise NetworkBlockedError(
            f"tests stay on this machine, but this one tried: {what} {host!r}"
        )

    def guarded(original: Any, what: str) -> Any:
        def connect(sock: socket.socket, address: Any, *rest: Any) -> Any:
            if sock.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
                refuse(what, address)
            return original(sock, address, *rest)

        return connect

    def sendto(sock: socket.socket, data: Any, *rest: Any) -> Any:
        if sock.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(rest[-1][0]):
            refuse("send to", rest[-1])
        return real_sendto(sock, data, *rest)

    def looked_up(original: Any) -> Any:
        def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
            # A literal address needs no look-up; connecting to it is guarded above.
            if not _is_loopback(host) and not _is_address(host):
                refuse("look-up", host)
            return original(host, *args, **kwargs)

        return look_up

    real_sendto = socket.socket.sendto
    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect, "connect"))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex, "connect"))
    monkeypatch.setattr(socket.socket, "sendto", sendto)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        monkeypatch.setattr(socket, name, looked_up(getattr(socket, name)))
    yield
    assert not leaks, f"this test tried to leave the machine: {leaks}"


def _is_address(host: Any) -> bool:
    try:
        ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return True


@pytest.fixture
def sim() -> Iterator[Any]:
    """All four providers on loopback, with a journal and a script of outcomes."""
    from llm_unified.testing import Simulator

    with Simulator() as simulator:
        yield simulator
