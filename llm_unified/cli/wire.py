"""DNS, connect, TLS and auth of one target, one after the other, each timed.

The key is checked as a connection probe checks it: by asking for the list of models, which costs nothing.
Over asyncio's own sockets, because no HTTP client shows each stage.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from llm_unified.vendors import models_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from llm_unified.cli.targets import Target

__all__ = ["RATE_LIMITED", "REFUSED", "STAGES", "Report", "examine"]

STAGES: Final = ("dns", "connect", "tls", "auth", "first_token")
REFUSED: Final = (401, 403)
RATE_LIMITED: Final = 429
_SERVER_ERROR: Final = 500
_MAX_HEAD: Final = 64 * 1024  # bytes
_BODY_SECONDS: Final = 1.0  # a refusal that does not come to its end counts as far as it came


@dataclass(slots=True)
class Report:
    """What one target did, stage by stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Of each stage that went well."""
    failed: str | None = None
    """The stage that did not."""
    problem: str = ""
    note: str = ""
    """Something to know although nothing failed."""
    checked: bool = False
    """Whether the provider accepted the key, or answered."""
    status: int | None = None
    retry_after: float | None = None
    """Seconds that the provider asked to be left alone."""

    @property
    def up(self) -> bool | None:
        """``None``: nothing failed, but nothing was tested either."""
        if self.failed is not None:
            return False
        return True if self.checked else None

    @asynccontextmanager
    async def timed(self, stage: str, limit: float) -> AsyncIterator[None]:
        """Time a stage, for ``limit`` seconds at most; a failure becomes words."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit):
                yield
        except TimeoutError:
            self.failed, self.problem = stage, f"nothing within {limit:g} s"
            raise _StageError from None
        except (_StageError, OSError, EOFError, asyncio.LimitOverrunError) as error:
            self.failed, self.problem = stage, _words(error)
            raise _StageError from None
        self.seconds[stage] = time.monotonic() - began


class _StageError(Exception):
    """A stage failed; the report knows more."""


async def examine(target: Target, *, connect_limit: float, answer_limit: float) -> Report:
    """Go through the stages up to the first that fails; the limits are seconds of one stage.

    The key is sent to its own provider only.
    """
    report = Report()
    if not urlsplit(target.deployment.api_base or "").hostname:
        local = target.provider == "local"
        report.note = "embedded" if local else "LiteLLM knows the address; only an answer shows it"
        return report
    with suppress(_StageError):
        await _examine(target, report, connect_limit, answer_limit)
    return report


async def _examine(target: Target, report: Report, limit: float, answer_limit: float) -> None:
    url, head = _request(target)
    host, secure = url.hostname or "", url.scheme == "https"
    port = url.port or (443 if secure else 80)
    async with report.timed("dns", limit):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    async with report.timed("connect", limit):
        reader, writer = await _connected([str(address[0]) for *_, address in found], port)
    try:
        if secure:
            async with report.timed("tls", limit):
                await writer.start_tls(_trust(), server_hostname=host)
        if target.row.protocol == "other":
            report.note = "reached; only an answer shows whether the key is good"
            return
        async with report.timed("auth", answer_limit):
            writer.write(head)
            await _read_answer(reader, report)
    finally:
        writer.transport.abort()


async def _connected(
    addresses: list[str], port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection to the first address that takes one."""
    problem: OSError = OSError("the name has no address")
    for address in addresses:
        try:
            return await asyncio.open_connection(address, port, limit=_MAX_HEAD)
        except OSError as error:
            problem = error
    raise problem


def _trust() -> ssl.SSLContext:
    """Return whom the service trusts as well: ``SSL_CERT_FILE``, else certifi's list."""
    bundle = os.environ.get("SSL_CERT_FILE")
    if not bundle:
        import certifi

        bundle = certifi.where()
    return ssl.create_default_context(cafile=bundle)


def _request(target: Target) -> tuple[SplitResult, bytes]:
    """Return where the list of models is, and the head of the request for it."""
    deployment, key = target.deployment, target.key
    params = {
        "api_base": deployment.api_base or "",
        "api_key": key.get_secret_value() if key else "",
        "api_version": deployment.api_version or "",
    }
    method, url, headers = models_request(target.row.protocol, params)
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Accept: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "Connection: close", "", ""])
    return parts, head.encode("ascii", "replace")


async def _read_answer(reader: asyncio.StreamReader, report: Report) -> None:
    """Read the answer as far as it shows how the provider took the key."""
    line = await reader.readuntil(b"\r\n")
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise _StageError("the answer is not HTTP")
    report.status = status = int(rest[:3])
    if status in REFUSED:
        if await _lacks_a_scope(reader):
            report.note = f"the key may not list models (HTTP {status}), so it was not checked"
            return
        raise _StageError(f"the key was refused (HTTP {status})")
    if status == RATE_LIMITED:
        with suppress(OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            headers = BytesHeaderParser().parsebytes(await reader.readuntil(b"\r\n\r\n"))
            report.retry_after = max(0.0, float(headers.get("retry-after", "")))
        raise _StageError("the key is over its limit (HTTP 429)")
    if status >= _SERVER_ERROR:
        raise _StageError(f"the provider is in trouble (HTTP {status})")
    if status >= 300:  # noqa: PLR2004 - the HTTP classes are their own names
        report.note = f"lists no models (HTTP {status}), so the key was not checked"
    else:
        report.checked = True


async def _lacks_a_scope(reader: asyncio.StreamReader) -> bool:
    """Whether a refusal concerns the list of models alone: OpenAI's keys have scopes."""
    body = b""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_BODY_SECONDS):
            while len(body) < _MAX_HEAD and (part := await reader.read(_MAX_HEAD)):
                body += part
    return b"scopes" in body


def _words(error: Exception) -> str:  # noqa: PLR0911 - a table
    match error:
        case _StageError():
            return str(error)
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS spoken: {error.reason or 'handshake failed'}"
        case socket.gaierror():
            return "the host name is unknown"
        case ConnectionRefusedError():
            return "the connection was refused"
        case EOFError():
            return "the connection was closed without an answer"
        case OSError():
            return os.strerror(error.errno) if error.errno else str(error)
        case _:
            return "the answer is not HTTP"
