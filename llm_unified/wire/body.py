"""A body as it comes off the wire: content encodings undone once, in pieces, under limits.

Limits are counted in *decoded* bytes, so a bomb stops where a plain body of that size would. Work is cut into
pieces of `PIECE_BYTES`, with the event loop running between them.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator
from typing import Any, Final, Protocol

import aiohttp

__all__ = [
    "MAX_ANSWER_BYTES",
    "MAX_ERROR_BYTES",
    "MAX_STREAM_BYTES",
    "BodyError",
    "BodyReader",
    "parse_json",
]

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""A longer answer is no answer."""
MAX_STREAM_BYTES: Final = 128 * 1024 * 1024
"""A longer stream is no answer; an event of OpenAI's wire takes some 300 bytes for one token. A compressed
one, which nobody asked for, may be as long as an answer."""
MAX_ERROR_BYTES: Final = 64 * 1024
"""So much of a refusal's body is read."""
PIECE_BYTES: Final = 64 * 1024
_PIECE_COST_BYTES: Final = 4096
"""What the smallest piece counts for: after every `PIECE_BYTES` the event loop runs."""
_MAX_CODINGS: Final = 2
_MAX_GZIP_MEMBERS: Final = 10_000
"""An empty one takes twenty bytes and costs as much as a piece."""
_MAX_JSON_VALUES: Final = 2_000_000
"""Commas in one answer. Parsing holds the interpreter's lock: 32 MB of ``[0,0,…`` would stop the loop for seconds."""
_MANY_BYTES: Final = 1024 * 1024


class BodyError(Exception):
    """The body is none that can be used. The text is words of ours."""


class _Coding(Protocol):
    """One content encoding, undone incrementally."""

    ended: bool

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _Zlib:
    """gzip (RFC 1952, several members too) and deflate (RFC 9110: zlib's; raw is met as well)."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inner: Any = None
        self._members = 0
        self.ended = False

    def _start(self, data: bytes) -> None:
        if self._gzip:
            bits = zlib.MAX_WBITS | 16
        else:  # RFC 1950: the low four bits of its first byte are 8
            bits = zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS  # noqa: PLR2004
        self._inner = zlib.decompressobj(bits)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner is None or (self._inner.eof and self._gzip):
                self._members += 1
                if self._members > _MAX_GZIP_MEMBERS:
                    raise zlib.error
                self._start(data)
                self.ended = False
            elif self._inner.eof:
                raise zlib.error
            while True:
                piece = self._inner.decompress(data, PIECE_BYTES)
                data = self._inner.unconsumed_tail
                yield piece
                if self._inner.eof or (not data and len(piece) < PIECE_BYTES):
                    break
            data = self._inner.unused_data if self._inner.eof else b""
            self.ended = self._inner.eof


class _Zstd:
    """Only where the standard library (3.14) or its backport has it; the window is RFC 9659's for HTTP."""

    def __init__(self) -> None:
        try:
            from compression import zstd  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            from backports import zstd  # type: ignore[import-not-found,no-redef,unused-ignore]

        largest = {zstd.DecompressionParameter.window_log_max: 23}
        self._inner: Any = zstd.ZstdDecompressor(options=largest)
        self.ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while not self.ended:
            piece = self._inner.decompress(data, PIECE_BYTES)
            data, self.ended = b"", self._inner.eof
            yield piece
            if self._inner.needs_input:
                return
        if data or self._inner.unused_data:
            raise BodyError(_DAMAGED)


class _Brotli:
    """Only with the ``Brotli`` package, from 1.2: the first that can stop at a limit."""

    def __init__(self) -> None:
        import brotli  # type: ignore[import-not-found,import-untyped,unused-ignore]

        self._inner: Any = brotli.Decompressor()
        self._inner.can_accept_more_data()
        self.ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            piece = self._inner.process(data, output_buffer_limit=PIECE_BYTES)
            data, self.ended = b"", self._inner.is_finished()
            yield piece
            if self.ended or self._inner.can_accept_more_data():
                return


_DAMAGED: Final = "body could not be decoded"


