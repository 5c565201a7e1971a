"""Server-sent events, read as they arrive: bytes in, parsed JSON objects out.

Source: WHATWG HTML, "Server-sent events": lines end with LF, CR or CRLF, a BOM may come first, ``data`` may
take several lines, comments begin with a colon. Two liberties, both met in the wild: an event whose one
``data`` line is a JSON object is complete without the blank line after it, and a line that is no field of
the standard is not skipped but breaks the stream. So text never vanishes: every byte up to the end marker
is parsed and handed on, or the stream is broken after exactly the events before the gap.
"""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["MAX_EVENT_BYTES", "BrokenEventError", "EventParser"]

MAX_EVENT_BYTES: Final = 1024 * 1024
"""The longest line, and the most ``data`` of one event."""

_LINE_COST_BYTES: Final = 48
"""What one more line of an event takes beside its text."""
_BOM: Final = b"\xef\xbb\xbf"
_FIELDS: Final = frozenset({b"data", b"event", b"id", b"retry"})
_BROKEN: Final = "broken event in the stream"
_loads: Final = json.loads


class BrokenEventError(ValueError):
    """What came is no event. The text is words of ours."""


class EventParser:
    """One stream's parser; work per byte is linear, whatever the pieces."""

    __slots__ = (
        "_after_cr",
        "_begun",
        "_data",
        "_data_bytes",
        "_end",
        "_end_text",
        "_max_bytes",
        "_name",
        "_partial",
        "broken",
        "ended",
        "lines",
    )

    def __init__(self, end: str | None, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """``end``: the ``data`` (``[DONE]``), or the event's name or ``type`` (``message_stop``), of the last event."""
        self._end = None if end is None else end.encode()
        self._end_text = end
        self._max_bytes = max_event_bytes
        self._partial = bytearray()  # a line whose end has not come
        self._data: list[bytes] = []  # `data` lines of an event whose blank line has not come
        self._data_bytes = 0
        self._name = b""
        self._begun = self._after_cr = False
        self.broken = ""
        """Why nothing follows; the next `feed` raises it."""
        self.ended = False
        """The end marker came; whatever follows is ignored."""
        self.lines = 0
        """Complete lines so far: the sender is alive."""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The events that these bytes complete.

        Raises:
            BrokenEventError: no event is left before the one that is broken.
        """
        if self.broken:
            raise BrokenEventError(self.broken)
        if self.ended or not data:
            return []
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
            if not data:
                return []
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            self._after_cr = False
        lines = data.split(b"\n")
        rest = lines.pop()
        events: list[dict[str, Any]] = []
        if lines:
            if self._partial:
                lines[0] = bytes(self._partial) + lines[0]
                self._partial.clear()
            self._read(lines, events)
        if rest and not self.ended and not self.broken:
            self._keep(rest)
        if self.broken and not events:
            raise BrokenEventError(self.broken)
        return events

    def finish(self) -> list[dict[str, Any]]:
        """The last event, if only its line end and blank line are missing.

        Raises:
            BrokenEventError: what is left over is no whole event.
        """
        return [] if self.ended else self.feed(b"\n\n")

    def _read(self, lines: list[bytes], events: list[dict[str, Any]]) -> None:
        self.lines += len(lines)
        if not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BOM)
        longest, end, end_text = self._max_bytes, self._end, self._end_text
        for line in lines:
            if len(line) > longest:
                self.broken = f"event over {longest} bytes"
            elif line.startswith(b"data:") and not self._data:
                value = line[5:]
                try:
                    event = _loads(value.decode())
                except (ValueError, RecursionError):
                    event = None
                if type(event) is dict:
                    events.append(event)
                    if end is not None and (event.get("type") == end_text or self._name == end):
                        self.ended = True
                else:
                    self._add(value)
            elif line:
                self._field(line)
            else:
                self._dispatch(events)
            if self.ended or self.broken:
                return

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._name = value.strip()
        elif name and name not in _FIELDS:
            self.broken = _BROKEN

    def _add(self, value: bytes) -> None:
        """A ``data`` line that is no JSON object by itself."""
        if (text := value.strip()) == self._end and not self._data:
            self.ended = True
        elif text:
            self._data.append(value.removeprefix(b" "))
            self._data_bytes += len(value) + _LINE_COST_BYTES
            if self._data_bytes > self._max_bytes:
                self.broken = f"event over {self._max_bytes} bytes"

    def _dispatch(self, events: list[dict[str, Any]]) -> None:
        """A blank line ends the event."""
        name, self._name = self._name, b""
        if self._data:
            data = b"\n".join(self._data)
            self._data.clear()
            self._data_bytes = 0
            try:
                event = _loads(data.decode())
            except (ValueError, RecursionError):
                event = None
            if type(event) is not dict:
                self.broken = _BROKEN
                return
            events.append(event)
            if self._end is not None and event.get("type") == self._end_text:
                self.ended = True
        if name and name == self._end:
            self.ended = True

    def _keep(self, rest: bytes) -> None:
        """Keep the beginning of a line; an end marker needs no line end."""
        self._partial += rest
        if len(self._partial) > self._max_bytes:
            self.broken = f"event over {self._max_bytes} bytes"
        elif len(self._partial) <= 64 and not self._data and self._end is not None:  # noqa: PLR2004
            name, _, value = self._partial.partition(b":")
            if name == b"data" and value.strip() == self._end:
                self.ended = True
