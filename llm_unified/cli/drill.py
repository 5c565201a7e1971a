"""``llm-unified drill``: failover, practised. A provider is broken by pointing its address at a dead end
on this machine, with a made-up key: nothing is sent to it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from llm_unified.cli.load import loaded
from llm_unified.cli.output import milliseconds
from llm_unified.cli.targets import QUESTION
from llm_unified.errors import LLMError
from llm_unified.providers import provider_row
from llm_unified.service import UnifiedLLMService

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llm_unified.cli.output import Cell, Output
    from llm_unified.response import LLMResponse
    from llm_unified.settings import DeploymentSettings, ProviderSettings, Settings

__all__ = ["run", "with_broken"]

DOWN: Final = 1
_LOCAL: Final = "local"
_HEADERS: Final = ("BROKEN", "ANSWERED BY", "AFTER", "LOST", "FAILED")


Case = dict[str, Any]
"""Who was broken, and what became of a call: what ``--json`` shows."""


def run(out: Output, config: str | None, *, hang: bool, tokens: int) -> int:
    """Break nobody, each provider in turn, and more and more of the chain; show who answers."""
    from llm_unified.testing.background import BackgroundLoop
    from llm_unified.testing.traps import Traps

    settings = loaded(out, config)
    todo = _cases(settings.chain)
    if not out.as_json:
        out.line("chain: " + " → ".join(settings.chain), "bold")
        if hang:
            seconds = _longest(settings, todo)
            out.line(f"Silence is waited for: this may take up to {seconds:.0f} s.")
        out.line()
    cases: list[Case] = []
    loop = BackgroundLoop("llm-drill")
    traps = Traps(loop)

    def rows() -> Iterator[list[Cell]]:
        """Yield each case as soon as it is over: with silence, one takes minutes."""
        dead_end = traps.origin("blackhole" if hang else "refused")
        for broken in todo:
            who = ", ".join(broken) or "nobody"
            with out.progress(f"{len(cases) + 1} of {len(todo)}: {who} broken"):
                cases.append(asyncio.run(_drilled(settings, broken, dead_end, tokens)))
            yield _row(who, cases[-1])

    try:
        if out.as_json:
            list(rows())
        else:
            out.table(_HEADERS, rows(), _widths(settings.chain))
    finally:
        traps.close()
        loop.close()
    return _verdict(settings, cases, out)


def _verdict(settings: Settings, cases: list[Case], out: Output) -> int:
    """Say what the cases show; return the exit code."""
    unanswered = [case["broken"] for case in cases if case["answered_by"] is None]
    warnings = _warnings(cases)
    well = not unanswered and not warnings
    if out.as_json:
        out.data({"ok": well, "warnings": warnings, "cases": cases})
        return 0 if well else DOWN
    out.line()
    for warning in warnings:
        out.note(f"warning: {warning}; see llm-unified ping")
    for broken in unanswered:
        who = ", ".join(broken) or "nobody"
        out.note(f"Nobody answers with {who} broken. {_next_step(settings, broken)}")
    if well:
        slowest = milliseconds(max(case["lost_milliseconds"] for case in cases) / 1000)
        out.line(f"ok: somebody answers in every case; failover costs at most {slowest}.", "good")
    return 0 if well else DOWN


def _widths(chain: tuple[str, ...]) -> list[int]:
    """Return how wide the columns become; the most failures are those of the whole chain."""
    most = ", ".join(f"{name}: connection" for name in chain)
    broken = max(len(", ".join(case)) for case in _cases(chain))
    figures = len("120000 ms")
    return [max(6, broken), max(11, *map(len, chain)), figures, figures, len(most)]


def _longest(settings: Settings, todo: list[tuple[str, ...]]) -> float:
    """Return the seconds that the silent ones cost at most: those that are asked before an answer."""
    total = 0.0
    for broken in todo:
        silent = list(takewhile(lambda name: name in broken, settings.chain))  # noqa: B023
        limits = [settings.provider(name).timeout or settings.timeout for name in silent]
        total += min(settings.deadline, sum(limits) * (1 + settings.retries))
    return total


def _warnings(cases: list[Case]) -> list[str]:
    """Return who failed by itself, and how."""
    found: dict[str, str] = {}
    for case in cases:
        for attempt in _failed(case):
            if attempt["provider"].removesuffix("!") not in case["broken"]:
                found.setdefault(attempt["provider"], attempt["kind"])
    return [f"{name} fails although nobody broke it ({kind})" for name, kind in found.items()]


def _failed(case: Case) -> list[dict[str, Any]]:
    return [attempt for attempt in case["attempts"] if attempt["kind"] is not None]


def _cases(chain: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return who is broken in each case: nobody, one, and more and more until the last is alone."""
    one = [(name,) for name in chain]
    more = [chain[:count] for count in range(2, len(chain))]
    return [(), *one, *more]


def with_broken(settings: Settings, broken: Iterable[str], dead_end: str) -> Settings:
    """Return settings in which nothing can reach these providers."""
    # By its own name the embedded model would be started and asked.
    names = {name: f"{name}!" if name == _LOCAL else name for name in broken}

    def reached(provider: ProviderSettings) -> ProviderSettings:
        if provider.name not in names:
            return provider
        deployments = tuple(_diverted(provider.name, d, dead_end) for d in provider.deployments)
        return provider.model_copy(
            update={"name": names[provider.name], "deployments": deployments}
        )

    chain = [
        names.get(name, name) for name in (settings.primary_provider, *settings.fallback_providers)
    ]
    return settings.model_copy(
        update={
            "primary_provider": chain[0],
            "fallback_providers": tuple(chain[1:]),
            "providers": tuple(map(reached, settings.providers)),
            "redis_url": None,  # other processes must not learn of it
            "sources": (),
        }
    )


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


async def _drilled(settings: Settings, broken: tuple[str, ...], dead_end: str, tokens: int) -> Case:
    found: LLMResponse | LLMError
    async with UnifiedLLMService(with_broken(settings, broken, dead_end)) as service:
        try:
            found = await service.generate_response_async(QUESTION, max_tokens=tokens)
        except LLMError as error:
            found = error
    case: Case = {
        "broken": list(broken),
        "answered_by": None if isinstance(found, LLMError) else found.provider,
        "milliseconds": round(sum(a.seconds for a in found.attempts) * 1000, 1),
        "lost_milliseconds": 0.0,
        "attempts": [asdict(attempt) for attempt in found.attempts],
    }
    case["lost_milliseconds"] = round(sum(a["seconds"] for a in _failed(case)) * 1000, 1)
    return case


def _row(who: str, case: Case) -> list[Cell]:
    answered, failed = case["answered_by"], _failed(case)
    return [
        who,
        (answered, "good") if answered else ("NOBODY", "bad"),
        milliseconds(case["milliseconds"] / 1000),
        milliseconds(case["lost_milliseconds"] / 1000) if failed else "-",
        ", ".join(f"{a['provider']}: {a['kind']}" for a in failed) or "-",
    ]


def _next_step(settings: Settings, broken: list[str]) -> str:
    if broken and not settings.enable_fallback:
        return "LLM_ENABLE_FALLBACK is off."
    if broken and len(settings.chain) == 1:
        return "It is alone in the chain: set the key of a second provider."
    return "`llm-unified ping` shows what is wrong with the others."
