"""``llm-unified report``: one HTML page about what a watch, or a service's log, wrote."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llm_unified.cli.output import WrongInputError
from llm_unified.cli.report.figures import figures
from llm_unified.cli.report.lines import read
from llm_unified.cli.report.page import page
from llm_unified.cli.report.units import count

if TYPE_CHECKING:
    from llm_unified.cli.output import Output
    from llm_unified.cli.report.lines import Reading

__all__ = ["run"]

_STDIO = "-"


def run(out: Output, config: str | None, *, file: str, output: str | None) -> int:
    """Read the lines, draw the page, and say what was wrong with the lines."""
    source = "standard input" if file == _STDIO else Path(file).name
    reading = _read(file)
    found = figures(reading)
    if found is None:
        raise WrongInputError(
            f"{file}: nothing to draw: none of its {count(reading.lines)} lines is of "
            f"`llm-unified watch --json` or of a log in JSON{_first(reading)}."
        )
    html = out.clean(page(reading, found, source))
    target = output or (_STDIO if file == _STDIO else str(Path(file).with_suffix(".html")))
    _write(out, html, target, file)
    if out.as_json and target != _STDIO:
        out.data({"ok": True, "page": target, "lines": reading.lines, "bad": _named(reading)})
        return 0
    if reading.bad:
        words = "; ".join(f"line {number}: {why}" for number, why in reading.bad_lines)
        out.note(f"{count(reading.bad)} of {count(reading.lines)} lines say nothing ({words}).")
    if target != _STDIO:
        out.line(target)
    return 0


def _read(file: str) -> Reading:
    if file == _STDIO:
        return read(sys.stdin.buffer)
    try:
        with Path(file).open("rb") as lines:
            return read(lines)
    except OSError as error:
        raise WrongInputError(f"{file}: {error.strerror or error}.") from None


def _write(out: Output, html: str, target: str, file: str) -> None:
    if target == _STDIO:
        out.write(html)
        return
    try:
        if Path(target).exists() and file != _STDIO and Path(target).samefile(file):
            raise WrongInputError(f"--output {target}: this is the file to read. Name another.")
        Path(target).write_text(html, encoding="utf-8", errors="replace")
    except OSError as error:
        raise WrongInputError(f"--output {target}: {error.strerror or error}.") from None


def _first(reading: Reading) -> str:
    return f" (line {reading.bad_lines[0][0]}: {reading.bad_lines[0][1]})" if reading.bad else ""


def _named(reading: Reading) -> dict[str, object]:
    first = [{"line": number, "why": why} for number, why in reading.bad_lines]
    return {"lines": reading.bad, "first": first}
