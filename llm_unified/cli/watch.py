"""``llm-unified watch``: the providers, asked again and again, by a service of its own."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, aclosing
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

    async def rounds() -> AsyncGenerator[dict[str, Any], None]:
        async with UnifiedLLMService(settings) as service:
            number = 0
            while count is None or number < count:
                if number:
                    await asyncio.sleep(every)
                number += 1
                found = await asyncio.gather(*(_row(service, n, tokens, limit) for n in names))
                yield {
                    "round": number,
                    "time": datetime.now().astimezone().isoformat(timespec="seconds"),
                    "ok": all(row["up"] for row in found),
                    "providers": dict(zip(names, found, strict=True)),
                }

    return 0 if asyncio.run(_shown(rounds(), every, out)) else DOWN


async def _row(service: UnifiedLLMService, name: str, tokens: int, limit: float) -> dict[str, Any]:
    """Ask one provider; return how it is: ``up`` in this round, ``health`` over all of them."""
    outcome = await probe(service, name, tokens, deadline=limit)
    stats = service.get_stats()["stats"]
    health = service.get_health().get(name, {})  # knows the chain only
    attempt = None if isinstance(outcome, LLMError) else outcome
    up = attempt is not None and answers(attempt)
    first = (attempt.first_token_seconds or attempt.seconds) if attempt else None
    latency = stats["latency_by_provider"].get(name)
    median = None if latency is None else latency["p50"]
    return {
        "up": up,
        "health": health.get("status", "healthy" if up else "unhealthy"),
        "turn": attempt.deployment if attempt else "-",
        "first_token_ms": None if first is None else round(first * 1000, 1),
        "p50_ms": None if median is None else round(median * 1000, 1),
        "requests": stats["requests_by_provider"].get(name, 0),
        "errors": stats["errors_by_provider"].get(name, 0),
        "problem": None if up else words(outcome),
    }


async def _shown(rounds: AsyncGenerator[dict[str, Any], None], every: float, out: Output) -> bool:
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
                elif sys.stdout.isatty():
                    draw = draw or screen.enter_context(out.live())
                    title = f"round {found['round']} at {found['time'][11:19]}, every {every:g} s"
                    cells = [_cells(name, row) for name, row in providers]
                    draw(f"{title}, Ctrl-C ends", _HEADERS, cells)
                else:
                    phrases = (_phrase(name, row) for name, row in providers)
                    out.line(f"{found['time']}  {' | '.join(phrases)}")
                    out.flush()
    return up


def _phrase(name: str, row: dict[str, Any]) -> str:
    if row["up"]:
        return f"{name} up {_figure(row['first_token_ms'])}"
    return f"{name} DOWN ({row['problem']}; {row['errors']} of {row['requests']} failed)"


def _cells(name: str, row: dict[str, Any]) -> list[Cell]:
    health: Cell = (row["health"], "good" if row["up"] else "bad")
    figures = map(_figure, (row["first_token_ms"], row["p50_ms"]))
    counts = map(str, (row["requests"], row["errors"]))
    return [name, health, row["turn"], *figures, *counts, row["problem"] or ""]


def _figure(thousandths: float | None) -> str:
    return milliseconds(None if thousandths is None else thousandths / 1000)
