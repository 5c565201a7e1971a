"""``llm-unified watch``: the providers, asked again and again, by a service of its own."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from llm_unified.cli.load import chosen, loaded
from llm_unified.cli.output import milliseconds
from llm_unified.cli.targets import answers, probe, words
from llm_unified.errors import LLMError
from llm_unified.service import UnifiedLLMService

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from rich.table import Table

    from llm_unified.cli.output import Output
    from llm_unified.settings import Settings

__all__ = ["run"]

DOWN: Final = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One provider after one round."""

    provider: str
    up: bool
    """It answered in this round."""
    health: str
    """All rounds together, as `UnifiedLLMService.get_health` sees it."""
    turn: str
    """The pool copy whose turn it was."""
    seconds: float | None
    """Until the first token."""
    median: float | None
    asked: int
    errors: int
    problem: str
    """Of this round."""


@dataclass(frozen=True, slots=True)
class Round:
    """All providers at one moment."""

    number: int
    time: datetime
    rows: tuple[Row, ...]

    @property
    def up(self) -> bool:
        return all(row.up for row in self.rows)


def run(options: argparse.Namespace, out: Output) -> int:
    """Show rounds until there were enough of them, or somebody presses Ctrl-C."""
    settings = loaded(options, out)
    names = chosen(settings, options.provider)
    # A round shows failures itself; who rests after one must not be skipped in the next.
    settings = settings.model_copy(update={"cooldown": 0.0, "redis_url": None, "retries": 0})
    if sys.stdout.isatty() and not out.as_json:
        return asyncio.run(_live(settings, names, options))
    return asyncio.run(_lines(settings, names, options, out))


async def _rounds(
    settings: Settings, names: tuple[str, ...], options: argparse.Namespace
) -> AsyncIterator[Round]:
    async with UnifiedLLMService(settings) as service:
        number = 0
        while options.count is None or number < options.count:
            if number:
                await asyncio.sleep(options.every)
            number += 1
            limit = min(settings.deadline, max(options.every, settings.connect_timeout))
            rows = await asyncio.gather(
                *(_row(service, name, options.tokens, limit) for name in names)
            )
            yield Round(number, datetime.now().astimezone(), tuple(rows))


async def _row(service: UnifiedLLMService, name: str, tokens: int, limit: float) -> Row:
    outcome = await probe(service, name, tokens, deadline=limit)
    stats = service.get_stats()["stats"]
    health = service.get_health().get(name, {})  # knows the chain only
    latency = stats["latency_by_provider"].get(name, {})
    attempt = None if isinstance(outcome, LLMError) else outcome
    up = attempt is not None and answers(attempt)
    return Row(
        provider=name,
        up=up,
        health=health.get("status", "healthy" if up else "unhealthy"),
        turn=attempt.deployment if attempt else "-",
        seconds=(attempt.first_token_seconds or attempt.seconds) if attempt else None,
        median=latency.get("p50"),
        asked=stats["requests_by_provider"].get(name, 0),
        errors=stats["errors_by_provider"].get(name, 0),
        problem="" if up else words(outcome),
    )


async def _lines(
    settings: Settings, names: tuple[str, ...], options: argparse.Namespace, out: Output
) -> int:
    up = True
    async for moment in _rounds(settings, names, options):
        up = moment.up
        if out.as_json:
            out.data(_as_data(moment), compact=True)
        else:
            parts = [
                f"{row.provider} {'up ' + milliseconds(row.seconds) if row.up else _down(row)}"
                for row in moment.rows
            ]
            out.line(f"{moment.time.isoformat(timespec='seconds')}  " + " | ".join(parts))
            out.flush()
    return 0 if up else DOWN


def _down(row: Row) -> str:
    return f"DOWN ({row.problem}; {row.errors} of {row.asked} failed)"


async def _live(settings: Settings, names: tuple[str, ...], options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.live import Live

    console = Console()  # it respects NO_COLOR
    up = True
    with console.status("asking …") as status:
        rounds = _rounds(settings, names, options)
        first = await anext(rounds)
        status.stop()
        with Live(_table(first, options.every), console=console, auto_refresh=False) as live:
            up = first.up
            async for moment in rounds:
                up = moment.up
                live.update(_table(moment, options.every), refresh=True)
    return 0 if up else DOWN


def _table(moment: Round, every: float) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"round {moment.number} at {moment.time:%H:%M:%S}, every {every:g} s, Ctrl-C ends",
        title_justify="left",
    )
    for title in ("provider", "health", "turn"):
        table.add_column(title)
    for title in ("first token", "p50 whole", "asked", "errors"):
        table.add_column(title, justify="right")
    table.add_column("last problem")
    for row in moment.rows:
        table.add_row(
            row.provider,
            Text(row.health, "green" if row.up else "bold red"),
            row.turn,
            milliseconds(row.seconds),
            milliseconds(row.median),
            str(row.asked),
            str(row.errors),
            Text(row.problem),
        )
    return table


def _as_data(moment: Round) -> dict[str, Any]:
    return {
        "round": moment.number,
        "time": moment.time.isoformat(timespec="seconds"),
        "ok": moment.up,
        "providers": {
            row.provider: {
                "up": row.up,
                "health": row.health,
                "turn": row.turn,
                "first_token_ms": None if row.seconds is None else round(row.seconds * 1000, 1),
                "p50_ms": None if row.median is None else round(row.median * 1000, 1),
                "requests": row.asked,
                "errors": row.errors,
                "problem": row.problem or None,
            }
            for row in moment.rows
        },
    }
