"""The parser of event streams: whatever the bytes and the pieces, nothing vanishes."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_unified.wire.sse import BrokenEventError, EventParser

DONE = b"data: [DONE]\n\n"
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(data: bytes, end: str | None = "[DONE]", sizes: list[int] | None = None) -> Any:
    """Feed in pieces: ``(events, ended, why it is broken)``."""
    parser = EventParser(end, max_event_bytes=4096)
    events: list[Any] = []
    pieces = []
    for size in sizes or []:
        pieces.append(data[:size])
        data = data[size:]
    try:
        for piece in (*pieces, data):
            events += parser.feed(piece)
        if not parser.broken:
            events += parser.finish()
    except BrokenEventError:
        assert parser.broken
    return events, parser.ended, parser.broken


def reference(  # noqa: C901, PLR0911, PLR0912 - one pass, naive on purpose
    data: bytes, end: str
) -> tuple[list[Any], bool, bool]:
    """The same rules, naively: all lines at once, no state but the event's."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    *lines, last = text.split(b"\n")
    lines += [last, b""]
    events: list[Any] = []
    pending: list[bytes] = []
    name = b""
    for line in lines:
        field, _, value = line.partition(b":")
        if len(line) > 4096:
            return events, False, True
        if line and field not in (b"", b"data", b"event", b"id", b"retry"):
            return events, False, True
        if field == b"event":
            name = value.strip()
        elif field == b"data" and value.strip():
            if not pending and value.strip() == end.encode():
                return events, True, False
            pending.append(value)
            if sum(len(line) + 48 for line in pending) > 4096:
                return events, False, True
        if pending and (not line or len(pending) == 1):
            try:
                event = json.loads(b"\n".join(pending).decode())
            except (ValueError, RecursionError):
                event = None
            if isinstance(event, dict):
                events.append(event)
                pending = []
                if event.get("type") == end or name == end.encode():
                    return events, True, False
            elif not line:
                return events, False, True
        if not line:
            if name == end.encode():
                return events, True, False
            name = b""
    return events, False, bool(pending)


NASTY = "a\u2028b\u2029c\x85d\r\ne\x0bf\x1cg\u20ac\U0001f600 data: [DONE]\n\n"
contents = st.one_of(st.text(max_size=30), st.just(NASTY))
events = st.builds(lambda text, n: {"n": n, "text": text}, contents, st.integers(0, 99))
newline = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def good_pieces(draw: st.DrawFn) -> tuple[bytes, list[Any]]:
    """One event as some server may write it, or something between events."""
    nl = draw(newline)
    what = draw(st.sampled_from(["event", "lines", "named", "bare", "comment", "blank", "id"]))
    if what in ("comment", "blank", "id"):
        return {"comment": f": ping{nl}", "blank": nl, "id": f"id: 7{nl}retry: 3{nl}{nl}"}[
            what
        ].encode(), []
    event = draw(events)
    if what == "lines":
        lines = json.dumps(event, indent=1).split("\n")
        data = "".join(f"data: {line}{nl}" for line in lines) + nl
    else:
        ascii_only = draw(st.booleans())
        head = f"event: chunk{nl}" if what == "named" else ""
        space = draw(st.sampled_from(["", " "]))
        line = json.dumps(event, ensure_ascii=ascii_only)
        data = f"{head}data:{space}{line}{nl}" + ("" if what == "bare" else nl)
    return data.encode(errors="surrogatepass"), [event]


BREAKS = (
    b'data: {"n": 1, "text": "cut\n\n',
    b"data: [1]\n\n",
    b"data: null\n\n",
    b"garbage\n",
    b"<html>\n",
    b'{"n": 1}\n',
    b" data: {}\n",
    b"data: {} {}\n\n",
    b"data: \xff{}\n\n",
    b"data: " + b"[" * 3000 + b"\n\n",
    b"data: " + b"x" * 5000 + b"\n\n",
    b": " + b"x" * 5000 + b"\n",
    b"data: x\n" * 3000,
)


@unhurried
@given(
    st.lists(good_pieces(), max_size=8),
    st.lists(good_pieces(), max_size=4),
    st.sampled_from(BREAKS),
    st.lists(st.integers(1, 40), max_size=40),
)
def test_what_is_handed_out_is_what_came_before_the_break(
    before: list[Any], after: list[Any], broken: bytes, sizes: list[int]
) -> None:
    """Exactly the events before the first broken thing, then the break; nothing behind it, never `ended`."""
    head = b"".join(data for data, _ in before)
    sent = [event for _, found in before for event in found]
    if head and not head.endswith((b"\n\n", b"\r\r", b"\r\n\r\n")):
        head += b"\n\n"
    tail = b"".join(data for data, _ in after) + DONE
    got, ended, why = read(head + broken + b"\n" + tail, sizes=sizes)
    assert got == sent
    assert not ended
    assert why


