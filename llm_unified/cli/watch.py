"""``llm-unified watch``: the providers, asked again and again, by a service of its own."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from llm_unified.cli.load import chosen, loaded
from llm_unified.cli.rounds import Watched
from llm_unified.service import UnifiedLLMService

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from llm_unified.cli.output import Cell, Output

__all__ = ["run"]

DOWN: Final = 1
_HEADERS: Final = (
    *("", "provider", "now", "breaker", "last", "p50", "p99", "tokens", "cost"),
    "last problem",
)
_LONGEST_NAME: Final = 16
_MINUTE: Final = 60
_SECOND_MS: Final = 1000
_TEN_MS: Final = 10


def run(
    out: Output,
    config: str | None,
    *,
    provider: tuple[str, ...],
    every: float,
    count: int | None,
    tokens: int,
) -> int:
    """Show rounds until there were enough of them, or somebody presses Ctrl-C."""
    settings = loaded(out, config)
    names = chosen(settings, provider)
    settings = settings.model_copy(update={"redis_url": None, "retries": 0})
    if tokens:
        # A round shows failures itself; who cools down after one must not be skipped in the next.
        settings = settings.model_copy(update={"cooldown": 0.0})
    limit = min(settings.deadline, max(every, settings.connect_timeout))

    async def rounds() -> AsyncGenerator[dict[str, Any], None]:
        async with UnifiedLLMService(settings) as service:
            watched = [Watched(service, name, tokens, limit) for name in names]
            number = 0
            while count is None or number < count:
                if number:
                    await asyncio.sleep(every)
                number += 1
                found = await asyncio.gather(*(one.ask() for one in watched))
                up = {one.name for one in watched if one.ready()}
                yield {
                    "round": number,
                    "time": datetime.now().astimezone().isoformat(timespec="milliseconds"),
                    "ok": all(row["up"] is not False for row in found),
                    "chain": list(settings.chain),
                    "answers": next((name for name in settings.chain if name in up), None),
                    "providers": dict(zip(names, found, strict=True)),
                }

    return 0 if asyncio.run(_shown(rounds(), every, tokens, out)) else DOWN


async def _shown(
    rounds: AsyncGenerator[dict[str, Any], None], every: float, tokens: int, out: Output
) -> bool:
    """Show each round; return whether all were up in the last one."""
    up, draw = True, None
    with ExitStack() as screen, ExitStack() as waiting:
        waiting.enter_context(out.progress("asking"))
        async with aclosing(rounds):
            async for found in rounds:
                waiting.close()
                up = found["ok"]
                providers = found["providers"].items()
                if out.as_json:
                    out.data(found, compact=True)
                    out.flush()
                elif sys.stdout.isatty():
                    draw = draw or screen.enter_context(out.live())
                    how = f"up to {tokens} tokens" if tokens else "no tokens"
                    title = f"round {found['round']} at {found['time'][11:19]}, every {every:g} s, {how}"
                    cells = [_cells(name, row, found["answers"]) for name, row in providers]
                    draw(f"{title}; → answers calls; Ctrl-C ends", _HEADERS, cells)
                else:
                    phrases = (_phrase(name, row) for name, row in providers)
                    out.line(f"{found['time'][:19]}  {' | '.join(phrases)}")
                    out.flush()
    return up


def _phrase(name: str, row: dict[str, Any]) -> str:
    if row["up"] is None:
        return f"{name} not checked"
    if row["up"]:
        return f"{name} up {_time(row['ms'], ' ')}"
    return f"{name} DOWN ({row['problem']}; {row['errors']} of {row['requests']} failed)"


def _cells(name: str, row: dict[str, Any], answers: str | None) -> list[Cell]:
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    who: tuple[Cell, Cell] = ("→", (short, "bold")) if name == answers else ("", short)
    word, style = {True: ("up", "good"), False: ("DOWN", "bad")}.get(row["up"], ("?", "dim"))
    breaker: Cell = (row["breaker"], "good" if row["breaker"] == "closed" else "bad")
    times = [_time(row[key]) for key in ("ms", "p50_ms", "p99_ms")]
    spent = [_short(row["tokens"]), f"${row['cost_usd']:.2g}"]
    problem = row["last_problem"] or ""
    if problem:
        problem = f"{_ago(row['seconds_since_problem'])} ago: {problem}"
    return [*who, (word, style), breaker, *times, *spent, problem]


def _time(milliseconds: float | None, space: str = "") -> str:
    """Five characters at most in a table: ``"9.5ms"``, ``"120ms"``, ``"12.3s"``."""
    if milliseconds is None:
        return "-"
    if milliseconds >= _SECOND_MS:
        return f"{milliseconds / _SECOND_MS:.1f}{space}s"
    return f"{milliseconds:.{0 if milliseconds >= _TEN_MS else 1}f}{space}ms"


def _short(number: float) -> str:
    for unit in ("", "k", "M"):
        if number < 999.5:  # noqa: PLR2004 - what k and M mean
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}G"


def _ago(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    minutes = seconds / _MINUTE
    return f"{minutes:.0f} min" if minutes < _MINUTE else f"{minutes / _MINUTE:.1f} h"
