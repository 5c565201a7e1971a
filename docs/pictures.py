"""The pictures of the README and the site: the command line at work, and the house.

    python docs/pictures.py         both
    python docs/pictures.py house   the house alone

The command line's is a real run against the simulator, in a pseudo-terminal of 80 columns, drawn by rich. Both are SVG
files of their own: no script, no font of another host.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from llm_unified.testing import Simulator, faults, replies

ASSETS = Path(__file__).parent / "assets"
COLUMNS = 80
ASKED = ("ask", "Why do we dream? One sentence.")
SAID = "Sleep gives the brain time to sort what the day left behind, and dreams are how that looks."
COLOURS = (
    *((69, 76, 92), (240, 113, 120), (127, 214, 141), (230, 192, 110)),
    *((110, 170, 245), (199, 146, 234), (104, 200, 210), (214, 221, 232)),
)
"""Black, red, green, yellow, blue, magenta, cyan, white."""
MOVES = re.compile(
    r"\x1b\[(\d*)A|(\x1b\[2K)|(\r)|\x1b\[[0-9;?]*[B-LN-Za-ln-z]|\x1b\].*?(?:\x07|\x1b\\)"
)
"""What moves the cursor or erases; colours are neither."""
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
text {{ font-family: system-ui, -apple-system, "Segoe UI", sans-serif; }}
.{unique_id}-matrix text {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own, without the fonts that it would load from another host."""


def in_terminal(*arguments: str, environ: dict[str, str]) -> str:
    """What the command writes where it is looked at, colours included."""
    ours, theirs = pty.openpty()
    seen = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": "40", "LC_ALL": "C.UTF-8"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with subprocess.Popen(
        [sys.executable, "-m", "llm_unified", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**kept, **seen, **environ},
    ) as process:  # fmt: skip
        os.close(theirs)
        written = b"".join(_read(ours))
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}:\n{written.decode()}")
    return "\n".join(_kept(written.decode().replace("\r\n", "\n"))).rstrip()


def _kept(written: str) -> list[str]:
    """The lines that stand there in the end: a spinner goes up to its own line and erases it."""
    lines = [""]
    at = 0
    for move in [*MOVES.finditer(written), None]:
        text = written[at : move.start() if move else None]
        first, *more = text.split("\n")
        lines[-1] += first
        lines += more
        if move is None:
            break
        at = move.end()
        if move[1] is not None:
            del lines[len(lines) - int(move[1] or 1) :]
        if move[2] or move[1] is not None:
            lines = lines or [""]
        if move[2]:
            lines[-1] = ""
    return lines


def _read(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # Linux's word for: the other end is closed
            return
        if not piece:
            return
        yield piece


def session() -> list[tuple[str, str]]:
    """Commands and what they wrote: a question while the primary is at its limit, then the drill."""
    with Simulator(latency=0.03) as simulator:
        environ = simulator.environ("openai", "groq", "anthropic")
        for provider in simulator:
            provider.always(replies.text(SAID))
        simulator.openai.script(faults.rate_limit(retry_after=20))
        asked = in_terminal(*ASKED, environ=environ)
        drilled = in_terminal("drill", environ=environ)
    return [(f'llm-unified ask "{ASKED[1]}"', asked), ("llm-unified drill", drilled)]


def terminal(commands: list[tuple[str, str]]) -> str:
    """The session as SVG."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme
    from rich.text import Text

    theme = TerminalTheme(
        (22, 27, 38),
        (214, 221, 232),
        list(COLOURS),
    )
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        for number, (command, output) in enumerate(commands):
            if number:
                console.print()
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(output))
        return console.export_svg(
            title="llm-unified", theme=theme, code_format=FRAME, unique_id="terminal"
        )


ROOMS: list[list[tuple[str, str]]] = [
    [
        ("integrations", "what other libraries expect"),
        (
            "cli · asgi · client · warmer · reload · export",
            "what a person or an application starts",
        ),
    ],
    [("service", "the façade: arguments in, answer out")],
    [("calls", "request → chain → attempt → answer")],
    [("engine", "the only door to LiteLLM"), ("observe", "counters, health, events, exporters")],
    [
        ("pool", "who exists, whose turn, breakers"),
        ("vendors", "what each API takes"),
        ("wire", "bytes in, facts out"),
    ],
    [("settings", "one model of every option")],
    [("failures", "facts → kind, as rows with their sources")],
    [("response · errors · logs · redaction", "the vocabulary")],
]
"""Storeys from the roof down. `pyproject.toml` has the exact order, and import-linter keeps it."""
TINTS = ("#f3f5fd", "#e8ecfa", "#dbe2f7", "#ccd6f4", "#bbc9f0", "#a9bbeb", "#96abe5", "#39407f")
WIDE, HIGH, GAP, EDGE = 760, 52, 8, 28


HOUSE = """<svg viewBox="0 0 {wide} {high}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
text {{ font-family: system-ui, -apple-system, "Segoe UI", sans-serif; text-anchor: middle; }}
.name {{ font-size: 15px; font-weight: 600; fill: #1d2454; }}
.does {{ font-size: 12.5px; fill: #454d78; }}
.dark .name {{ fill: #ffffff; }}
.dark .does {{ fill: #c9cff2; }}
</style>
<rect width="{wide}" height="{high}" rx="14" fill="#ffffff"/>
<g class="dark"><path d="M{left} 112 L{middle} 24 L{right} 112 Z" fill="#39407f"/>
<text x="{middle}" y="82" class="name">llm_unified</text>
<text x="{middle}" y="102" class="does">imports point downward only</text></g>
{rooms}
</svg>
"""


def house() -> str:
    """The rooms as SVG."""
    wide, high = WIDE + 2 * EDGE, 140 + len(ROOMS) * (HIGH + GAP)
    rooms = "\n".join(_rooms())
    sides = {"left": EDGE - 10, "middle": wide // 2, "right": EDGE + WIDE + 10}
    return HOUSE.format(wide=wide, high=high, rooms=rooms, **sides)


def _rooms() -> Iterator[str]:
    for storey, (rooms, tint) in enumerate(zip(ROOMS, TINTS, strict=True)):
        width = (WIDE - GAP * (len(rooms) - 1)) / len(rooms)
        top = 120 + storey * (HIGH + GAP)
        for number, (name, does) in enumerate(rooms):
            left = EDGE + number * (width + GAP)
            middle = f"{left + width / 2:.1f}"
            yield f'<g class="{"dark" if rooms is ROOMS[-1] else "light"}">'
            yield f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{HIGH}" rx="6" fill="{tint}"/>'
            yield f'<text x="{middle}" y="{top + 22}" class="name">{escape(name)}</text>'
            yield f'<text x="{middle}" y="{top + 41}" class="does">{escape(does)}</text></g>'


if __name__ == "__main__":
    if "house" not in sys.argv:
        (ASSETS / "terminal.svg").write_text(terminal(session()), "utf-8")
    (ASSETS / "house.svg").write_text(house(), "utf-8")
