"""``llm-unified demo``: the whole thing at work, claim by claim."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from llm_unified import __version__
from llm_unified.cli.load import config_path
from llm_unified.cli.output import SHORTEST_SCRUBBED
from llm_unified.redaction import scrub

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from llm_unified.cli.output import Output
    from llm_unified.demo.cast import Cast
    from llm_unified.demo.play import Step

__all__ = ["run"]

FAILED = 1
_WIDE = 100  # columns where nobody says how many there are
_LONGEST = 600  # characters of anything that a model or an error says


def run(options: argparse.Namespace, out: Output) -> int:
    """Play, show each step as soon as it is over, and judge."""
    from llm_unified.demo.cast import choose_cast
    from llm_unified.testing import Simulator

    began = time.monotonic()
    with Simulator() as simulator:
        cast = choose_cast(simulator, config_path(options))
        out.keep_secret(cast.settings.secrets())
        screen = _Screen(cast, shown=not out.as_json)
        steps = asyncio.run(_played(cast, screen))
    checks = [check for step in steps for check in step.checks]
    failed = [check for check in checks if not check.held]
    if out.as_json:
        told = [
            {
                "step": s.name,
                "claim": c.claim,
                "held": c.held,
                "next_step": "" if c.held else c.next_step,
            }
            for s in steps
            for c in s.checks
        ]
        out.data({"ok": not failed, "checks": told, "steps": {s.name: s.data for s in steps}})
    else:
        screen.verdict(len(checks), len(failed), time.monotonic() - began, cast.next_step)
    return FAILED if failed else 0


async def _played(cast: Cast, screen: _Screen) -> list[Step]:
    from llm_unified.demo.play import STEPS, perform

    steps = []
    with screen.progress(STEPS) as say:
        async with aclosing(perform(cast, say)) as play:
            async for step in play:
                screen.show(step)
                steps.append(step)
    return steps


class _Screen:
    """A terminal of any width, with or without colour, or a pipe. No secret passes it."""

    def __init__(self, cast: Cast, *, shown: bool) -> None:
        self._secrets = [s for s in cast.settings.secrets() if len(s) >= SHORTEST_SCRUBBED]
        self._shown = shown
        self._console = _console()
        encoding = self._console.encoding
        self._marks = ("✔", "✘", "→") if _can_say("✔✘→", encoding) else ("ok", "NO", ">")
        self._say(f"llm_unified {__version__}: the main job as one program", "bold")

    @contextmanager
    def progress(self, steps: int) -> Iterator[Callable[[str], None]]:
        """Show, where a person looks, what is being done and for how long."""
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        console = self._console
        if not (self._shown and console.is_terminal):
            console = Console(stderr=True)
        words = TextColumn("{task.description}", markup=False)
        columns = (SpinnerColumn(), MofNCompleteColumn(), words, Elapsed())
        with Progress(
            *columns,
            console=console,
            disable=not console.is_terminal,
            transient=True,
            redirect_stdout=False,  # it goes where it goes, be it a pipe
            redirect_stderr=False,
        ) as bar:
            task = bar.add_task("", total=steps)
            begun = itertools.count()
            yield lambda text: bar.update(task, description=text, completed=next(begun))

    def show(self, step: Step) -> None:
        """Show what a step did, and whether its claims are true."""
        if not self._shown:
            return
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        self._say("")
        self._say(step.title, "bold")
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for check in step.checks:
            mark, style = (self._marks[0], "green") if check.held else (self._marks[1], "red")
            words = Text(self._clean(check.claim))
            if check.shown:
                words.append(f'\n"{self._clean(check.shown)}"', "italic")
            if not check.held and check.next_step:
                words.append(f"\n{self._marks[2]} {self._clean(check.next_step)}", "yellow")
            grid.add_row(Text(mark, style), words)
        for remark in step.remarks:
            self._console.print(Padding(Text(self._clean(remark)), (0, 0, 0, 2), expand=False))
        if step.rows:
            self._table([[self._clean(cell) for cell in row] for row in step.rows])
        self._console.print(Padding(grid, (0, 0, 0, 2), expand=False))

    def _table(self, rows: list[list[str]]) -> None:
        """Show columns where they fit, else a paragraph per row."""
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        indent = (0, 0, 0, 2)
        headers, *others = rows
        widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
        if sum(widths) > self._console.width:
            for first, *rest in others:
                pairs = zip(headers[1:], rest, strict=True)
                words = ", ".join(f"{name.lower()} {cell}" for name, cell in pairs)
                text = Text(f"{first}: ").append(words, "dim")
                self._console.print(Padding(text, indent, expand=False))
            return
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for name in headers:
            table.add_column(name, no_wrap=True)
        for row in others:
            table.add_row(*map(Text, row))
        self._console.print(Padding(table, indent, expand=False))

    def verdict(self, claims: int, failed: int, seconds: float, next_step: str) -> None:
        """Say how it ended."""
        self._say("")
        if failed:
            words = f"{failed} of {claims} claims did not hold; what to do stands beside them."
            self._say(words, "bold red")
        else:
            self._say(f"All {claims} claims hold. It took {seconds:.1f} s.", "bold green")
            if next_step:
                self._say(next_step)

    def _say(self, text: str, style: str = "") -> None:
        if self._shown:
            self._console.print(self._clean(text), style=style or None)

    def _clean(self, text: str) -> str:
        """Return one line without secrets and without anything that moves a cursor."""
        words = " ".join(scrub(text, self._secrets).split())
        words = "".join(c if c.isprintable() else " " for c in words)
        return f"{words[:_LONGEST]} …" if len(words) > _LONGEST else words


def _console() -> Console:
    from rich.console import Console

    plain: dict[str, Any] = {"markup": False, "highlight": False, "emoji": False}
    console = Console(**plain)
    if console.is_terminal or os.environ.get("COLUMNS"):
        return console
    return Console(width=_WIDE, **plain)


def _can_say(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True
