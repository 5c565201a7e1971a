"""Dropping the transport of an event loop that is gone, or that a parent process runs.

This is the one place that reaches into asyncio's private attributes. `close` and `abort` would schedule into
the dead loop (an error) or take the socket out of a selector shared with the parent (its connection would go
deaf), and a transport that is merely dropped says so with a ``ResourceWarning``. Where asyncio is built
otherwise (uvloop) nothing happens, and nothing is needed.
"""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["forget"]


def forget(transport: asyncio.BaseTransport) -> None:
    """Close the socket, in this process only, and leave the loop alone."""
    for layer in (
        transport,
        getattr(getattr(transport, "_ssl_protocol", None), "_transport", None),
    ):
        if isinstance(layer, asyncio.BaseTransport):
            sock = getattr(layer, "_sock", None)
            with contextlib.suppress(AttributeError):
                layer._closed = True  # type: ignore[attr-defined] # noqa: SLF001 - TLS: already closed
            if sock is not None:
                layer._sock = None  # type: ignore[attr-defined] # noqa: SLF001 - nothing left to warn of
                sock.close()
