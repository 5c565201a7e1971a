"""What commands say, and how: aligned columns for people and ``grep``, JSON for programs.

In a terminal rich draws: colours (not where ``NO_COLOR`` is set), words and columns folded to its width,
progress. A pipe gets plain lines, however long, and never loads rich (with ``FORCE_COLOR`` it gets colours);
so does a terminal where rich is not installed (it comes with the extra ``cli``).
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TextIO

from llm_unified.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import Console, RenderableType

__all__ = ["Cell", "Output", "WrongInputError", "milliseconds"]

Cell = str | tuple[str, str]
"""A text, or a text and its style."""
_STYLES: Final = {"good": "green", "bad": "red", "dim": "dim", "bold": "bold"}
_SHORTEST_SECRET: Final = 8  # characters; a shorter one is a word of every text
_NARROWEST: Final = 24  # columns to which a cell is folded
_LAST: Final = 25  # columns for the last cell, if that has so many: those of the longest variable
_INDENT: Final = 4
_ENDLESS: Final = 10_000  # columns of what is no terminal


class WrongInputError(Exception):
    """Something that the person gave is wrong; the message names it and the next step."""


class Output:
    """Standard output for results, standard error for remarks. No secret passes it."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.spelled: dict[str, str] = {}
        """What the library calls it → what the person typed."""
        self._secrets: tuple[str, ...] = ()
        self._consoles: dict[int, Console] = {}
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # an old code page has no arrow

    def keep_secret(self, secrets: Iterable[str]) -> None:
        """Redact these, should they get into a text."""
        self._secrets = tuple(text for text in secrets if len(text) >= _SHORTEST_SECRET)

    def clean(self, text: str) -> str:
        """Return the text without secrets, and in the words of the command line."""
        for ours, theirs in self.spelled.items():
            text = text.replace(ours, theirs)
        return scrub(text, self._secrets)

    def write(self, text: str) -> None:
        """Write to standard output as it is: a part of a line, or what somebody may copy."""
        sys.stdout.write(self.clean(text))
        sys.stdout.flush()

    def line(self, text: str = "", style: str = "") -> None:
        """Write one line."""
        self._say(sys.stdout, (text, style))

    def note(self, text: str) -> None:
        """Write one remark to standard error."""
        self._say(sys.stderr, (text, ""))

    def data(self, value: Any, *, compact: bool = False) -> None:
        """Write a value as JSON: indented, or on one line."""
        indent = None if compact else 2
        self.write(json.dumps(value, indent=indent, ensure_ascii=False, default=str) + "\n")

    def failure(self, what: str, lines: Sequence[str], next_step: str = "") -> None:
        """Say why a command ended early; as JSON on standard output where that was asked for."""
        if self.as_json:
            self.data({"ok": False, "error": what, "problems": list(lines)})
            return
        several = len(lines) != 1
        head = f" {len(lines)} problems" if several else f" {lines[0]}"
        self._say(sys.stderr, (f"llm-unified: {what}:", "bad"), (head, ""))
        for line in lines if several else ():
            self.note(f"  - {line}")
        if next_step:
            self.note(next_step)

    def flush(self) -> None:
        """Find out now whether somebody still reads."""
        sys.stdout.flush()

    def table(
        self,
        headers: Sequence[str],
        rows: Iterable[Sequence[Cell]],
        widths: Sequence[int] | None = None,
    ) -> None:
        """Write columns two spaces apart, as wide as their longest text.

        ``widths`` are those of rows that come one by one, each shown as soon as it is there.
        """
        head = [(text, "dim") for text in headers]
        console = self._console(sys.stdout)
        if widths is None:
            rows = list(rows)
            widths = _widths([head, *rows])
            if console and sum(widths) + 2 * len(head) - 2 > console.width:
                widths = _widths([[max(text.split(), key=len) for text in headers], *rows])
        for row in chain([head], rows):
            if console:
                console.print(*self._drawn(row, _fitted(widths, console.width)), sep="\n")
            else:
                texts = (self._plain(cell)[0] for cell in row)
                padded = (f"{text:{width}}" for text, width in zip(texts, widths, strict=True))
                sys.stdout.write("  ".join(padded).rstrip() + "\n")
                sys.stdout.flush()

    @contextmanager
    def live(self) -> Iterator[Callable[[str, Sequence[str], Sequence[Sequence[Cell]]], None]]:
        """Draw a title and a table again and again: at one place of a terminal, else one below the other."""
        console = self._console(sys.stdout)
        if console is None:
            yield self._below
            return
        from rich.console import Group
        from rich.live import Live
        from rich.text import Text

        with Live(console=console, auto_refresh=False) as screen:

            def draw(title: str, headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
                lines: list[Sequence[Cell]] = [[(text, "dim") for text in headers], *rows]
                widths = _fitted(_widths(lines), console.width)
                drawn = [part for line in lines for part in self._drawn(line, widths)]
                screen.update(Group(Text(title, "italic"), *drawn), refresh=True)

            yield draw

    def _below(self, title: str, headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        self.line(title)
        self.table(headers, rows)

    @contextmanager
    def progress(self, text: str) -> Iterator[None]:
        """Show what takes its time, where a person looks on; gone without a trace afterwards."""
        console = self._console(sys.stderr)
        if console is None or self.as_json or not sys.stderr.isatty():
            yield
            return
        from rich.live import Live
        from rich.spinner import Spinner
        from rich.text import Text

        spinner = Spinner("dots", Text(self.clean(text)))
        # Standard output keeps going where it goes, be it a pipe.
        quiet: dict[str, Any] = {"redirect_stdout": False, "redirect_stderr": False}
        with Live(spinner, console=console, transient=True, **quiet):
            yield

    def _say(self, stream: TextIO, *parts: tuple[str, str]) -> None:
        sys.stdout.flush()
        console = self._console(stream)
        if console is None:
            stream.write("".join(self.clean(text) for text, _ in parts) + "\n")
            return
        from rich.padding import Padding
        from rich.text import Text

        text = Text.assemble(*((self.clean(text), _STYLES.get(style, "")) for text, style in parts))
        indent = len(text.plain) - len(text.plain.lstrip(" "))
        console.print(Padding(text[indent:], (0, 0, 0, indent), expand=False) if text else "")

    def _drawn(self, row: Sequence[Cell], widths: Sequence[int]) -> list[RenderableType]:
        """Return a row for a terminal; a last cell for which there is no room stands below it."""
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        cells = [Text(text, _STYLES.get(style, "")) for text, style in map(self._plain, row)]
        room = widths[-1]
        beside = room >= _NARROWEST or cells[-1].cell_len <= room
        grid = Table.grid(padding=(0, 2, 0, 0))
        for width in widths if beside else widths[:-1]:
            grid.add_column(width=width, overflow="fold")
        grid.add_row(*(cells if beside else cells[:-1]))
        if beside:
            return [grid]
        return [grid, Padding(cells[-1], (0, 0, 0, _INDENT), expand=False)]

    def _plain(self, cell: Cell) -> tuple[str, str]:
        text, style = cell if isinstance(cell, tuple) else (cell, "")
        return self.clean(" ".join(text.split())), style

    def _console(self, stream: TextIO) -> Console | None:
        """Return rich's console of a terminal; ``None`` for what gets plain lines."""
        drawn = stream.isatty() or os.environ.get("FORCE_COLOR")
        if not drawn or find_spec("rich") is None:
            return None
        if (console := self._consoles.get(id(stream))) is None:
            from rich.console import Console

            more: dict[str, Any] = {} if stream.isatty() else {"width": _ENDLESS}
            if os.environ.get("NO_COLOR"):
                more["color_system"] = None  # neither bold nor dim: nothing but text
            console = Console(file=stream, markup=False, highlight=False, emoji=False, **more)
            self._consoles[id(stream)] = console
        return console


def _widths(rows: Sequence[Sequence[Cell]]) -> list[int]:
    texts = [[cell[0] if isinstance(cell, tuple) else cell for cell in row] for row in rows]
    return [max(map(len, column)) for column in zip(*texts, strict=True)]


def _fitted(widths: Sequence[int], room: int) -> list[int]:
    """Fold the widest columns until all fit; what is left over is the last one's."""
    *first, last = widths
    room -= 2 * len(first)
    while sum(first) + min(last, _LAST) > room and max(first) > _NARROWEST:
        first[first.index(max(first))] -= 1
    return [*first, max(0, min(last, room - sum(first)))]


def milliseconds(seconds: float | None) -> str:
    """Return ``"12 ms"``, ``"0.4 ms"`` or ``"-"``."""
    if seconds is None:
        return "-"
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"  # noqa: PLR2004
