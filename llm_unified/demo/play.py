"""What is played: steps that make claims, each claim checked against what happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llm_unified.cli.output import milliseconds
from llm_unified.errors import LLMError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from llm_unified.response import Attempt, LLMResponse
    from llm_unified.service import UnifiedLLMService

__all__ = ["Claim", "Witness", "perform"]

QUESTION: Final = "What is the capital of France? Answer in one short sentence."
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
WARM_UP_SECONDS: Final = 90.0
"""For loading LiteLLM and the embedded model, too; on a busy machine that takes its time."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said to be so, and whether it is."""

    step: str
    text: str
    held: bool
    said: str = ""
    """What a model answered."""
    attempts: tuple[Attempt, ...] = ()
    next_step: str = ""
    """What to do if it is not so."""


class Witness:
    """Asks a service, and remembers what it was told in order to compare it with the statistics."""

    def __init__(self, service: UnifiedLLMService) -> None:
        self.service = service
        self.calls = 0
        self.attempts: list[Attempt] = []

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


async def perform(
    witness: Witness, failover: Witness, tool_user: str | None = None
) -> AsyncGenerator[Claim, None]:
    """Play claim by claim; the first provider of ``failover`` cannot be reached."""
    warm = await witness.service.warm_connections(timeout=WARM_UP_SECONDS)
    for name, alive in warm.items():
        yield Claim("warm-up", f"{name} is warm", alive, next_step=_ping(name))
    for provider in witness.service.settings.providers:
        found = await witness.ask(_user(QUESTION), provider=provider.name, fallback=False)
        yield _answered("answers", f"{provider.name} answers", found, (provider.name,))
    async for claim in _tool_call(witness, tool_user):
        yield claim
    broken, *others = failover.service.settings.chain
    found = await failover.ask(_user(QUESTION))
    trail = [attempt for attempt in found.attempts if attempt.provider == broken]
    how = "".join(f": {attempt.reason or attempt.kind}" for attempt in trail)
    failed = len(trail) == 1 and trail[0].kind is not None
    name = broken.removesuffix("!")  # `with_broken` renames the embedded model
    yield Claim("failover", f"{name} is broken and fails{how}", failed)
    took = milliseconds(sum(attempt.seconds for attempt in found.attempts))
    instead = getattr(found, "provider", others[0])
    yield _answered("failover", f"{instead} answers instead, {took} later", found, others)
    counted = failover.service.get_stats()["stats"]["fallback_count"]
    yield Claim("failover", f"the service counts {counted} fallback", counted == 1)
    agree = witness.agrees() and failover.agrees()
    yield Claim("statistics", "the statistics agree with every attempt that was seen", agree)


async def _tool_call(witness: Witness, provider: str | None) -> AsyncGenerator[Claim, None]:
    messages: list[dict[str, Any]] = _user("What is the weather in Rome?")
    asked = await witness.ask(messages, tools=[TOOL], tool_choice="required", provider=provider)
    if isinstance(asked, LLMError):
        yield _answered("tool call", "a model asks for get_weather", asked, ())
        return
    calls = asked.tool_calls
    shown = ", ".join(f"{call.name}({call.arguments})" for call in calls)
    right = all(c.name == "get_weather" and set(c.arguments) == {"city"} for c in calls)
    advice = f"choose a model of {asked.provider} that can use tools."
    held = bool(calls) and right
    text = f"{asked.provider} asks for {shown or 'get_weather'}"
    yield Claim("tool call", text, held, asked.content, asked.attempts, advice)
    if not held:
        return
    back = asked.raw_response["tool_calls"]
    messages.append({"role": "assistant", "content": asked.content, "tool_calls": back})
    for call in calls:
        weather = f"Sunny, 21 degrees in {call.arguments['city']}"
        messages.append({"role": "tool", "tool_call_id": call.id, "content": weather})
    done = await witness.ask(messages, tools=[TOOL], tool_choice="none", provider=provider)
    names = (getattr(done, "provider", ""),)
    yield _answered("tool call", f"{names[0] or 'a model'} concludes", done, names)


def _answered(step: str, text: str, found: LLMResponse | LLMError, wanted: Sequence[str]) -> Claim:
    """Return the claim that one of these providers gave an answer."""
    if isinstance(found, LLMError):
        trail = "; ".join(map(str, found.attempts)) or str(found)
        names = [attempt.provider for attempt in found.attempts]
        return Claim(step, text, False, "", found.attempts, f"{trail}. {_ping(*names[-1:])}")
    held = found.provider in wanted and bool(found.content.strip()) and not found.tool_calls
    cost = "" if found.cost_usd is None else f", ${found.cost_usd:.6f}"
    figures = f"{found.model}, {found.usage.total_tokens} tokens{cost}"
    return Claim(step, f"{text} ({figures})", held, found.content, found.attempts)


def _ping(*name: str) -> str:
    return f"`llm-unified ping{''.join(f' -p {n}' for n in name)}` shows how far a request gets."


def _user(content: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]
