"""``llm-unified ping``: each provider, stage by stage."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from llm_unified.cli.load import chosen, loaded
from llm_unified.cli.output import milliseconds
from llm_unified.cli.targets import Target, answers, apart, probe, targets, words
from llm_unified.cli.wire import RATE_LIMITED, REFUSED, STAGES, Report, examine
from llm_unified.errors import LLMError
from llm_unified.response import FailureKind
from llm_unified.settings import fingerprint

if TYPE_CHECKING:
    from llm_unified.cli.output import Cell, Output
    from llm_unified.settings import Settings

__all__ = ["run"]

DOWN: Final = 1
_AUTH_SECONDS: Final = 10.0


def run(out: Output, config: str | None, *, provider: tuple[str, ...], tokens: int) -> int:
    """Try all targets at once and show how far each got."""
    settings = loaded(out, config)
    wanted = targets(settings, chosen(settings, provider))
    with out.progress(f"asking {', '.join(target.name for target in wanted)}"):
        reports = asyncio.run(_all(settings, wanted, tokens))
    found = list(zip(wanted, reports, strict=True))
    awake = {target.provider for target, report in found if report.up is not False}
    down = {target.provider for target in wanted} - awake
    steps = {
        target.name: _next_step(
            settings, target, report, set(settings.chain) - down - {target.provider}
        )
        for target, report in found
    }
    well = all(report.up is not False for report in reports)
    if out.as_json:
        rows = [_as_data(target, report, steps[target.name]) for target, report in found]
        out.data({"ok": well, "providers": rows})
    else:
        stages = STAGES if tokens else STAGES[:-1]
        headers = ["PROVIDER", "MODEL", *(s.upper().replace("_", " ") for s in stages), "RESULT"]
        out.table(headers, [_row(target, report, stages) for target, report in found])
        for name, step in steps.items():
            if step:
                out.note(f"{name}: {step}")
    return 0 if well else DOWN


async def _all(settings: Settings, wanted: list[Target], tokens: int) -> list[Report]:
    limit = min(_AUTH_SECONDS, settings.timeout)
    reports = await asyncio.gather(
        *(examine(t, connect_limit=settings.connect_timeout, answer_limit=limit) for t in wanted)
    )
    alive = [(t, r) for t, r in zip(wanted, reports, strict=True) if r.up is not False]
    if tokens and alive:
        from llm_unified.service import UnifiedLLMService

        async with UnifiedLLMService(apart(settings, [t for t, _ in alive])) as service:
            outcomes = await asyncio.gather(*(probe(service, t.name, tokens) for t, _ in alive))
        for (_, report), outcome in zip(alive, outcomes, strict=True):
            if isinstance(outcome, LLMError) or not answers(outcome):
                report.failed, report.problem = "first_token", words(outcome)
                report.status = getattr(outcome, "status", None)
                report.retry_after = getattr(outcome, "retry_after", None)
                continue
            if not report.checked and "auth" in report.seconds:
                report.note = ""  # the answer has shown what the list of models could not
            report.checked = True
            report.seconds["first_token"] = outcome.first_token_seconds or outcome.seconds
            if outcome.kind is not None:
                report.note = "spent all tokens on thinking; --tokens 200 shows an answer"
    return reports


def _row(target: Target, report: Report, stages: tuple[str, ...]) -> list[Cell]:
    cells: list[Cell] = [target.name, target.deployment.model]
    for stage in stages:
        failed = stage == report.failed
        cells.append(("failed", "bad") if failed else milliseconds(report.seconds.get(stage)))
    if report.up is False:
        cells.append((f"down: {report.problem}", "bad"))
    else:
        word, style = ("up", "good") if report.up else ("not checked", "dim")
        cells.append((f"{word} ({report.note})" if report.note else word, style))
    return cells


def _next_step(settings: Settings, target: Target, report: Report, others: set[str]) -> str:
    """Return what to do about a failure, naming the variable or line to change.

    ``others`` are those of the chain that can answer in the meantime.
    """

    def place(setting: str) -> str:
        at = f"providers.{target.provider}"
        number = settings.provider(target.provider).deployments.index(target.deployment)
        own = settings.origins.get(f"{at}.deployments.{number}.{setting}")
        origin = own or settings.origins.get(f"{at}.{setting}", "default")
        if origin == "default":
            origin = target.row.variable(setting) or setting
        return origin.replace("environment ", "")

    match report.failed:
        case None:
            return ""
        case "auth" | "first_token" if report.status in REFUSED:
            label = fingerprint(target.key) if target.key else "none"
            return f"put a valid key into {place('api_key')} (now {label})."
        case "dns" | "connect" | "tls":
            return f"check {place('base_url')} and the network to {target.deployment.api_base}."
        case "first_token" if FailureKind.NOT_FOUND in report.problem:
            return f"check {place('model')}: {target.deployment.model} is not known there."
    step = "wait" if report.retry_after is None else f"wait {report.retry_after:.0f} s"
    if report.status == RATE_LIMITED:
        step += ", as it asked (Retry-After)" if report.retry_after is not None else ""
        step += ", or have its limit raised"
    else:
        step += ", or see its status page"
    return f"{step}; meanwhile the others of the chain answer." if others else f"{step}."


def _as_data(target: Target, report: Report, step: str) -> dict[str, Any]:
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
        "advice": step or None,
    }
