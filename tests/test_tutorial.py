"""The tutorial does what it says: its files are written, its commands run, and what they print is what it shows."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
BLOCK = re.compile(r'^```(\w+)(?: title="([\w.]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
ELLIPSIS = "…"


class Shell:
    """As much of a shell as the page uses, in a folder of its own. ``curl`` is httpx, port 8000 is a free one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environ["PYTHONPATH"] = str(ROOT)
        self.jobs: list[subprocess.Popen[str]] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def run(self, line: str) -> str:
        line = line.replace("8000", str(self.port))
        match shlex.split(line):
            case ["export", *pairs]:
                self.environ |= dict(pair.split("=", 1) for pair in pairs)
            case [".", file]:
                for written in (self.folder / file).read_text().splitlines():
                    self.run(written)
            case ["kill", job]:
                process = self.jobs[int(job.removeprefix("%")) - 1]
                process.terminate()
                process.wait()
            case ["curl", "-s", url]:
                return httpx.get(f"http://{url}", timeout=20.0).text
            case [*command, ">", file, "&"]:
                # All that it prints at once: the environment that leads to it.
                output = self.start(command, stdout=subprocess.PIPE).stdout
                assert output is not None
                printed = os.read(output.fileno(), 65536).decode()
                (self.folder / file).write_text(printed)
            case [*command, "&"]:
                log = self.start(command, stderr=subprocess.PIPE).stderr
                assert log is not None
                while "Uvicorn running" not in (said := log.readline()):
                    assert said, "it ended"
            case [*command]:
                done = subprocess.run(
                    self.found(command), cwd=self.folder, env=self.environ,
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                assert done.returncode == 0, done.stdout + done.stderr
                return done.stdout
        return ""

    def start(self, command: list[str], **pipes: Any) -> subprocess.Popen[str]:
        words = self.found(command)
        job = subprocess.Popen(words, cwd=self.folder, env=self.environ, text=True, **pipes)
        self.jobs.append(job)
        return job

    def found(self, command: list[str]) -> list[str]:
        module = {"llm-unified": "llm_unified", "uvicorn": "uvicorn"}.get(command[0])
        return [sys.executable, *(("-m", module) if module else ()), *command[1:]]

    def close(self) -> None:
        for job in self.jobs:
            job.kill()
            job.communicate()


def steps(text: str) -> list[tuple[str, str]]:
    """``(command, what it prints)`` of a console block."""
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def pattern(shown: str) -> str:
    """What is printed, times and sizes apart; a line ``…`` is any lines."""
    shown = re.escape(shown.strip())
    shown = shown.replace(re.escape(ELLIPSIS), r"(?:.|\n)*")
    return re.sub(r"\d+\\\.\d+", r"\\d+\\.\\d+", shown) + r"\s*\Z"


@pytest.fixture
def shell(tmp_path: Path) -> Any:
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def test_the_tutorial_is_true(shell: Shell) -> None:
    """Every file and every command of it, in order, over real sockets, with the output that the page shows."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    seen = 0
    for kind, title, text in BLOCK.findall(PAGE):
        if kind == "python":
            assert title, "a file of the tutorial has a name"
            (shell.folder / title).write_text(text, "utf-8")
        if kind == "console":
            for command, shown in steps(text):
                printed = shell.run(command)
                assert re.match(pattern(shown), printed), f"$ {command}\n{printed}"
                seen += 1
    assert seen >= 15
