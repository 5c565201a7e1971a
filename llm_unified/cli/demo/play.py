"""What is played: claims, each checked against what happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llm_unified.errors import LLMError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from llm_unified.cli.demo.cast import Cast
    from llm_unified.response import Attempt, LLMResponse
    from llm_unified.service import UnifiedLLMService

__all__ = ["Claim", "Witness", "perform"]

_QUESTION: Final = "What is the capital of France? Answer in one short sentence."
_CITY: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOL: Final = {"name": "get_weather", "description": "Get the weather", "parameters": _CITY}
_LIMITS: Final[dict[str, Any]] = {"max_tokens": 500, "deadline": 30.0}  # a model may think first
_WARM_UP_SECONDS: Final = 90.0  # loads LiteLLM and the embedded model, too, on a busy machine


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said to be so, whether it is, what a model said, and what to do if it is not so."""

    step: str
    text: str
    held: bool
    said: str = ""
    next_step: str = ""


class Witness:
    """Asks a service, and keeps every attempt in order to compare them with the statistics."""

    def __init__(self, service: UnifiedLLMService) -> None:
        self.service = service
        self.calls = 0
        self.attempts: list[Attempt] = []

    async def ask(self, messages: list[dict[str, Any]], **options: Any) -> LLMResponse | LLMError:
        self.calls += 1
        found: LLMResponse | LLMError
        try:
            found = await self.service.generate_response_async(messages, **_LIMITS, **options)
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
    cast: Cast, service: UnifiedLLMService, broken: UnifiedLLMService
) -> AsyncGenerator[Claim, None]:
    """Play claim by claim; the first provider of ``broken`` cannot be reached."""
    if cast.lacking is not None:
        yield Claim("cast", "a real model plays", not cast.lacking, "", " ".join(cast.lacking))
    for name, warm in (await service.warm_connections(timeout=_WARM_UP_SECONDS)).items():
        yield Claim("warm-up", f"{name} is warm", warm, "", _ping(name))
    first, second = Witness(service), Witness(broken)
    for name in (provider.name for provider in cast.settings.providers):
        found = await first.ask(_user(_QUESTION), provider=name, fallback=False)
        yield _answered("answer", f"{name} answers", found)
    async for claim in _tool_call(first, cast.tool_user):
        yield claim
    found = await second.ask(_user(_QUESTION))
    down = broken.settings.chain[0]
    trail = [attempt for attempt in found.attempts if attempt.provider == down]
    how = "".join(f": {attempt.reason or attempt.kind}" for attempt in trail)
    failed = len(trail) == 1 and trail[0].kind is not None
    yield Claim("failover", f"{down.removesuffix('!')} is broken and fails{how}", failed)
    yield _answered("failover", f"{getattr(found, 'provider', 'nobody')} answers instead", found)
    counted = broken.get_stats()["stats"]["fallback_count"]
    yield Claim("failover", f"the service counts {counted} fallback", counted == 1)
    agree = first.agrees() and second.agrees()
    yield Claim("statistics", "the statistics agree with every attempt that was seen", agree)


async def _tool_call(witness: Witness, provider: str | None) -> AsyncGenerator[Claim, None]:
    given: dict[str, Any] = {
        "tools": [{"type": "function", "function": _TOOL}],
        "provider": provider,
    }
    messages = _user("What is the weather in Rome?")
    asked = await witness.ask(messages, tool_choice="required", **given)
    if isinstance(asked, LLMError):
        yield _answered("tool call", "a model asks for get_weather", asked)
        return
    calls = asked.tool_calls
    held = {(call.name, *call.arguments) for call in calls} == {("get_weather", "city")}
    shown = ", ".join(f"{call.name}({call.arguments})" for call in calls) or "no tool"
    advice = f"choose a model of {asked.provider} that can use tools."
    yield Claim("tool call", f"{asked.provider} asks for {shown}", held, asked.content, advice)
    if held:
        back = asked.raw_response["tool_calls"]
        messages.append({"role": "assistant", "content": asked.content, "tool_calls": back})
        for call in calls:
            weather = f"Sunny, 21 degrees in {call.arguments['city']}"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": weather})
        done = await witness.ask(messages, tool_choice="none", **given)
        yield _answered("tool call", f"{getattr(done, 'provider', 'a model')} concludes", done)


def _answered(step: str, text: str, found: LLMResponse | LLMError) -> Claim:
    """Return the claim that there was an answer in words."""
    if isinstance(found, LLMError):
        trail = "; ".join(map(str, found.attempts)) or str(found)
        name = found.attempts[-1].provider if found.attempts else ""
        return Claim(step, text, held=False, next_step=f"{trail}. {_ping(name)}")
    cost = "" if found.cost_usd is None else f", ${found.cost_usd:.6f}"
    figures = f"{found.model}, {found.usage.total_tokens if found.usage else '?'} tokens{cost}"
    held = bool(found.content.strip()) and not found.tool_calls
    return Claim(step, f"{text} ({figures})", held, found.content)


def _ping(name: str) -> str:
    return f"`llm-unified ping{f' -p {name}' if name else ''}` shows how far a request gets."


def _user(content: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]
