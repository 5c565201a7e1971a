"""Starts the model once, tells where it is, and lets it go.

The model runs in a process of its own, on the other end of a pipe. In our process llama.cpp would
hold the interpreter's lock while it loads (0.6 s in which no event loop turns), and crash or hang at exit
when a request is under way. The pipe is also the lease: forked children hold it, too, and may go on
using the model after their parent; when the last holder is gone, even by ``kill -9``, it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from llm_unified.errors import ConfigurationError
from llm_unified.local.weights import MODEL, chat_template, missing_packages, weights_path

__all__ = ["Served", "serve", "stop"]

START_TIMEOUT = 60.0
"""Seconds until a start is given up; about one is usual."""
STOP_TIMEOUT = 5.0
"""Seconds that an exit waits for the model's process."""


@dataclass(frozen=True, slots=True)
class Served:
    """Where the embedded model answers."""

    base_url: str
    """With ``/v1``, as OpenAI's clients want it; Anthropic's want it without."""
    api_key: str = field(repr=False)
    """Random, new with every start; the server refuses any other with 401."""
    model: str = MODEL


@dataclass
class _Running:
    served: Served
    process: subprocess.Popen[str]
    owner: int
    """The process that started it; a forked child only borrows it."""

    def answers(self) -> bool:
        url = urlsplit(self.served.base_url)
        try:
            socket.create_connection((url.hostname or "", url.port or 0), timeout=1.0).close()
        except OSError:
            return False
        return True

    def release(self) -> None:
        assert self.process.stdin is not None  # noqa: S101 - it was opened as a pipe
        self.process.stdin.close()
        if os.getpid() == self.owner:
            # Not in time: a forked child still holds the lease, and its exit ends the model.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT)
        self.process.returncode = self.process.returncode or 0  # no warning that it still runs


_lock = threading.Lock()
_running: _Running | None = None


def serve() -> Served:
    """Return where the model answers; the first call starts it, which takes about a second.

    Safe to call from any thread and any number of times: there is one model for the process (and its
    forked children). It blocks, so call it in a thread where an event loop runs. One that
    died is started anew, with another port and key.

    Raises:
        ConfigurationError: a package is missing, or the model cannot run here.
    """
    global _running  # noqa: PLW0603 - one model per process is what this function is about
    with _lock:
        if _running is not None and not _running.answers():
            _running.release()
            _running = None
        if _running is None:
            _running = _start()
        return _running.served


def stop() -> None:
    """Let the model go. Nothing happens when there is none; :func:`serve` starts another."""
    global _running  # noqa: PLW0603
    with _lock:
        if _running is not None:
            _running.release()
            _running = None


def _start() -> _Running:
    problems = missing_packages()
    if problems:
        raise ConfigurationError(problems)
    api_key = secrets.token_urlsafe(32)
    order = {
        "weights": str(weights_path()),
        "model": MODEL,
        "api_key": api_key,  # through the pipe: a command line is public
        "threads": max(1, _cores() // 2),
        "chat_template": chat_template(),
        "sys_path": sys.path,
    }
    process = subprocess.Popen(  # noqa: S603 - our own file, by our own interpreter
        [sys.executable, "-I", str(Path(__file__).with_name("server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        # Ctrl-C is for the application, which may want an answer still; the lease ends the model.
        start_new_session=True,
    )
    reply = _exchange(process, json.dumps(order))
    if "address" not in reply:
        process.kill()
        process.wait()
        raise ConfigurationError(
            f"The provider 'local' could not start its model ({reply['error']}). Reinstall it with "
            "`pip install --force-reinstall 'llm-unified[local]'`, or choose another provider with "
            "LLM_PRIMARY_PROVIDER."
        )
    return _Running(Served(reply["address"] + "/v1", api_key), process, os.getpid())


def _exchange(process: subprocess.Popen[str], order: str) -> dict[str, str]:
    """Send the order and wait for the first line, at most ``START_TIMEOUT`` seconds."""
    assert process.stdin is not None  # noqa: S101 - both were opened as pipes
    assert process.stdout is not None  # noqa: S101
    watchdog = threading.Timer(START_TIMEOUT, process.kill)
    watchdog.start()
    try:
        process.stdin.write(order + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except OSError:
        line = ""
    finally:
        watchdog.cancel()
        process.stdout.close()
    if not line:
        return {"error": f"its process ended with code {process.wait()}"}
    reply: dict[str, str] = json.loads(line)
    return reply


def _cores() -> int:
    """Return how many cores this process may use, which in a container is fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it at the moment of the fork
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(stop)
