"""``llm-unified watch``: the providers, asked again and again, by a service of its own."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from llm_unified.cli.load import chosen, loaded
from llm_unified.cli.output import milliseconds
from llm_unified.cli.targets import answers, probe, words
from llm_unified.errors import LLMError
from llm_unified.service import UnifiedLLMService

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from llm_unified.cli.output import Cell, Output

__all__ = ["run"]

DOWN: Final = 1
_HEADERS: Final = (
    *("provider", "health", "turn", "first token", "p50 whole", "asked", "errors"),
    "last problem",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One provider after one round."""

    provider: str
    up: bool
    """It answered in this round."""
    health: str
    """All rounds together, as `UnifiedLLMService.get_health` sees it."""
    turn: str
    """The deployment whose turn it was."""
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
    # A round shows failures itself; who cools down after one must not be skipped in the next.
    settings = settings.model_copy(update={"cooldown": 0.0, "redis_url": None, "retries": 0})
    limit = min(settings.deadline, max(every, settings.connect_timeout))

    async def rounds() -> AsyncGenerator[Round, None]:
        async with UnifiedLLMService(settings) as service:
            number = 0
            while count is None or number < count:
                if number:
                    await asyncio.sleep(every)
                number += 1
                rows = await asyncio.gather(*(_row(service, n, tokens, limit) for n in names))
                yield Round(number, datetime.now().astimezone(), tuple(rows))

    up = asyncio.run(_shown(rounds(), every, out))
    return 0 if up else DOWN


async def _row(service: UnifiedLLMService, name: str, tokens: int, limit: float) -> Row:
    outcome = await probe(service, name, tokens, deadline=limit)
    stats = service.get_stats()["stats"]
    health = service.get_health().get(name, {})  # knows the chain only
    attempt = None if isinstance(outcome, LLMError) else outcome
    up = attempt is not None and answers(attempt)
    return Row(
        provider=name,
        up=up,
        health=health.get("status", "healthy" if up else "unhealthy"),
        turn=attempt.deployment if attempt else "-",
        seconds=(attempt.first_token_seconds or attempt.seconds) if attempt else None,
        median=stats["latency_by_provider"].get(name, {}).get("p50"),
        asked=stats["requests_by_provider"].get(name, 0),
        errors=stats["errors_by_provider"].get(name, 0),
        problem="" if up else words(outcome),
    )


async def _shown(rounds: AsyncGenerator[Round, None], every: float, out: Output) -> bool:
    """Show each round; return whether all were up in the last one."""
    up, draw = True, None
    with ExitStack() as screen:
        waiting = screen.enter_context(ExitStack())
        waiting.enter_context(out.progress("asking"))
        async with aclosing(rounds):
            async for moment in rounds:
                waiting.close()
                up = all(row.up for row in moment.rows)
                when = moment.time.isoformat(timespec="seconds")
                if out.as_json:
                    out.data(_as_data(moment, when, up=up), compact=True)
                elif sys.stdout.isatty():
                    draw = draw or screen.enter_context(out.live())
                    title = f"round {moment.number} at {moment.time:%H:%M:%S}, every {every:g} s"
                    draw(f"{title}, Ctrl-C ends", _HEADERS, [_cells(row) for row in moment.rows])
                else:
                    out.line(f"{when}  " + " | ".join(map(_phrase, moment.rows)))
                    out.flush()
    return up


def _phrase(row: Row) -> str:
    if row.up:
        return f"{row.provider} up {milliseconds(row.seconds)}"
    return f"{row.provider} DOWN ({row.problem}; {row.errors} of {row.asked} failed)"


def _cells(row: Row) -> list[Cell]:
    return [
        row.provider,
        (row.health, "good" if row.up else "bad"),
        row.turn,
        milliseconds(row.seconds),
        milliseconds(row.median),
        str(row.asked),
        str(row.errors),
        row.problem,
    ]


def _as_data(moment: Round, when: str, *, up: bool) -> dict[str, Any]:
    def thousandths(seconds: float | None) -> float | None:
        return None if seconds is None else round(seconds * 1000, 1)

    return {
        "round": moment.number,
        "time": when,
        "ok": up,
        "providers": {
            row.provider: {
                "up": row.up,
                "health": row.health,
                "turn": row.turn,
                "first_token_ms": thousandths(row.seconds),
                "p50_ms": thousandths(row.median),
                "requests": row.asked,
                "errors": row.errors,
                "problem": row.problem or None,
            }
            for row in moment.rows
        },
    }
