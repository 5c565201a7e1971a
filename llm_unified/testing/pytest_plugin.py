"""Fixtures for pytest, which finds them by itself (entry point ``pytest11``).

It is imported at the start of every pytest run wherever this package is installed, so it loads the simulator
only when a test asks for it. ``-p no:llm_unified.testing.pytest_plugin`` keeps it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_unified.testing.network import NetworkProxy
    from llm_unified.testing.simulator import SimulatedProvider, Simulator


@pytest.fixture
def llm_simulator() -> Iterator[Simulator]:
    """Four simulated providers, fresh for this test."""
    from llm_unified.testing.simulator import Simulator

    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def llm_simulator_tls() -> Iterator[Simulator]:
    """The same over HTTPS; needs ``trustme``."""
    pytest.importorskip("trustme")
    from llm_unified.testing.simulator import Simulator

    with Simulator(tls=True) as simulator:
        yield simulator


@pytest.fixture
def llm_environ(llm_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """The simulator, with the process's environment configured for it."""
    for name, value in llm_simulator.environ().items():
        monkeypatch.setenv(name, value)
    return llm_simulator


@pytest.fixture
def llm_network() -> Iterator[Callable[..., NetworkProxy]]:
    """Makes proxies: ``llm_network(llm_simulator.openai, latency=0.015)``."""
    from llm_unified.testing.network import NetworkProxy

    made: list[NetworkProxy] = []

    def make(target: SimulatedProvider | int, *, latency: float = 0.0) -> NetworkProxy:
        port = target if isinstance(target, int) else target.port
        made.append(NetworkProxy(port, latency=latency))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()
