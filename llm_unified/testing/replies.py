"""Good answers. Each works streamed or not, in all four protocols::

sim.openai.script(replies.text("Hello"), replies.tool_call("get_weather", {"city": "Rome"}))
"""

from __future__ import annotations

import json as _json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from llm_unified.testing.exchange import Exchange, Outcome
from llm_unified.testing.schema import example
from llm_unified.testing.wire import Answer, Chat, ToolUse

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = [
    "Reply",
    "answer",
    "auto",
    "content_filter",
    "echo",
    "json",
    "refusal",
    "text",
    "tool_call",
    "tool_calls",
]


@dataclass(frozen=True, slots=True)
class Reply(Outcome):
    """An answer to every request that the vendor would accept; the others get the vendor's error."""

    name: str
    answer: Callable[[Chat], Answer]

    def play(self, x: Exchange) -> Coroutine[Any, Any, None] | None:
        problem = x.refusal
        if problem is not None:
            x.request.outcome = f"refused: {problem.status} {problem.message or problem.reason}"
            x.fail(problem)
            return None
        return x.answer(self.answer(x.chat))


def text(
    content: str | None = None,
    *,
    chunks: int | None = None,
    usage: tuple[int, int] | None = None,
    finish_reason: str | None = None,
) -> Reply:
    """Text; by default a short sentence that names the provider and obeys ``max_tokens``.

    ``chunks``: how many deltas a stream has (without ``content``: that many words). ``usage``:
    prompt and completion tokens. ``finish_reason``: in OpenAI's words, e.g. ``"length"``.
    """

    def answer(chat: Chat) -> Answer:
        if content is None and chunks is None:
            said, finish = _sentence(chat), finish_reason
            limit = chat.max_tokens
            words = said.split(" ")
            if isinstance(limit, int) and limit < len(words):  # one token a word, near enough
                said, finish = " ".join(words[:limit]), finish or "length"
            return Answer(text=said, usage=usage, finish=finish)
        said = _words(chunks or 0) if content is None else content
        pieces = None if chunks is None else _split(said, chunks)
        return Answer(text=said, usage=usage, finish=finish_reason, pieces=pieces)

    return Reply("text", answer)


def tool_call(
    name: str,
    arguments: Mapping[str, Any] | str = "{}",
    *,
    id: str | None = None,  # noqa: A002 (the wire's own word)
    content: str | None = None,
) -> Reply:
    """One tool call. ``arguments`` as text is sent as it is, valid JSON or not."""
    return tool_calls([(name, arguments, id)], content=content)


def tool_calls(
    calls: Iterable[
        tuple[str, Mapping[str, Any] | str] | tuple[str, Mapping[str, Any] | str, str | None]
    ],
    *,
    content: str | None = None,
) -> Reply:
    """Parallel tool calls: ``(name, arguments)`` or ``(name, arguments, id)`` each."""
    uses = tuple(_use(*call) for call in calls)
    return Reply("tool_calls", lambda _: Answer(text=content, tools=uses))


def answer(
    content: str | None = None,
    *,
    reasoning: str | None = None,
    calls: Iterable[tuple[str, Mapping[str, Any] | str, str | None]] = (),
    refusal: str | None = None,
    annotations: Iterable[Mapping[str, Any]] = (),
    logprobs: bool = False,
    usage: tuple[int, int] | None = None,
    cached: int = 0,
    written: int = 0,
    reasoned: int = 0,
    finish_reason: str | None = None,
) -> Reply:
    """Everything that an answer may have, in the vendor's own form.

    ``reasoning``: OpenAI's protocol has it as ``reasoning_content``, Groq as ``reasoning``, Anthropic as a
    thinking block with a signature. ``annotations``: Anthropic's are the citations of its text. ``cached`` and
    ``written`` are part of the prompt's tokens, ``reasoned`` of the answer's.
    """
    whole = Answer(
        text=content,
        tools=tuple(_use(*call) for call in calls),
        refusal=refusal,
        finish=finish_reason,
        usage=usage,
        reasoning=reasoning,
        annotations=tuple(annotations),
        logprobs=logprobs,
        cached=cached,
        written=written,
        reasoned=reasoned,
    )
    return Reply("answer", lambda _: whole)


def json(value: object) -> Reply:
    """JSON: as the forced tool's arguments where the request forces one, else as text."""
    body = _json.dumps(value)

    def answer(chat: Chat) -> Answer:
        if chat.forced_tool:
            return Answer(tools=(ToolUse(chat.forced_tool, body),))
        return Answer(text=body)

    return Reply("json", answer)


def echo() -> Reply:
    """The text of the last message."""
    return Reply("echo", lambda chat: Answer(text=chat.last_text or "(nothing)"))


def refusal(reason: str = "I cannot help with that.") -> Reply:
    """The model declines: OpenAI's ``refusal``, Anthropic's stop reason; Groq just says so."""
    return Reply("refusal", lambda _: Answer(refusal=reason))


def content_filter() -> Reply:
    """A 200 whose content the provider's filter took away."""
    return Reply("content_filter", lambda _: Answer(finish="content_filter"))


def auto() -> Reply:
    """What a demonstration needs: quotes a tool's result, else calls the first tool offered, else
    answers in JSON where a schema is given, else in text."""

    def answer(chat: Chat) -> Answer:
        if chat.last_is_tool_result:
            return Answer(text=f"The tool says: {chat.last_text}")
        if chat.tools and chat.tools_allowed:
            wanted = chat.forced_tool or chat.tools[0].name
            tool = next((t for t in chat.tools if t.name == wanted), chat.tools[0])
            return Answer(tools=(ToolUse(tool.name, _json.dumps(example(tool.schema))),))
        if chat.json_schema is not None:
            return Answer(text=_json.dumps(example(chat.json_schema)))
        return Answer(text=_sentence(chat))

    return Reply("auto", answer)


def _sentence(chat: Chat) -> str:
    return f"Hello, this is the simulated {chat.provider} speaking."


def _words(count: int) -> str:
    return " ".join(f"word{i}" for i in range(1, count + 1))


def _split(said: str, count: int) -> tuple[str, ...]:
    """Exactly ``count`` pieces that together are the text; at word borders where it has enough."""
    words = said.split(" ")
    parts = [w if i == 0 else f" {w}" for i, w in enumerate(words)]
    if len(parts) < count:
        parts = list(said)
    borders = [len(parts) * i // count for i in range(count + 1)]
    return tuple("".join(parts[a:b]) for a, b in pairwise(borders))


def _use(name: str, arguments: Mapping[str, Any] | str, number: str | None = None) -> ToolUse:
    raw = arguments if isinstance(arguments, str) else _json.dumps(arguments)
    return ToolUse(name, raw, number)
