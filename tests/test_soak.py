"""A short soak. ``SOAK_SECONDS`` sets how long (CI: 120); see `tests/soak.py` for a long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SECONDS = os.environ.get("SOAK_SECONDS", "10")


def test_everything_at_once() -> None:
    """No call lost, asked twice, mixed up, counted wrongly or late, and nothing left behind."""
    done = subprocess.run(
        [
            *(sys.executable, "-X", "dev", "-W", "error::ResourceWarning"),
            *(str(Path(__file__).with_name("soak.py")), "--seconds", SECONDS),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    print(done.stdout)  # noqa: T201 - the seed
    assert done.returncode == 0, done.stdout
