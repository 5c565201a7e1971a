"""Loading LiteLLM without the long collections that would stall an event loop."""

from __future__ import annotations

import os
import subprocess
import sys

LOADED = """
import gc, os
from llm_unified import UnifiedLLMService, load_settings
from llm_unified.testing import Simulator

walks = []
gc.callbacks.append(lambda phase, info: phase == "start" and walks.append(len(gc.get_objects())))
with Simulator() as sim:
    service = UnifiedLLMService(load_settings(sim.environ()))
    before = len(gc.get_objects())
    walks.clear()
    assert all(service.warm_connections_sync().values())
    largest = max(walks)
    service.close()
gc.collect()
print(before + 50_000 > largest, gc.get_freeze_count() > 200_000, gc.isenabled())
"""


def test_no_collection_walks_what_litellm_brought() -> None:
    """None while it is loaded, and afterwards its objects are frozen; collecting goes on."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True", "True"]


def test_an_application_that_switched_collecting_off_is_not_crossed() -> None:
    """Its plan stays: nothing is frozen, nothing is switched on."""
    program = (
        "import gc; gc.disable()\n"
        "from llm_unified.calls.collector import collector_frozen\n"
        "with collector_frozen():\n    pass\n"
        "print(gc.isenabled(), gc.get_freeze_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "0"]


def test_it_happens_once() -> None:
    """A second engine in the process freezes nothing; a failed first one neither."""
    program = (
        "import gc\n"
        "from llm_unified.calls.collector import collector_frozen\n"
        "try:\n    with collector_frozen():\n        raise ValueError\n"
        "except ValueError:\n    print(gc.get_freeze_count(), gc.isenabled())\n"
        "with collector_frozen():\n    assert not gc.isenabled()\n"
        "first = gc.get_freeze_count()\n"
        "more = [[] for _ in range(1000)]\n"
        "with collector_frozen():\n    assert gc.isenabled()\n"
        "print(first > 0, gc.get_freeze_count() <= first)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "True", "True", "True"]


def test_a_variable_turns_it_off() -> None:
    """`LLM_UNIFIED_GC_FREEZE=false` leaves the host's collector alone."""
    program = (
        "import gc\n"
        "from llm_unified.calls.collector import collector_frozen\n"
        "with collector_frozen():\n    print(gc.isenabled())\n"
        "print(gc.get_freeze_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LLM_UNIFIED_GC_FREEZE": "false"},
    )
    assert done.stdout.split() == ["True", "0"]
