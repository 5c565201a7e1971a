"""What commands say, and how: aligned columns for people and ``grep``, JSON for programs."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO

from llm_unified.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["SHORTEST_SCRUBBED", "Cell", "Output", "WrongInputError", "milliseconds"]

Cell = str | tuple[str, str]
"""A text, or a text and its style."""
_STYLES: Final = {"good": "32", "bad": "31", "dim": "2", "bold": "1"}
SHORTEST_SCRUBBED: Final = 8


class WrongInputError(Exception):
    """Something that the person gave is wrong; the message names it and the next step."""


class Output:
    """Standard output for results, standard error for remarks. No secret passes it."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._secrets: tuple[str, ...] = ()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(
                stream, io.TextIOWrapper
            ):  # an old code page has no arrow: never fail for it
                stream.reconfigure(errors="replace")

    def keep_secret(self, secrets: Iterable[str]) -> None:
        """Blank these out, should they get into a text."""
        self._secrets = tuple(text for text in secrets if len(text) >= SHORTEST_SCRUBBED)

    def write(self, text: str) -> None:
        """Write a part of a line to standard output, at once."""
        sys.stdout.write(scrub(text, self._secrets))
        sys.stdout.flush()

    def line(self, text: str = "", style: str = "") -> None:
        """Write one line."""
        sys.stdout.write(self._painted(scrub(text, self._secrets), style, sys.stdout) + "\n")

    def note(self, text: str) -> None:
        """Write one remark to standard error."""
        sys.stdout.flush()
        sys.stderr.write(scrub(text, self._secrets) + "\n")

    def data(self, value: Any, *, compact: bool = False) -> None:
        """Write a value as JSON: indented, or on one line."""
        indent = None if compact else 2
        text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
        sys.stdout.write(scrub(text, self._secrets) + "\n")
        sys.stdout.flush()

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Write aligned columns, two spaces apart; the last one is as long as it likes."""
        lines: list[Sequence[Cell]] = [[(text, "dim") for text in headers], *rows]
        texts = [[self._text(cell) for cell in line] for line in lines]
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        for line in lines:
            self.row(line, widths)

    def row(self, cells: Sequence[Cell], widths: Sequence[int]) -> None:
        """Write one row of a table whose columns have these widths."""
        parts = []
        for cell, width in zip(cells, widths, strict=True):
            text, style = self._text(cell), cell[1] if isinstance(cell, tuple) else ""
            parts.append(self._painted(text, style, sys.stdout) + " " * (width - len(text)))
        sys.stdout.write("  ".join(parts).rstrip() + "\n")

    def failure(self, what: str, lines: Sequence[str], next_step: str = "") -> None:
        """Say why a command ended early; as JSON on standard output where that was asked for."""
        if self.as_json:
            self.data({"ok": False, "error": what, "problems": list(lines)})
            return
        sys.stdout.flush()
        word = self._painted(f"llm-unified: {what}:", "bad", sys.stderr)
        if len(lines) == 1:
            self.note(f"{word} {lines[0]}")
        else:
            self.note(f"{word} {len(lines)} problems")
            for line in lines:
                self.note(f"  - {line}")
        if next_step:
            self.note(next_step)

    def flush(self) -> None:
        """Find out now whether somebody still reads."""
        sys.stdout.flush()

    def _text(self, cell: Cell) -> str:
        text = cell[0] if isinstance(cell, tuple) else cell
        return scrub(" ".join(text.split()), self._secrets)

    @staticmethod
    def _painted(text: str, style: str, stream: TextIO) -> str:
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        if not style or not text or plain or not stream.isatty():
            return text
        return f"\033[{_STYLES[style]}m{text}\033[0m"


def milliseconds(seconds: float | None) -> str:
    """Return ``"12 ms"``, ``"0.4 ms"`` or ``"-"``."""
    if seconds is None:
        return "-"
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"  # noqa: PLR2004
