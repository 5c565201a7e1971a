"""What is played: steps that make claims, each claim checked against what happened."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from llm_unified.cli.check import provider_rows, settings_rows
from llm_unified.cli.output import milliseconds
from llm_unified.errors import LLMError
from llm_unified.service import UnifiedLLMService

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from llm_unified.demo.cast import Cast
    from llm_unified.response import Attempt, LLMResponse

__all__ = ["STEPS", "Check", "Step", "Witness", "perform"]

QUESTION: Final = "What is the capital of France? Answer in one short sentence."
WEATHER_QUESTION: Final = "What is the weather in Rome?"
TOOL: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
LIMITS: Final[dict[str, Any]] = {"max_tokens": 500, "deadline": 30.0}
"""Enough tokens for a model that thinks before it speaks."""
WARM_UP: Final = 90.0
"""Seconds for loading LiteLLM and the embedded model, too; on a busy machine that takes its time."""
STEPS: Final = 6


@dataclass(frozen=True, slots=True)
class Check:
    """One claim, whether it is true, and what to do if not."""

    claim: str
    held: bool
    shown: str = ""
    """What a model said."""
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What one part of the demonstration did."""

    name: str
    title: str
    checks: tuple[Check, ...]
    remarks: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """A table; its first row are the headers."""
    data: Any = None
    """The same for programs."""


@dataclass(slots=True)
class Witness:
    """Asks a service, and remembers what it was told in order to compare it with the statistics."""

    service: UnifiedLLMService
    calls: int = 0
    attempts: list[Attempt] = field(default_factory=list)

    async def ask(
        self, messages: Sequence[dict[str, Any]], **options: Any
    ) -> LLMResponse | LLMError:
        self.calls += 1
        found: LLMResponse | LLMError
        try:
            found = await self.service.generate_response_async(messages, **LIMITS, **options)
        except LLMError as error:
            found = error
        self.attempts += found.attempts
        return found

    def agrees(self) -> bool:
        """Whether the statistics say what we saw."""
        stats = self.service.get_stats()["stats"]
        asked = Counter(a.provider for a in self.attempts)
        failed = Counter(a.provider for a in self.attempts if a.kind is not None)
        return (
            stats["total_requests"] == self.calls
            and Counter(stats["requests_by_provider"]) == asked
            and Counter(stats["errors_by_provider"]) == failed
        )


async def perform(cast: Cast, say: Callable[[str], None]) -> AsyncGenerator[Step, None]:
    """Play step by step. ``say`` is told what takes time, before it does."""
    say("reading the configuration")
    yield _configuration(cast)
    async with (
        UnifiedLLMService(cast.settings) as service,
        UnifiedLLMService(cast.rehearsal) as rehearsal,
    ):
        witness, second = Witness(service), Witness(rehearsal)
        say("loading LiteLLM (a few seconds, once per process), opening connections")
        yield await _warm_up(service)
        say(f"asking {', '.join(p.name for p in cast.settings.providers)}")
        yield await _ask_each(witness)
        say("making a tool call")
        yield await _call_a_tool(witness, cast.tool_user)
        say(f"breaking {_real(cast.rehearsal.chain[0])}")
        yield await _fail_over(second, cast)
        say("counting")
        yield _statistics(witness, second)


def _configuration(cast: Cast) -> Step:
    settings = cast.settings
    rows = [row for row in settings_rows(settings) if row.origin != "default"]
    for provider in settings.providers:
        rows += provider_rows(settings, provider)
    found = [
        (row.name, row.shown(), row.origin.replace("argument", "this program"))
        for row in rows
        if row.shown() != "none"
    ]
    whole = Check(f"the configuration is whole: {' → '.join(settings.chain)}", held=True)
    return Step(
        "configuration",
        "Configuration",
        (whole, *_real_model(cast)),
        cast.remarks,
        (("SETTING", "VALUE", "FROM"), *found),
        {
            "chain": list(settings.chain),
            "settings": {row.name: {"value": row.value, "origin": row.origin} for row in rows},
        },
    )


