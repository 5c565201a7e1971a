"""A provider simulator for your tests: real sockets, four wire protocols, every kind of failure.

::

    from llm_unified.testing import Simulator, faults, replies

    with Simulator() as sim:
        sim.openai.script(faults.status(500))
        service = UnifiedLLMService(load_settings(environ=sim.environ("openai", "groq")))
        assert service.generate_response(messages=[...]).provider == "groq"
        assert len(sim.openai.requests) == 1

Needs nothing beyond the package's own dependencies; HTTPS needs ``trustme``. Tools for pytest:
``pytest_plugins = ["llm_unified.testing.pytest_plugin"]``. Stand-alone: ``python -m llm_unified.testing``.
"""

from __future__ import annotations

from llm_unified.testing import faults, replies
from llm_unified.testing.exchange import Exchange, Outcome
from llm_unified.testing.faults import Fault
from llm_unified.testing.journal import Request
from llm_unified.testing.network import NetworkProxy
from llm_unified.testing.simulator import SimulatedProvider, Simulator

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
