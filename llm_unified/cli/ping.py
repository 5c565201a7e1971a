"""``llm-unified ping``: each provider, stage by stage."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from llm_unified.cli.load import chosen, loaded
from llm_unified.cli.output import milliseconds
from llm_unified.cli.targets import Target, answers, apart, probe, targets, words
from llm_unified.cli.wire import STAGES, Report, examine
from llm_unified.errors import LLMError
from llm_unified.response import FailureKind
from llm_unified.settings import fingerprint

if TYPE_CHECKING:
    import argparse

    from llm_unified.cli.output import Cell, Output
    from llm_unified.settings import Settings

__all__ = ["run"]

DOWN = 1
_LONGEST_AUTH = 10.0


def run(options: argparse.Namespace, out: Output) -> int:
    """Try all targets at once and show how far each got."""
    settings = loaded(options, out)
    wanted = targets(settings, chosen(settings, options.provider))
    reports = asyncio.run(_all(settings, wanted, options.tokens))
    if out.as_json:
        rows = [_as_data(t, r) for t, r in zip(wanted, reports, strict=True)]
        out.data({"ok": all(report.up for report in reports), "providers": rows})
    else:
        stages = STAGES if options.tokens else STAGES[:-1]
        headers = ["PROVIDER", "MODEL", *(s.upper().replace("_", " ") for s in stages), "RESULT"]
        out.table(headers, [_row(t, r, stages) for t, r in zip(wanted, reports, strict=True)])
        for target, report in zip(wanted, reports, strict=True):
            if step := _next_step(settings, target, report):
                out.note(f"{target.name}: {step}")
    return 0 if all(report.up for report in reports) else DOWN


async def _all(settings: Settings, wanted: list[Target], tokens: int) -> list[Report]:
    limit = min(_LONGEST_AUTH, settings.timeout)
    reports = await asyncio.gather(
        *(examine(t, connect_limit=settings.connect_timeout, answer_limit=limit) for t in wanted)
    )
    alive = [(t, r) for t, r in zip(wanted, reports, strict=True) if r.up]
    if tokens and alive:
        from llm_unified.service import UnifiedLLMService

        async with UnifiedLLMService(apart(settings, [t for t, _ in alive])) as service:
            outcomes = await asyncio.gather(*(probe(service, t.name, tokens) for t, _ in alive))
        for (_, report), outcome in zip(alive, outcomes, strict=True):
            if isinstance(outcome, LLMError) or not answers(outcome):
                report.failed, report.problem = "first_token", words(outcome)
                continue
            report.seconds["first_token"] = outcome.first_token_seconds or outcome.seconds
            if outcome.kind is not None:
                report.note = "spent all tokens on thinking; --tokens 200 shows an answer"
    return reports


def _row(target: Target, report: Report, stages: tuple[str, ...]) -> list[Cell]:
    cells: list[Cell] = [target.name, target.deployment.model]
    for stage in stages:
        failed = stage == report.failed
        cells.append(("failed", "bad") if failed else milliseconds(report.seconds.get(stage)))
    if report.up:
        cells.append((f"up ({report.note})" if report.note else "up", "good"))
    else:
        cells.append((f"down: {report.problem}", "bad"))
    return cells


def _next_step(settings: Settings, target: Target, report: Report) -> str:
    """Return what to do about a failure, naming the variable or line to change."""
    origins = settings.origins

    def place(setting: str) -> str:
        at = f"providers.{target.provider}"
        number = settings.provider(target.provider).deployments.index(target.deployment)
        own = origins.get(f"{at}.deployments.{number}.{setting}")
        origin = own or origins.get(f"{at}.{setting}", "default")
        if origin == "default":
            origin = target.row.variable(setting) or setting
        return origin.removeprefix("environment ")

    match report.failed:
        case None:
            return ""
        case "auth" if "refused" in report.problem:
            label = fingerprint(target.key) if target.key else "none"
            return f"put a valid key into {place('api_key')} (now {label})."
        case "dns" | "connect" | "tls":
            return f"check {place('base_url')} and the network to {target.deployment.api_base}."
        case "first_token" if FailureKind.NOT_FOUND in report.problem:
            return f"check {place('model')}: {target.deployment.model} is not known there."
        case _:
            return "wait, or ask the provider; meanwhile the others of the chain answer."


def _as_data(target: Target, report: Report) -> dict[str, Any]:
    return {
        "name": target.name,
        "provider": target.provider,
        "model": target.deployment.model,
        "base_url": target.deployment.api_base,
        "key": fingerprint(target.key) if target.key else None,
        "up": report.up,
        "milliseconds": {
            stage: round(report.seconds[stage] * 1000, 1) if stage in report.seconds else None
            for stage in STAGES
        },
        "failed_stage": report.failed,
        "problem": report.problem or None,
        "note": report.note or None,
    }
