"""DNS, connect, TLS and auth of one target, one after the other, each timed. Standard library only.

The key is checked by asking for the list of models, which costs nothing, with the headers that the
vendor documents. Not by LiteLLM: it cannot say which stage failed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from llm_unified import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from urllib.parse import SplitResult

    from llm_unified.cli.targets import Target

__all__ = ["STAGES", "Report", "examine"]

STAGES: Final = ("dns", "connect", "tls", "auth", "first_token")
_ANTHROPIC_VERSION: Final = "2023-06-01"
_MAX_HEAD: Final = 64 * 1024
_REFUSED: Final = (401, 403)
_RATE_LIMITED: Final = 429
_SERVER_ERROR: Final = 500


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

    @contextmanager
    def timed(self, stage: str, limit: float) -> Iterator[None]:
        """Time a stage; a failure becomes words."""
        began = time.monotonic()
        try:
            yield
        except _StageError as error:
            self.failed, self.problem = stage, str(error)
            raise
        except TimeoutError:
            self.failed, self.problem = stage, f"nothing within {limit:g} s"
            raise _StageError from None
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
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
    base = urlsplit(target.deployment.api_base or "")
    if not base.hostname:
        local = target.provider == "local"
        report.note = "embedded" if local else "LiteLLM knows the address; only an answer tells"
        return report
    with suppress(_StageError):
        async with _connection(base, report, connect_limit) as (reader, writer):
            path = _model_list(target, base)
            if path is None:
                report.note = "reached; only an answer tells whether the key is good"
            else:
                with report.timed("auth", answer_limit):
                    async with asyncio.timeout(answer_limit):
                        report.status = await _status(reader, writer, base, path, _headers(target))
                        if report.status == _RATE_LIMITED:
                            report.retry_after = await _retry_after(reader)
                    _judge(report.status, report)
    return report


@asynccontextmanager
async def _connection(
    base: SplitResult, report: Report, limit: float
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host = base.hostname or ""
    loop = asyncio.get_running_loop()
    secure = base.scheme == "https"
    with report.timed("dns", limit):
        async with asyncio.timeout(limit):
            found = await loop.getaddrinfo(
                host, base.port or (443 if secure else 80), type=socket.SOCK_STREAM
            )
    with report.timed("connect", limit):
        async with asyncio.timeout(limit):
            sock = await _connected(loop, found)
    options = {"ssl": _trust(), "server_hostname": host} if secure else {}
    if secure:
        with report.timed("tls", limit):
            async with asyncio.timeout(limit):
                reader, writer = await _opened(sock, options)
    else:
        reader, writer = await _opened(sock, options)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _connected(
    loop: asyncio.AbstractEventLoop,
    found: Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]],
) -> socket.socket:
    """Return a connection to the first address that takes one."""
    problem: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise problem


async def _opened(
    sock: socket.socket, options: dict[str, object]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(sock=sock, limit=_MAX_HEAD, **options)  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise


def _trust() -> ssl.SSLContext:
    """Return whom the service trusts as well: ``SSL_CERT_FILE``, else certifi's list."""
    bundle = os.environ.get("SSL_CERT_FILE")
    if not bundle:
        import certifi

        bundle = certifi.where()
    return ssl.create_default_context(cafile=bundle)


def _model_list(target: Target, base: SplitResult) -> str | None:
    match target.row.protocol:
        case "openai" | "groq":
            return f"{base.path}/models"
        case "anthropic":
            return f"{base.path}/v1/models"
        case "azure":
            version = urlencode({"api-version": target.deployment.api_version or ""})
            return f"{base.path}/openai/models?{version}"
        case _:
            return None


def _headers(target: Target) -> dict[str, str]:
    key = target.key.get_secret_value() if target.key else None
    if key is None:
        return {}
    match target.row.protocol:
        case "azure":
            return {"api-key": key}
        case "anthropic":
            return {"x-api-key": key, "anthropic-version": _ANTHROPIC_VERSION}
        case _:
            return {"authorization": f"Bearer {key}"}


async def _status(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    base: SplitResult,
    path: str,
    headers: dict[str, str],
) -> int:
    host = base.netloc.rpartition("@")[2]
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", "connection: close", "accept: */*"]
    lines += [f"user-agent: llm-unified/{__version__}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode("ascii", "replace"))
    head = await reader.readuntil(b"\r\n")
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise _StageError("the answer is not HTTP")
    return int(rest[:3])


async def _retry_after(reader: asyncio.StreamReader) -> float | None:
    """Return the seconds of ``Retry-After``, if the rest of the head has it."""
    with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError):
        while line := (await reader.readuntil(b"\r\n")).strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"retry-after":
                return max(0.0, float(value))
    return None


def _judge(status: int, report: Report) -> None:
    if status in _REFUSED:
        raise _StageError(f"the key was refused (HTTP {status})")
    if status == _RATE_LIMITED:
        raise _StageError("the key is over its limit (HTTP 429)")
    if status >= _SERVER_ERROR:
        raise _StageError(f"the provider is in trouble (HTTP {status})")
    if status >= 300:  # noqa: PLR2004 - the HTTP classes are their own names
        report.note = f"lists no models (HTTP {status}), so the key was not checked"
    else:
        report.checked = True


def _words(error: Exception) -> str:  # noqa: PLR0911 - a table
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS spoken: {error.reason or 'handshake failed'}"
        case socket.gaierror():
            return "the host name is unknown"
        case ConnectionRefusedError():
            return "the connection was refused"
        case asyncio.IncompleteReadError():
            return "the connection was closed without an answer"
        case OSError():
            return os.strerror(error.errno) if error.errno else str(error)
        case _:
            return "the answer is not HTTP"
