"""What docs/integrations/ tells a reader to type about these adapters does what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from llm_unified.testing import Simulator, replies

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "integrations"
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ (llm .*)$", re.MULTILINE)
SECONDS = re.compile(r"after \d+\.\d+ s")
NEEDS = {
    "openai": ("instructor", "dspy"),
    "openai_agents": ("agents",),
    "llm": ("llm",),
    "fastapi": ("fastapi",),
}


@pytest.mark.parametrize("page", NEEDS)
def test_every_block_of_the_page_runs(page: str, sim: Simulator, tmp_path: Path) -> None:
    """The page's blocks, one after the other, are one program that runs, and prints what the page shows."""
    for name in NEEDS[page]:
        pytest.importorskip(name, reason="run it with: python3 dev.py frameworks")
    for provider in sim:
        provider.always(replies.auto())
    text = (PAGES / f"{page}.md").read_text("utf-8")
    blocks = PYTHON.findall(text)
    program = tmp_path / "page.py"
    program.write_text("\n".join(blocks), "utf-8")
    own = {"PYTHONPATH": str(ROOT), "LLM_USER_PATH": str(tmp_path), "DSPY_CACHEDIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, str(program)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **sim.environ(), **own},
    )
    assert ran.returncode == 0, ran.stderr
    shown = SHOWN.search(text)
    assert shown is not None
    if page != "llm":  # there it is an error
        assert SECONDS.sub("", ran.stdout).startswith(SECONDS.sub("", shown[1]))


def test_every_command_of_the_page_runs(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of `llm`, in their order."""
    pytest.importorskip("llm", reason="run it with: python3 dev.py frameworks")
    from click.testing import CliRunner
    from llm.cli import cli

    from llm_unified import get_llm_service

    for provider in sim:
        provider.always(replies.auto())
    own = {"LLM_USER_PATH": str(tmp_path)}
    for name, value in (sim.environ("openai", "anthropic") | own).items():
        monkeypatch.setenv(name, value)
    commands = COMMAND.findall((PAGES / "llm.md").read_text("utf-8"))
    assert len(commands) >= 6
    for command in commands:
        ran = CliRunner().invoke(cli, shlex.split(command)[1:])
        assert ran.exit_code == 0, (command, ran.output)
        assert ran.output.strip()
    assert sim.anthropic.requests
    get_llm_service().close()