def _real_model(cast: Cast) -> tuple[Check, ...]:
    if cast.lacking is None:
        return ()
    claim = "a real model takes part, without a key"
    return (Check(claim, not cast.lacking, next_step=" ".join(cast.lacking)),)


async def _warm_up(service: UnifiedLLMService) -> Step:
    began = time.monotonic()
    warm = await service.warm_connections(timeout=WARM_UP)
    seconds = time.monotonic() - began
    health = service.get_health()
    checks = []
    for name, alive in warm.items():
        pings = health[name]["pings"]
        answered = pings["total_pings"] - pings["failures"]
        claim = f"{name} is warm ({answered} of {pings['total_pings']} pings answered)"
        advice = f"`llm-unified ping -p {name}` shows how far a request gets."
        checks.append(Check(claim, alive, next_step=advice))
    remark = f"LiteLLM was loaded and all connections were opened in {seconds:.1f} s."
    data = {"warm": warm, "seconds": seconds}
    return Step("warm_up", "Warm connections", tuple(checks), (remark,), data=data)


async def _ask_each(witness: Witness) -> Step:
    checks, data = [], {}
    for provider in witness.service.settings.providers:
        name = provider.name
        found = await witness.ask(_user(QUESTION), provider=name, fallback=False)
        data[name] = _as_data(found)
        if isinstance(found, LLMError):
            checks.append(_failed(f"{name} answers", found))
        else:
            held = found.provider == name and bool(found.content.strip())
            checks.append(Check(f"{name} answers ({_figures(found)})", held, found.content))
    return Step("answers", f'Answers to "{QUESTION}"', tuple(checks), data=data)


async def _call_a_tool(witness: Witness, provider: str | None) -> Step:
    def step(*checks: Check, **data: Any) -> Step:
        return Step("tool_call", f'A tool call for "{WEATHER_QUESTION}"', checks, data=data)

    messages: list[dict[str, Any]] = _user(WEATHER_QUESTION)
    asked = await witness.ask(messages, tools=[TOOL], tool_choice="required", provider=provider)
    if isinstance(asked, LLMError):
        return step(_failed("a model asks for the tool", asked), asked=_as_data(asked))
    right = [
        c for c in asked.tool_calls if c.name == "get_weather" and set(c.arguments) == {"city"}
    ]
    calls = ", ".join(f"{c.name}({_arguments(c.arguments)})" for c in asked.tool_calls)
    claim = f"{asked.provider} asks for {calls or 'get_weather'} ({_figures(asked)})"
    advice = f"choose a model of {asked.provider} that can use tools."
    first = Check(claim, bool(right) and len(right) == len(asked.tool_calls), next_step=advice)
    if not first.held:
        return step(first, asked=_as_data(asked))
    back = asked.raw_response["tool_calls"]
    messages.append({"role": "assistant", "content": asked.content, "tool_calls": back})
    results = [(call.id, get_weather(**call.arguments)) for call in right]
    messages += [{"role": "tool", "tool_call_id": key, "content": text} for key, text in results]
    done = await witness.ask(messages, tools=[TOOL], tool_choice="none", provider=provider)
    both = {"asked": _as_data(asked), "concluded": _as_data(done)}
    told = " · ".join(text for _, text in results)
    second = Check(f"the program answers: {told}", len(results) == len(back))
    if isinstance(done, LLMError):
        return step(first, second, _failed("a model concludes", done), **both)
    held = bool(done.content.strip()) and not done.tool_calls
    last = Check(f"{done.provider} concludes ({_figures(done)})", held, done.content, advice)
    return step(first, second, last, **both)


