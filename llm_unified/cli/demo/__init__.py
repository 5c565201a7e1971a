"""``llm-unified demo``: the main job at work, claim by claim."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from llm_unified.cli.load import existing

if TYPE_CHECKING:
    from llm_unified.cli.demo.cast import Cast
    from llm_unified.cli.demo.play import Claim
    from llm_unified.cli.output import Output
    from llm_unified.observe.figures import ServiceStats

__all__ = ["run"]

FAILED: Final = 1
_LONGEST: Final = 300  # characters of anything that a model says


def run(out: Output, config: str | None) -> int:
    """Play, show each claim as soon as it is checked, and count those that hold."""
    from llm_unified.cli.demo.cast import choose_cast
    from llm_unified.testing import Simulator

    with Simulator() as simulator:
        cast = choose_cast(simulator, existing(config))
        out.keep_secret(cast.settings.secrets())
        claims, stats = asyncio.run(_played(cast, out))
    failed = sum(not claim.held for claim in claims)
    if out.as_json:
        shown = [asdict(claim) for claim in claims]
        out.data({"ok": not failed, "claims": shown, "statistics": stats})
        return FAILED if failed else 0
    rows = [
        (name.removesuffix("!"), str(asked), str(found["stats"]["errors_by_provider"][name]))
        for found in stats
        for name, asked in found["stats"]["requests_by_provider"].items()
    ]
    out.line()
    out.table(("PROVIDER", "REQUESTS", "ERRORS"), rows)
    out.line()
    if failed:
        out.line(f"{failed} of {len(claims)} claims do not hold.", "bad")
        return FAILED
    out.line(f"All {len(claims)} claims hold.", "good")
    return 0


async def _played(cast: Cast, out: Output) -> tuple[list[Claim], list[ServiceStats]]:
    from llm_unified.cli.demo.play import perform
    from llm_unified.service import UnifiedLLMService

    claims = []
    if not out.as_json:
        out.line("\n".join((*cast.remarks, f"chain: {' → '.join(cast.settings.chain)}", "")))
    async with (
        UnifiedLLMService(cast.settings) as service,
        UnifiedLLMService(cast.broken) as broken,
        aclosing(perform(cast, service, broken)) as play,
    ):
        with ExitStack() as waiting:
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
    out.line(f"{mark}  {claim.text}", style)
    if claim.said:  # without anything that moves a cursor
        printable = "".join(c if c.isprintable() else " " for c in out.clean(claim.said))
        words = " ".join(printable.split())
        out.line(f'    "{words[:_LONGEST]}{" …" if len(words) > _LONGEST else ""}"', "dim")
    if not claim.held and claim.next_step:
        out.line(f"    {claim.next_step}")
