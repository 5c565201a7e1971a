"""``llm-unified demo``: the main job at work, claim by claim."""

from __future__ import annotations

import asyncio
import time
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


def run(out: Output, config: str | None) -> int:
    """Play, show each claim as soon as it is checked, and count those that hold."""
    from llm_unified.demo.cast import choose_cast
    from llm_unified.testing import Simulator

    began = time.monotonic()
    with Simulator() as simulator:
        cast = choose_cast(simulator, existing(config))
        out.keep_secret(cast.settings.secrets())
        claims, stats = asyncio.run(_played(cast, out))
    failed = sum(not claim.held for claim in claims)
    if out.as_json:
        chain = list(cast.settings.chain)
        told = [asdict(claim) for claim in claims]
        out.data({"ok": not failed, "chain": chain, "claims": told, "statistics": stats})
        return FAILED if failed else 0
    out.line()
    out.table(
        ("PROVIDER", "REQUESTS", "ERRORS", "ANSWERS", "MEDIAN", "COST"),
        [row for each in stats for row in _rows(each["stats"])],
    )
    out.line()
    if failed:
        out.line(
            f"{failed} of {len(claims)} claims do not hold; the next step is beside each.", "bad"
        )
        return FAILED
    out.line(f"All {len(claims)} claims hold. It took {time.monotonic() - began:.1f} s.", "good")
    return 0


async def _played(cast: Cast, out: Output) -> tuple[list[Claim], list[dict[str, Any]]]:
    from llm_unified.demo.play import Claim, Witness, perform
    from llm_unified.service import UnifiedLLMService

    claims = []
    if cast.lacking is not None:
        held, next_step = not cast.lacking, " ".join(cast.lacking)
        claims.append(Claim("cast", "a real model takes part", held, next_step=next_step))
    if not out.as_json:
        out.line("chain: " + " → ".join(cast.settings.chain), "bold")
        for line in cast.remarks:
            out.line(line)
        for claim in claims:
            _show(claim, out)
    async with (
        UnifiedLLMService(cast.settings) as service,
        UnifiedLLMService(cast.broken) as failover,
        aclosing(perform(Witness(service), Witness(failover), cast.tool_user)) as play,
    ):
        while True:
            after = claims[-1].step if claims else "loading LiteLLM, opening connections"
            with ExitStack() as waiting:
                waiting.enter_context(out.progress(after))
                found = await anext(aiter(play), None)
            if found is None:
                return claims, [service.get_stats(), failover.get_stats()]
            claims.append(found)
            if not out.as_json:
                _show(found, out)


def _show(claim: Claim, out: Output) -> None:
    out.line(
        f"{'ok' if claim.held else 'NO'}  {_one_line(claim.text)}", "" if claim.held else "bad"
    )
    if claim.said:
        out.line(f'    "{_one_line(claim.said)}"', "dim")
    if not claim.held and claim.next_step:
        out.line(f"    {_one_line(claim.next_step)}")


def _one_line(text: str) -> str:
    """Return what a model or an error says without anything that moves a cursor."""
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
