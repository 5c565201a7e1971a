"""``llm-unified drill``: a rehearsal of failover. A provider is broken by pointing its address at a
dead end on this machine, with a made-up key: nothing is sent to it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from llm_unified.cli.load import loaded
from llm_unified.cli.output import milliseconds
from llm_unified.cli.targets import QUESTION
from llm_unified.errors import LLMError
from llm_unified.providers import provider_row
from llm_unified.service import UnifiedLLMService

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from llm_unified.cli.output import Cell, Output
    from llm_unified.response import Attempt
    from llm_unified.settings import DeploymentSettings, ProviderSettings, Settings

__all__ = ["run", "with_broken"]

DOWN: Final = 1
_LOCAL: Final = "local"


@dataclass(frozen=True, slots=True)
class Case:
    """One rehearsal."""

    broken: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    error: str | None = None

    @property
    def answered(self) -> str | None:
        return None if self.error else self.attempts[-1].provider

    @property
    def lost(self) -> float:
        """Seconds spent on those who did not answer."""
        failed = self.attempts if self.error else self.attempts[:-1]
        return sum(attempt.seconds for attempt in failed)


def run(options: argparse.Namespace, out: Output) -> int:
    """Break nobody, each provider in turn, and more and more of the chain; show who answers."""
    from llm_unified.testing.background import BackgroundLoop
    from llm_unified.testing.traps import Traps

    settings = loaded(options, out)
    loop = BackgroundLoop("llm-drill")
    traps = Traps(loop)
    try:
        dead_end = traps.origin("blackhole" if options.hang else "refused")
        cases = [
            asyncio.run(_rehearsed(settings, broken, dead_end, options.tokens))
            for broken in _cases(settings.chain)
        ]
    finally:
        traps.close()
        loop.close()
    failed = [case for case in cases if case.error]
    if out.as_json:
        out.data({"ok": not failed, "cases": [_as_data(case) for case in cases]})
        return DOWN if failed else 0
    out.line("chain: " + " → ".join(settings.chain), "bold")
    out.line()
    out.table(("BROKEN", "ANSWERED BY", "AFTER", "OF WHICH LOST", "FAILED"), map(_row, cases))
    out.line()
    if not failed:
        slowest = milliseconds(max(case.lost for case in cases))
        out.line(f"ok: somebody answers in every case; failover costs at most {slowest}.", "good")
        return 0
    for case in failed:
        out.note(
            f"Nobody answers with {', '.join(case.broken) or 'nobody'} broken. {_next_step(settings, case)}"
        )
    return DOWN


def _cases(chain: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return who is broken in each case: nobody, one, and more and more until the last is alone."""
    one = [(name,) for name in chain]
    more = [chain[:count] for count in range(2, len(chain))]
    return [(), *one, *more]


def with_broken(settings: Settings, broken: Iterable[str], dead_end: str) -> Settings:
    """Return settings in which nothing can reach these providers."""
    # By its own name the embedded model would be started and asked.
    names = {name: f"{name}!" if name == _LOCAL else name for name in broken}
    return settings.model_copy(
        update={
            "primary_provider": names.get(settings.primary_provider, settings.primary_provider),
            "fallback_providers": tuple(names.get(n, n) for n in settings.fallback_providers),
            "providers": tuple(
                _broken(p, names[p.name], dead_end) if p.name in names else p
                for p in settings.providers
            ),
            "redis_url": None,  # other processes must not learn of it
            "sources": (),
        }
    )


def _broken(provider: ProviderSettings, name: str, dead_end: str) -> ProviderSettings:
    deployments = tuple(_diverted(provider.name, d, dead_end) for d in provider.deployments)
    return provider.model_copy(update={"name": name, "deployments": deployments})


def _diverted(provider: str, deployment: DeploymentSettings, dead_end: str) -> DeploymentSettings:
    known = provider_row(provider, deployment.litellm_model).protocol != "other"
    return deployment.model_copy(
        update={
            "api_base": dead_end,
            "api_keys": (SecretStr("drill"),),
            # Some vendors' code in LiteLLM knows no other address than the vendor's own.
            "litellm_model": deployment.litellm_model if known else "openai/drill",
        }
    )


async def _rehearsed(
    settings: Settings, broken: tuple[str, ...], dead_end: str, tokens: int
) -> Case:
    async with UnifiedLLMService(with_broken(settings, broken, dead_end)) as service:
        try:
            response = await service.generate_response_async(QUESTION, max_tokens=tokens)
        except LLMError as error:
            return Case(broken, error.attempts, str(error))
        return Case(broken, response.attempts)


def _row(case: Case) -> list[Cell]:
    attempts = case.attempts
    failed = attempts if case.error else attempts[:-1]
    return [
        ", ".join(case.broken) or "nobody",
        (case.answered, "good") if case.answered else ("NOBODY", "bad"),
        milliseconds(sum(attempt.seconds for attempt in attempts)),
        milliseconds(case.lost) if failed else "-",
        ", ".join(f"{a.provider}: {a.kind}" for a in failed) or "-",
    ]


def _next_step(settings: Settings, case: Case) -> str:
    if not case.broken:
        return "`llm-unified ping` shows what is wrong with each."
    if len(settings.chain) == 1:
        return (
            "It is alone in the chain: set the key of a second provider."
            if settings.enable_fallback
            else "LLM_ENABLE_FALLBACK is off."
        )
    return "`llm-unified ping` shows what is wrong with the others."


def _as_data(case: Case) -> dict[str, Any]:
    return {
        "broken": list(case.broken),
        "answered_by": case.answered,
        "milliseconds": round(sum(a.seconds for a in case.attempts) * 1000, 1),
        "lost_milliseconds": round(case.lost * 1000, 1),
        "attempts": [asdict(attempt) for attempt in case.attempts],
    }
