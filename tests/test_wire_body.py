"""Bodies: encodings undone once, in pieces, under limits of decoded bytes."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_unified.wire.body import PIECE_BYTES, BodyError, BodyReader, parse_json


class FakeProtocol:
    """What an aiohttp stream asks of its protocol."""

    connected = True

    def pause_reading(self) -> None: ...

    def resume_reading(self, resume_parser: bool = True) -> None: ...


def content_of(*pieces: bytes, eof: bool = True) -> aiohttp.StreamReader:
    loop = asyncio.get_running_loop()
    content = aiohttp.StreamReader(FakeProtocol(), 2**16, loop=loop)  # type: ignore[arg-type]
    for piece in pieces:
        content.feed_data(piece)
    if eof:
        content.feed_eof()
    return content


async def decode(data: bytes, encoding: str, limit: int = 2**20, size: int = 0) -> bytes:
    step = size or max(1, len(data))
    content = content_of(*(data[i : i + step] for i in range(0, len(data), step)))
    return await BodyReader(content, encoding, limit).read_all()


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


ENCODERS: dict[str, Any] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "X-GZip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate ": raw_deflate,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
    "deflate, gzip": lambda data: gzip.compress(zlib.compress(data)),
    "identity,gzip": gzip.compress,
}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=2000), st.sampled_from(sorted(ENCODERS)), st.integers(1, 50))
def test_every_encoding_is_undone(data: bytes, encoding: str, size: int) -> None:
    """Whatever the pieces, the body is what was encoded."""
    packed = ENCODERS[encoding](data)
    assert asyncio.run(decode(packed, encoding, size=size)) == data


async def test_gzip_of_several_members_is_one_body() -> None:
    """RFC 1952: the members follow one another."""
    data = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    assert await decode(data, "gzip") == b"one two"
    assert await decode(data, "gzip", size=1) == b"one two"


@pytest.mark.parametrize("encoding", ["compress", "x", "gzip, gzip, gzip", "br2", "gzip;q=1"])
async def test_what_nobody_asked_for_is_refused(encoding: str) -> None:
    """An unknown encoding, or too many of them, is no answer."""
    with pytest.raises(BodyError):
        await decode(b"data", encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
@pytest.mark.parametrize("damage", ["cut", "flip", "tail", "plain"])
async def test_damage_is_found(encoding: str, damage: str) -> None:
    """A body that was cut, changed, continued or never encoded."""
    data = bytearray(ENCODERS[encoding](b"some text " * 50))
    if damage == "cut":
        del data[-5:]
    elif damage == "flip":
        data[-2] ^= 0x10
    elif damage == "tail":
        data += b"tail"
    else:
        data = bytearray(b'{"plain": "text"}')
    with pytest.raises(BodyError):
        await decode(bytes(data), encoding)


def bomb(size: int, levels: int = 1) -> bytes:
    data = b" " * size
    for _ in range(levels):
        data = gzip.compress(data, 9)
    return data


@pytest.mark.parametrize("levels", [1, 2])
async def test_a_bomb_stops_at_its_limit(levels: int) -> None:
    """200 MB in a few kilobytes: no more than the limit and a few pieces are ever decoded or held."""
    data, limit = bomb(200 * 2**20, levels), 2**20
    reader = BodyReader(content_of(data), ", ".join(["gzip"] * levels), limit)
    decoded = 0
    tracemalloc.start()
    try:
        with pytest.raises(BodyError, match="over 1048576 bytes"):
            while piece := await reader.read():
                decoded += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert decoded <= limit
    assert peak < 2 * 2**20


async def test_what_lies_between_two_encodings_is_bounded_too() -> None:
    """An outer bomb whose inside decodes to nothing would be free otherwise."""
    empty = b"\x00\x00\x00\xff\xff" * 400_000  # blocks of deflate without content
    with pytest.raises(BodyError, match="over"):
        await decode(gzip.compress(empty), "deflate, gzip")


async def test_the_loop_runs_while_a_large_body_is_decoded() -> None:
    """Between a few pieces everything else has its turn."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    size = 64 * PIECE_BYTES
    assert len(await decode(gzip.compress(bytes(size)), "gzip", size + 1)) == size
    other.cancel()
    assert turns >= 16


async def test_bytes_that_arrived_before_a_break_come_first() -> None:
    """aiohttp would raise at once and drop them."""
    content = content_of(b"one", b"two", eof=False)
    content.set_exception(aiohttp.ClientPayloadError())
    reader = BodyReader(content, "", 100)
    assert await reader.read() == b"onetwo"
    for _ in range(2):
        with pytest.raises(aiohttp.ClientPayloadError):
            await reader.read()


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[" * 100_000, b'"\xff"', b"1" * 10_000])
def test_no_json(body: bytes) -> None:
    """Every way not to be JSON is one error, without the text."""
    with pytest.raises(BodyError) as caught:
        parse_json(body)
    assert str(caught.value) == "answer is not JSON"
    assert caught.value.__cause__ is None


def test_json_with_a_bom() -> None:
    """A byte order mark is not worth an answer."""
    assert parse_json(b'\xef\xbb\xbf{"a": "\xe2\x82\xac"}') == {"a": "€"}


def test_json_that_would_stop_the_loop() -> None:
    """Millions of values hold the interpreter's lock; a long text or many vectors do not."""
    assert len(parse_json(json.dumps("word, " * 1_000_000).encode())) == 6_000_000
    with pytest.raises(BodyError, match="too many values"):
        parse_json(b"[" + b"0," * 3_000_000 + b"0]")
