"""Programs in a process of their own, under ``-X dev -W error``: silent, bounded in time, with an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.hang import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[1]
HEAD = """
import asyncio, gc, os, signal, sys, threading
import llm_unified
from llm_unified import *
HELLO = [{"role": "user", "content": "Hello"}]
"""


def run(body: str, environ: dict[str, str], *, timeout: float = HANG_SECONDS) -> list[str]:
    """What the program prints, line by line; it must end with 0 and say nothing on stderr."""
    process = subprocess.run(
        [
            *(sys.executable, "-X", "dev", "-W", "error", "-W", "ignore:.*ReadOnly"),
            *(
                "-W",
                "ignore::DeprecationWarning:__main__",
            ),  # of `fork` beside threads, from 3.12 on
            *("-c", HEAD + textwrap.dedent(body)),
        ],
        env=environ | {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    # asyncio's debug mode measures how busy the machine is
    said = [line for line in process.stderr.splitlines() if not line.startswith("Executing <")]
    assert (process.returncode, said) == (0, []), process.stdout + process.stderr
    return process.stdout.split("\n")[:-1]
