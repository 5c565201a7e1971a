"""When to reload: on SIGHUP, or when the YAML file changes. Both are opt-in."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from llm_unified.errors import ConfigurationError, ServiceClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_unified.service import UnifiedLLMService

__all__ = ["reload_on_sighup", "watch_config"]


def reload_on_sighup(service: UnifiedLLMService) -> Callable[[], None]:
    """Reload ``service`` whenever the process gets SIGHUP; call the result to stop that.

    A wrong configuration is logged (``reload_refused``) and changes nothing. Call it from the main thread.

    Raises:
        ConfigurationError: this platform has no SIGHUP, or this is not the main thread.
    """
    if not hasattr(signal, "SIGHUP"):
        raise ConfigurationError("this platform has no SIGHUP; use watch_config(service) instead")

    def handle(_signal: int, _frame: Any) -> None:
        # The signal may have interrupted this thread anywhere, so everything is left to another.
        with contextlib.suppress(RuntimeError):  # the process ends
            threading.Thread(
                target=_reload_there, args=(service,), name="llm-unified-reload", daemon=True
            ).start()

    try:
        before = signal.signal(signal.SIGHUP, handle)
    except ValueError:
        raise ConfigurationError("call reload_on_sighup(service) in the main thread") from None

    def stop() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL if before is None else before)

    return stop


def watch_config(
    service: UnifiedLLMService, path: str | os.PathLike[str] | None = None
) -> Callable[[], None]:
    """Reload ``service`` whenever its YAML file changes; call the result to stop that.

    ``path``: default is what ``LLM_CONFIG_FILE`` names. Needs the extra ``[watch]``.

    Raises:
        ConfigurationError: there is no such file, or the package ``watchfiles`` is missing.
    """
    file = os.fspath(path) if path is not None else os.environ.get("LLM_CONFIG_FILE", "")
    if not os.path.isfile(file):  # noqa: PTH113 - as given
        raise ConfigurationError(
            f"there is no file {file!r} to watch; name it, or set LLM_CONFIG_FILE"
        )
    try:
        from watchfiles import awatch
    except ImportError:
        raise ConfigurationError(
            "watching a file needs the package watchfiles: pip install 'llm-unified[watch]'"
        ) from None

    # The folder, since editors and Kubernetes replace the file.
    folder = os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120 - as given

    content = _content(file)

    async def watch() -> None:
        nonlocal content
        # A look every second as well: a change before the watch began has no event.
        async for _ in awatch(folder, recursive=False, yield_on_timeout=True, rust_timeout=1000):
            if (now := _content(file)) != content:
                content = now
                await _reload(service)

    future = service.background.start(watch())

    def stop() -> None:
        future.cancel()

    return stop


def _content(file: str) -> bytes | None:
    with contextlib.suppress(OSError), open(file, "rb") as opened:  # noqa: PTH123
        return opened.read()
    return None


def _reload_there(service: UnifiedLLMService) -> None:
    with contextlib.suppress(ServiceClosedError):
        service.background.start(_reload(service))


async def _reload(service: UnifiedLLMService) -> None:
    # A wrong configuration is logged by `reload`; a closed service needs none.
    with contextlib.suppress(ConfigurationError, ServiceClosedError):
        await service.reload()
