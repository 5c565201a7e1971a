"""What the package shows, and what importing it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import llm_unified
from tests.hang import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[1]


def run(code: str, **environ: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | environ,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_every_public_name_is_there() -> None:
    """`__all__` is sorted and whole, and `dir` shows it."""
    assert sorted(llm_unified.__all__) == llm_unified.__all__
    for name in llm_unified.__all__:
        assert getattr(llm_unified, name) is not None
    assert set(llm_unified.__all__) <= set(dir(llm_unified))
    assert set(llm_unified._HOME) == set(llm_unified.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As for any module."""
    assert not hasattr(llm_unified, "nothing_of_the_kind")


def test_importing_loads_nothing_heavy() -> None:
    """Neither LiteLLM nor pydantic, no HTTP client, no thread, nothing read, nothing printed."""
    code = """
import sys, json, os, threading
before, environ = set(sys.modules), dict(os.environ)
opened = []
sys.addaudithook(lambda e, a: opened.append(str(a[0])) if e in ("open", "socket.connect") else None)
import llm_unified
read = [o for o in opened if not o.endswith((".py", ".pyc")) and "__pycache__" not in o]
roots = sorted({m.partition(".")[0] for m in set(sys.modules) - before})
print(json.dumps([roots, threading.active_count(), dict(os.environ) == environ, read]))
"""
    roots, threads, same, read = run(code, PYTHONDONTWRITEBYTECODE="1")
    heavy = {"litellm", "pydantic", "pydantic_settings", "httpx", "aiohttp", "openai", "yaml"}
    assert not heavy & set(roots)
    assert "asyncio" not in roots
    assert (threads, same, read) == (1, True, [])


@pytest.mark.full
def test_importing_costs_a_twentieth_of_litellm() -> None:
    """CPU seconds of both imports, each in a fresh process; ours is about a hundredth."""
    code = """
import time, json
start = time.process_time()
import {0}
print(json.dumps(time.process_time() - start))
"""
    ours = min(run(code.format("llm_unified")) for _ in range(3))
    theirs = run(code.format("litellm"), LITELLM_LOCAL_MODEL_COST_MAP="True", HOME="/nonexistent")
    assert ours <= 0.05 * theirs


def test_building_a_service_loads_no_litellm() -> None:
    """LiteLLM comes with the first call, in a thread, not with the object."""
    code = """
import sys, json, llm_unified
service = llm_unified.UnifiedLLMService(llm_unified.load_settings({"OPENAI_API_KEY": "sk-x"}))
repr(service), service.get_stats(), service.get_health(), service.close()
print(json.dumps(["litellm" in sys.modules, "openai" in sys.modules]))
"""
    assert run(code) == [False, False]
