"""A short soak, and one of two minutes; see `tests/soak.py` for a long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("seconds", ["5", pytest.param("120", marks=pytest.mark.full)])
def test_everything_at_once(seconds: str) -> None:
    """No call lost, asked twice, mixed up, counted wrongly or late, and nothing left behind."""
    done = subprocess.run(
        [
            *(sys.executable, "-X", "dev", "-W", "error::ResourceWarning"),
            *(str(Path(__file__).with_name("soak.py")), "--seconds", seconds),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    print(done.stdout)  # noqa: T201 - the seed
    assert done.returncode == 0, done.stdout