@unhurried
@given(st.lists(good_pieces(), max_size=10), st.lists(st.integers(1, 40), max_size=60))
def test_a_whole_stream_is_whole(pieces: list[Any], sizes: list[int]) -> None:
    """Every event once, in order, and the end is seen; what follows it is ignored."""
    data = b"".join(data for data, _ in pieces) + b"\n\n" + DONE + b"garbage\n" + DONE
    sent = [event for _, found in pieces for event in found]
    assert read(data, sizes=sizes) == (sent, True, "")
    assert read(b"\xef\xbb\xbf" + data, sizes=sizes) == (sent, True, "")


@unhurried
@given(
    st.lists(good_pieces(), max_size=6),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=3),
    st.lists(st.integers(1, 30), max_size=60),
    st.booleans(),
)
def test_bytes_changed_at_random_are_read_as_the_reference_reads_them(
    pieces: list[Any], flips: list[tuple[int, int]], sizes: list[int], anthropic: bool
) -> None:
    """One byte here and there: the same events and the same end as the naive parser, however it is split."""
    end = "message_stop" if anthropic else "[DONE]"
    last = b'event: message_stop\ndata: {"type": "message_stop"}\n\n' if anthropic else DONE
    data = bytearray(b"".join(data for data, _ in pieces) + last)
    for where, value in flips:
        data[where % len(data)] = value
    got, ended, why = read(bytes(data), end, sizes)
    expected, expected_end, broken = reference(bytes(data), end)
    if ended and not expected_end:  # a marker without its line end is one at once
        assert (got, why) == (expected, "")
    else:
        assert (got, ended, bool(why)) == (expected, expected_end, broken)


@unhurried
@given(st.binary(max_size=300), st.lists(st.integers(1, 30), max_size=20))
def test_any_bytes(data: bytes, sizes: list[int]) -> None:
    """Nothing but events and `BrokenEventError` comes out."""
    got, _, _ = read(data, sizes=sizes)
    assert all(isinstance(event, dict) for event in got)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'event: message_stop\ndata: {"type": "message_stop"}\n\n', id="both"),
        pytest.param(b'data: {"type": "message_stop"}\n', id="type"),
        pytest.param(b"event: message_stop\ndata: {}\n\n", id="name"),
        pytest.param(b"data: {}\nevent: message_stop\n\n", id="name-last"),
        pytest.param(b"event: message_stop\n\n", id="name-alone"),
        pytest.param(b'data: {\ndata: "type": "message_stop"}\n\n', id="lines"),
    ],
)
def test_ends_of_anthropics_streams(data: bytes) -> None:
    """By the event's name or by its type."""
    _, ended, why = read(b'data: {"type": "ping"}\n\n' + data + b"garbage\n", "message_stop")
    assert ended
    assert not why


@pytest.mark.parametrize("marker", [b"data: [DONE]", b"data:[DONE]\r", b"data: [DONE] \n"])
def test_the_marker_ends_it_at_once(marker: bytes) -> None:
    """No blank line, not even a line end, is waited for."""
    parser = EventParser("[DONE]")
    assert parser.feed(b'data: {"a": 1}\n\n' + marker) == [{"a": 1}]
    assert parser.ended


def test_an_event_is_handed_out_at_its_line_end() -> None:
    """A text that is there is not held back for the blank line."""
    parser = EventParser("[DONE]")
    assert parser.feed(b'data: {"a": 1}') == []
    assert parser.feed(b"\n") == [{"a": 1}]


def test_good_events_first_then_the_break() -> None:
    """The break is known at once, and raised when nothing good is left before it."""
    parser = EventParser("[DONE]")
    assert parser.feed(b'data: {"a": 1}\n\nbroken\ndata: {"a": 2}\n\n') == [{"a": 1}]
    assert parser.broken
    with pytest.raises(BrokenEventError):
        parser.feed(b'data: {"a": 3}\n\n')


@pytest.mark.parametrize("piece", [b"x", b"data: x", b": x", b"data: x\n"])
def test_an_endless_line_or_event_stops_at_the_limit(piece: bytes) -> None:
    """No more than the limit is ever kept."""
    parser = EventParser(None, max_event_bytes=10_000)
    fed = 0
    with pytest.raises(BrokenEventError, match=r"10000 bytes|broken"):
        while fed < 100_000:
            fed += len(piece)
            parser.feed(piece)
    assert fed <= 30_000


@pytest.mark.parametrize("line", [b"data: %s", b"data: x\ndata: %s"])
def test_work_is_linear_in_the_bytes(line: bytes) -> None:
    """Four times as many bytes, one by one, take about four times the work, not sixteen."""

    def seconds(size: int) -> float:
        data = line % (b"x" * size)
        parser = EventParser(None)
        start = time.process_time()
        for i in range(len(data)):
            parser.feed(data[i : i + 1])
        return time.process_time() - start

    assert min(seconds(200_000) for _ in range(3)) < 9 * min(seconds(50_000) for _ in range(3))