async def _fail_over(witness: Witness, cast: Cast) -> Step:
    broken, *others = cast.rehearsal.chain
    found = await witness.ask(_user(QUESTION))
    advice = "`llm-unified drill` breaks each provider in turn and shows who answers."
    trail = [a for a in found.attempts if a.provider == broken]
    failed = len(trail) == 1 and trail[0].outcome == "failed"
    how = (
        f": {trail[0].reason or trail[0].kind}, after {milliseconds(trail[0].seconds)}"
        if trail
        else ""
    )
    checks = [Check(f"{_real(broken)} fails{how}", failed, next_step=advice)]
    if isinstance(found, LLMError):
        checks.append(_failed(f"{others[0]} answers instead", found))
    else:
        took = milliseconds(sum(attempt.seconds for attempt in found.attempts))
        claim = f"{found.provider} answers instead, {took} after the question"
        checks.append(Check(claim, found.provider in others, found.content, advice))
    counted = witness.service.get_stats()["stats"]["fallback_count"]
    checks.append(Check(f"the service counts {counted} fallback", counted == 1, next_step=advice))
    return Step("failover", "A failover", tuple(checks), cast.about_failover, data=_as_data(found))


def _statistics(*witnesses: Witness) -> Step:
    headers = ("PROVIDER", "REQUESTS", "ERRORS", "ANSWERS", "MEDIAN", "TOKENS", "COST")
    rows, data = [headers], []
    for witness, suffix in zip(witnesses, ("", " (failover)"), strict=True):
        report = witness.service.get_stats()
        stats = report["stats"]
        data.append(report)
        for name, requests in stats["requests_by_provider"].items():
            errors, cost = stats["errors_by_provider"][name], stats["cost_usd_by_provider"][name]
            rows.append(
                (
                    _real(name) + suffix,
                    str(requests),
                    str(errors),
                    str(requests - errors),
                    milliseconds(stats["latency_by_provider"][name]["p50"]),
                    str(stats["tokens_by_provider"][name]["total_tokens"]),
                    f"${cost:.6f}" if cost else "-",
                )
            )
    check = Check(
        "the statistics agree with every attempt that was seen",
        all(witness.agrees() for witness in witnesses),
        next_step="this would be a bug of llm_unified: please report it with the output of --json.",
    )
    stats = [report["stats"] for report in data]
    calls, fallbacks = (sum(s[key] for s in stats) for key in ("total_requests", "fallback_count"))
    remark = f"{calls} calls, {fallbacks} of them answered by a fallback; pings are not counted."
    return Step("statistics", "Statistics", (check,), (remark,), tuple(rows), data)


def get_weather(city: str) -> str:
    """What the model asks for."""
    return "Sunny, 21 degrees" if city else "Where?"


def _user(content: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def _real(name: str) -> str:
    return name.removesuffix("!")  # `with_broken` renames the embedded model


def _arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _figures(response: LLMResponse) -> str:
    usage, cost = response.usage, response.cost_usd
    return ", ".join(
        (
            response.model,
            milliseconds(response.attempts[-1].seconds),
            f"{usage.prompt_tokens} + {usage.completion_tokens} tokens",
            "no price known" if cost is None else f"${cost:.6f}",
        )
    )


def _failed(claim: str, error: LLMError) -> Check:
    trail = "; ".join(map(str, error.attempts)) or str(error)
    name = error.attempts[-1].provider if error.attempts else ""
    target = f" -p {name}" if name else ""
    return Check(
        claim, False, next_step=f"{trail}. `llm-unified ping{target}` shows how far it gets."
    )


def _as_data(found: LLMResponse | LLMError) -> dict[str, Any]:
    attempts = [asdict(attempt) for attempt in found.attempts]
    if isinstance(found, LLMError):
        return {"error": type(found).__name__, "attempts": attempts}
    return {
        "content": found.content,
        "provider": found.provider,
        "model": found.model,
        "tool_calls": [asdict(call) for call in found.tool_calls],
        "usage": found.usage.as_dict(),
        "cost_usd": found.cost_usd,
        "attempts": attempts,
    }
