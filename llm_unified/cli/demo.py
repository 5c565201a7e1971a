"""``llm-unified demo``: the main job at work, claim by claim."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from llm_unified.cli.load import existing
from llm_unified.cli.output import milliseconds

if TYPE_CHECKING:
    from llm_unified.cli.output import Cell, Output
    from llm_unified.demo.cast import Cast
    from llm_unified.demo.play import Claim

__all__ = ["run"]

FAILED: Final = 1
_LONGEST: Final = 300  # characters of anything that a model says
_HEADERS: Final = ("PROVIDER", "REQUESTS", "ERRORS", "ANSWERS", "MEDIAN", "COST")


def run(out: Output, config: str | None) -> int:
    """Play, show each claim as soon as it is checked, and count those that hold."""
    from llm_unified.demo.cast import choose_cast
    from llm_unified.testing import Simulator

    with Simulator() as simulator:
        cast = choose_cast(simulator, existing(config))
        out.keep_secret(cast.settings.secrets())
        claims, stats = asyncio.run(_played(cast, out))
    failed = sum(not claim.held for claim in claims)
    if out.as_json:
        shown = [asdict(claim) for claim in claims]
        out.data({"ok": not failed, "claims": shown, "statistics": stats})
    else:
        out.line()
        out.table(_HEADERS, [row for each in stats for row in _rows(each["stats"])])
        out.line()
        if failed:
            out.line(f"{failed} of {len(claims)} claims do not hold.", "bad")
        else:
            out.line(f"All {len(claims)} claims hold.", "good")
    return FAILED if failed else 0


async def _played(cast: Cast, out: Output) -> tuple[list[Claim], list[dict[str, Any]]]:
    from llm_unified.demo.play import perform
    from llm_unified.service import UnifiedLLMService

    if not out.as_json:
        for line in (*cast.remarks, f"chain: {' → '.join(cast.settings.chain)}", ""):
            out.line(line)
    claims = []
    with ExitStack() as waiting:
        async with (
            UnifiedLLMService(cast.settings) as service,
            UnifiedLLMService(cast.broken) as broken,
            aclosing(perform(cast, service, broken)) as play,
        ):
            waiting.enter_context(out.progress("loading LiteLLM, opening connections"))
            async for claim in play:
                waiting.close()
                claims.append(claim)
                if not out.as_json:
                    _show(claim, out)
                waiting.enter_context(out.progress("asking"))
            return claims, [service.get_stats(), broken.get_stats()]


def _show(claim: Claim, out: Output) -> None:
    mark, style = ("ok", "") if claim.held else ("NO", "bad")
    out.line(f"{mark}  {_one_line(claim.text)}", style)
    if claim.said:
        out.line(f'    "{_one_line(out.clean(claim.said))}"', "dim")
    if not claim.held:
        out.line(f"    {_one_line(claim.next_step)}")


def _one_line(text: str) -> str:
    """Return what a model or an error says, without anything that moves a cursor."""
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f"{words[:_LONGEST]} …" if len(words) > _LONGEST else words


def _rows(stats: dict[str, Any]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, requests in stats["requests_by_provider"].items():
        errors, cost = stats["errors_by_provider"][name], stats["cost_usd_by_provider"][name]
        median = milliseconds(stats["latency_by_provider"][name]["p50"])
        figures = map(str, (requests, errors, requests - errors))
        rows.append([name.removesuffix("!"), *figures, median, f"${cost:.6f}" if cost else "-"])
    return rows
