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
    process: subprocess.Popen[bytes]
    lease: int
    """Our end of the pipe. A bare descriptor: it closes with the process and not before."""
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
        os.close(self.lease)
        if os.getpid() == self.owner:
            # Not in time: a forked child still holds the lease, and its exit ends the model.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT)
        self.forget()

    def forget(self) -> None:
        """Keep ``subprocess`` from warning that it still runs: so it may."""
        self.process.returncode = self.process.returncode or 0


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
    reader, lease = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: S603 - our own file, by our own interpreter
            [sys.executable, "-I", str(Path(__file__).with_name("server.py"))],
            stdin=reader,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # signals to the terminal's group are for the application
        )
    except OSError as error:
        os.close(lease)
        raise _failed(str(error)) from error
    finally:
        os.close(reader)
    reply = _exchange(process, lease, json.dumps(order))
    if "address" not in reply:
        os.close(lease)
        raise _failed(reply["error"])
    return _Running(Served(reply["address"] + "/v1", api_key), process, lease, os.getpid())


def _exchange(process: subprocess.Popen[bytes], lease: int, order: str) -> dict[str, str]:
    """Send the order and wait for the first line, at most ``START_TIMEOUT`` seconds."""
    watchdog = threading.Timer(START_TIMEOUT, process.kill)
    watchdog.daemon = True
    watchdog.start()
    answers, line = process.stdout, b""
    assert answers is not None  # noqa: S101 - it was opened as a pipe
    with contextlib.suppress(OSError), answers, open(lease, "wb", closefd=False) as orders:
        orders.write(order.encode() + b"\n")
        orders.flush()
        line = answers.readline()
    watchdog.cancel()
    reply: dict[str, str] = json.loads(line or "{}")
    if "address" not in reply:
        process.kill()
        reply.setdefault("error", f"its process ended with code {process.wait()}")
    return reply


def _failed(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The provider 'local' could not start its model ({reason}). Reinstall it with "
        "`pip install --force-reinstall 'llm-unified[local]'`, or choose another provider with "
        "LLM_PRIMARY_PROVIDER."
    )


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


@atexit.register
def _at_exit() -> None:
    # Answers that are under way may still be wanted by what else ends here; the pipe closes later,
    # with the process.
    if _running is not None:
        _running.forget()
