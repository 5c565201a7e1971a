"""What docs/integrations/ tells a reader to type does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("langchain_core", reason="run it with: python3 dev.py frameworks")
pytest.importorskip("pydantic_ai", reason="run it with: python3 dev.py frameworks")

from llm_unified.testing import Simulator, replies

ROOT = Path(__file__).parents[2]
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECONDS = re.compile(r"after \d+\.\d+ s")


@pytest.mark.parametrize("page", ["langchain", "pydantic_ai"])
def test_every_block_of_the_page_runs(page: str, sim: Simulator, tmp_path: Path) -> None:
    """The page's blocks, one after the other, are one program that runs, and prints what the page shows."""
    for provider in sim:
        provider.always(replies.auto())
    text = (ROOT / "docs" / "integrations" / f"{page}.md").read_text("utf-8")
    blocks = PYTHON.findall(text)
    program = tmp_path / "page.py"
    program.write_text("\n".join(blocks), "utf-8")
    ran = subprocess.run(
        [sys.executable, str(program)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **sim.environ(), "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stderr
    shown = SHOWN.search(text)
    assert shown is not None
    assert SECONDS.sub("", ran.stdout).startswith(SECONDS.sub("", shown[1]))
    assert len(blocks) >= 5
