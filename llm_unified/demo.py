"""The main job as one program: ``llm-unified demo``, and ``examples/test_llm_service.py``.

It runs on what is configured, and where nothing is, on the embedded model and a simulated provider.
Each step makes claims, and each claim is checked against what happened. How it looks on a terminal is the
business of `llm_unified.cli.demo`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from llm_unified.assembly import NOTHING
from llm_unified.cli.check import provider_rows, settings_rows
from llm_unified.cli.drill import with_broken
from llm_unified.cli.output import milliseconds
from llm_unified.errors import ConfigurationError, LLMError
from llm_unified.local.weights import MODEL, missing_packages
from llm_unified.service import UnifiedLLMService
from llm_unified.settings import Settings, inspect_settings, load_settings
from llm_unified.testing import replies

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from llm_unified.response import Attempt, LLMResponse
    from llm_unified.testing import Simulator

__all__ = ["STEPS", "Cast", "Check", "Step", "choose_cast", "main", "perform"]

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


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays."""

    settings: Settings
    rehearsal: Settings
    """For the failover: the first of its chain cannot be reached."""
    tool_user: str | None = None
    """Who makes the tool call; ``None``: the chain decides."""
    remarks: tuple[str, ...] = ()
    next_step: str = ""
    """What to do when all is well."""
    about_failover: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


@dataclass(slots=True)
class _Witness:
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


def get_weather(city: str) -> str:
    """What the model asks for."""
    return "Sunny, 21 degrees" if city else "Where?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration as the command does; return its exit code."""
    from llm_unified.cli import main as command

    return command(["demo", *(sys.argv[1:] if arguments is None else arguments)])


# -- who plays ------------------------------------------------------------------------------------


def choose_cast(simulator: Simulator, config_file: str | None = None) -> Cast:
    """Choose who plays, by what is configured. The simulator lends its providers and a dead end.

    Raises:
        ConfigurationError: with every problem at once.
    """
    for provider in simulator:
        provider.always(replies.auto())
    found = inspect_settings(config_file=config_file)
    lacking = missing_packages()
    if found.problems == [NOTHING]:
        return _understudies(simulator, config_file, lacking)
    problems = list(found.problems)
    if not problems and "local" in Settings(**found.values).chain:
        problems += lacking
    if problems:
        raise ConfigurationError(problems)
    settings = Settings(**found.values)
    first = settings.chain[0]
    if settings.fallback_providers:
        chain = (first, *settings.fallback_providers)
        rehearsal = settings.model_copy(update={"enable_fallback": True})
        remarks = [
            f"{first} gets an address where nobody listens; nothing is sent to the real one."
        ]
        if not settings.enable_fallback:
            remarks.append(
                "LLM_ENABLE_FALLBACK is off, so this shows what would happen if it were on."
            )
    else:
        helper = "simulated_openai" if first == "local" or lacking else "local"
        chain = (helper, first) if first == "local" else (first, helper)
        rehearsal = _settings(simulator, config_file, chain)
        remarks = [f"{first} is alone, so {_described(helper)} stands beside it here."]
    return Cast(
        settings,
        with_broken(rehearsal, chain[:1], simulator.traps.origin("refused")),
        about_failover=tuple(remarks),
    )


def _understudies(simulator: Simulator, config_file: str | None, lacking: list[str]) -> Cast:
    """Return those who play where nothing is configured."""
    chain = ("simulated_openai", "simulated_anthropic" if lacking else "local")
    settings = _settings(simulator, config_file, chain)
    return Cast(
        settings,
        with_broken(settings, chain[:1], simulator.traps.origin("refused")),
        tool_user=chain[1],
        remarks=(
            "Nothing is configured, so this runs on what comes along:",
            *(f"{name}: {_described(name)}" for name in chain),
        ),
        next_step="Next: set OPENAI_API_KEY (or GROQ_, ANTHROPIC_, AZURE_OPENAI_…) and run this again.",
        about_failover=(f"{chain[0]} gets an address where nobody listens.",),
        checks=(
            Check(
                "a real model takes part, without a key",
                not lacking,
                next_step=" ".join(lacking),
            ),
        ),
    )


def _settings(simulator: Simulator, config_file: str | None, chain: tuple[str, ...]) -> Settings:
    """Return the settings with this chain, in which simulated providers may be."""
    simulated = {
        f"simulated_{provider.name}": {
            "model": f"{provider.name}/{provider.model}",
            "base_url": provider.base_url,
            "api_key": provider.api_key,
        }
        for provider in (simulator.openai, simulator.anthropic)
    }
    return load_settings(
        config_file=config_file,
        primary_provider=chain[0],
        fallback_providers=list(chain[1:]),
        enable_fallback=True,
        providers={name: block for name, block in simulated.items() if name in chain},
    )


def _described(name: str) -> str:
    if name == "local":
        return f"a real and very small model ({MODEL}) on this machine (LLM_PRIMARY_PROVIDER=local)"
    return "a simulated provider: real sockets, the vendor's protocol, made-up answers"


# -- what is played -------------------------------------------------------------------------------


async def perform(cast: Cast, say: Callable[[str], None]) -> AsyncGenerator[Step, None]:
    """Play step by step. ``say`` is told what takes time, before it does."""
    say("reading the configuration")
    yield _configuration(cast)
    async with (
        UnifiedLLMService(cast.settings) as service,
        UnifiedLLMService(cast.rehearsal) as rehearsal,
    ):
        witness, second = _Witness(service), _Witness(rehearsal)
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
        (whole, *cast.checks),
        cast.remarks,
        (("SETTING", "VALUE", "FROM"), *found),
        {
            "chain": list(settings.chain),
            "settings": {row.name: {"value": row.value, "origin": row.origin} for row in rows},
        },
    )


async def _warm_up(service: UnifiedLLMService) -> Step:
    began = time.monotonic()
    warm = await service.warm_connections(timeout=WARM_UP)
    seconds = time.monotonic() - began
    health = service.get_health()
    checks = [
        Check(
            f"{name} is warm ({len(health[name]['copies'])} connections)"
            if alive
            else f"{name} is warm (last failure: {health[name]['last_failure'] or 'none'})",
            alive,
            next_step=f"`llm-unified ping -p {name}` shows how far a request gets.",
        )
        for name, alive in warm.items()
    ]
    remark = f"LiteLLM was loaded and all connections were opened in {seconds:.1f} s."
    data = {"warm": warm, "seconds": seconds}
    return Step("warm_up", "Warm connections", tuple(checks), (remark,), data=data)


async def _ask_each(witness: _Witness) -> Step:
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


async def _call_a_tool(witness: _Witness, provider: str | None) -> Step:
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


async def _fail_over(witness: _Witness, cast: Cast) -> Step:
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


def _statistics(*witnesses: _Witness) -> Step:
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


# -- words ----------------------------------------------------------------------------------------


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
