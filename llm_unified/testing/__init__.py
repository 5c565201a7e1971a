"""A provider simulator for your tests: real sockets, four wire protocols, every kind of failure.

::

    from llm_unified.testing import Simulator, faults, replies

    with Simulator() as sim:
        sim.openai.script(faults.status(500))
        service = UnifiedLLMService(load_settings(environ=sim.environ("openai", "groq")))
        assert service.generate_response(messages=[...]).provider == "groq"
        assert len(sim.openai.requests) == 1

Needs nothing beyond the package's own dependencies; HTTPS needs ``trustme``. pytest finds the fixtures of
:mod:`llm_unified.testing.pytest_plugin` by itself, so importing this package loads nothing: the names below
are looked up when they are used. Stand-alone: ``python -m llm_unified.testing``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_unified.testing import faults, replies
    from llm_unified.testing.exchange import Exchange, Outcome
    from llm_unified.testing.faults import Fault
    from llm_unified.testing.journal import Request
    from llm_unified.testing.network import NetworkProxy
    from llm_unified.testing.simulator import SimulatedProvider, Simulator

_HOME = {
    "Exchange": "exchange",
    "Fault": "faults",
    "NetworkProxy": "network",
    "Outcome": "exchange",
    "Request": "journal",
    "SimulatedProvider": "simulator",
    "Simulator": "simulator",
}

__all__ = [
    "Exchange",
    "Fault",
    "NetworkProxy",
    "Outcome",
    "Request",
    "SimulatedProvider",
    "Simulator",
    "faults",
    "replies",
]


def __getattr__(name: str) -> Any:
    if name in ("faults", "replies"):
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next look-up is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