def _codings(header: str) -> list[_Coding]:
    """What undoes this ``Content-Encoding``, in the order of undoing."""
    names = [
        name for part in header.lower().split(",") if (name := part.strip()) not in ("", "identity")
    ]
    if len(names) > _MAX_CODINGS:
        raise BodyError("body encoded more than twice")
    found: list[_Coding] = []
    for name in reversed(names):
        if name in ("gzip", "x-gzip", "deflate"):
            found.append(_Zlib(gzip=name != "deflate"))
        elif name in ("br", "zstd"):
            try:
                found.append(_Brotli() if name == "br" else _Zstd())
            except (ImportError, AttributeError):
                raise BodyError("body in an encoding that was not asked for") from None
        else:
            raise BodyError("body in an encoding that was not asked for")
    return found


class BodyReader:
    """Reads one body to its end, decoded."""

    __slots__ = ("_codings", "_content", "_counts", "_fault", "_limit", "_pieces", "_work")

    def __init__(self, content: aiohttp.StreamReader, encoding: str, limit: int) -> None:
        """``encoding`` is the ``Content-Encoding`` header, ``limit`` the most bytes, decoded or not.

        Raises:
            BodyError: an encoding that nobody asked for.
        """
        self._content, self._limit = content, limit
        self._codings = _codings(encoding) if encoding else []
        self._counts = [0] * (1 + len(self._codings))
        self._pieces: Iterator[bytes] | None = None
        self._fault: Exception | None = None
        self._work = 0

    async def read(self) -> bytes:
        """The next piece, ``b""`` at the end.

        Raises:
            BodyError: damaged, cut, or over the limit.
            aiohttp.ClientError, OSError: the connection broke; what had arrived before is handed out first.
        """
        while True:
            if self._pieces is not None:
                if piece := await self._next_piece():
                    return piece
                continue
            piece = await self._read_raw()
            if not piece:
                if self._counts[0] and not all(coding.ended for coding in self._codings):
                    raise BodyError(_DAMAGED)
                return b""
            if not self._codings and len(piece) <= PIECE_BYTES:
                self._count(0, piece)
                return piece
            self._pieces = self._decode(piece)

    async def _next_piece(self) -> bytes:
        if self._work >= PIECE_BYTES:
            self._work = 0
            await asyncio.sleep(0)
        try:
            piece = next(self._pieces or iter(()), None)
        except BodyError:
            raise
        except Exception:  # noqa: BLE001 - each library has an error class of its own
            raise BodyError(_DAMAGED) from None
        if piece is None:
            self._pieces = None
            return b""
        self._work += len(piece) + _PIECE_COST_BYTES
        return piece

    def _count(self, level: int, data: bytes) -> None:
        self._counts[level] += len(data)
        if self._counts[level] > self._limit:
            raise BodyError(f"body over {self._limit} bytes")

    def _decode(self, raw: bytes) -> Iterator[bytes]:
        for start in range(0, len(raw), PIECE_BYTES):
            yield from self._undo(0, raw[start : start + PIECE_BYTES])

    def _undo(self, level: int, data: bytes) -> Iterator[bytes]:
        """``data`` through the codings from ``level`` on; what lies between two of them counts as well."""
        self._count(level, data)
        if level == len(self._codings):
            yield data
            return
        for piece in self._codings[level].feed(data):
            yield from self._undo(level + 1, piece)

    async def _read_raw(self) -> bytes:
        if self._fault is None:
            try:
                return await self._content.readany()
            except Exception as fault:  # noqa: BLE001 - kept: what had arrived goes first
                self._fault = fault
                if left := _undelivered(self._content):
                    return left
        raise self._fault

    async def read_all(self) -> bytes:
        """The whole body.

        Raises:
            BodyError, aiohttp.ClientError, OSError: see `read`.
        """
        parts = []
        while piece := await self.read():
            parts.append(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _undelivered(content: aiohttp.StreamReader) -> bytes:
    """What had arrived when the connection broke: aiohttp raises first, and would drop it.

    Its public names do it: the fault is taken out while the rest is read.
    """
    fault = content.exception()
    if fault is None:
        return b""
    content.set_exception(None)  # type: ignore[arg-type] # what `exception` gives before any fault
    try:
        return content.read_nowait()
    finally:
        content.set_exception(fault)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text (UTF-8, with or without BOM).

    Raises:
        BodyError: it is none, or one that would stop the event loop.
    """
    try:
        if len(body) > _MANY_BYTES and body.count(b",") > _MAX_JSON_VALUES:
            raise BodyError("answer of too many values")
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BodyError("answer is not JSON") from None
