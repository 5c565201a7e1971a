"""The words that protocols, replies and faults share. No HTTP and no clock in here."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from llm_unified.testing.journal import Request

__all__ = [
    "Answer",
    "Chat",
    "Endpoint",
    "Hollow",
    "Problem",
    "RefusedError",
    "Stream",
    "Tool",
    "ToolUse",
    "Wire",
    "dump",
    "text_of",
    "words_of",
]

Endpoint = Literal["chat", "embeddings", "models"]
Hollow = Literal["no_choices", "null_choices", "empty_content", "null_content"]
"""The ways in which a 200 can have the right shape and say nothing."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the request offers. ``schema`` is the JSON schema of its arguments."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call in an answer. ``arguments`` is sent as it is, valid JSON or not."""

    name: str
    arguments: str = "{}"
    id: str | None = None
    """``None``: the wire numbers it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says, in no vendor's words yet."""

    text: str | None = None
    tools: tuple[ToolUse, ...] = ()
    refusal: str | None = None
    finish: str | None = None
    """In OpenAI's vocabulary; ``None``: ``"tool_calls"`` or ``"stop"``, as fits."""
    usage: tuple[int, int] | None = None
    """Prompt and completion tokens; ``None``: estimated."""
    pieces: tuple[str, ...] | None = None
    """The text as stream deltas; ``None``: one per word."""
    reasoning: str | None = None
    """What the model thinks aloud before it answers."""
    annotations: tuple[Mapping[str, Any], ...] = ()
    """Citations, as this vendor's API has them."""
    logprobs: bool = False
    cached: int = 0
    """Of the prompt's tokens: read from the cache."""
    written: int = 0
    """Of the prompt's tokens: written to the cache."""
    reasoned: int = 0
    """Of the answer's tokens: spent on reasoning."""

    @property
    def deltas(self) -> tuple[str, ...]:
        """The text cut into stream deltas."""
        if self.pieces is not None:
            return self.pieces
        return words_of(self.text or "")

    @property
    def finish_reason(self) -> str:
        """Why it ended, in OpenAI's vocabulary."""
        return self.finish or ("tool_calls" if self.tools else "stop")

    def tokens(self, chat: Chat) -> tuple[int, int]:
        """Prompt and completion tokens, plausible and the same every time."""
        if self.usage is not None:
            return self.usage
        said = len(self.text or self.refusal or "") + sum(
            len(t.name) + len(t.arguments) for t in self.tools
        )
        return chat.prompt_tokens, max(1, said // 4)


@dataclass(frozen=True, slots=True)
class Chat:
    """What a wire understood of a chat request."""

    provider: str
    model: str
    request_id: str
    stream: bool = False
    include_usage: bool = False
    prompt: str = ""
    """All the text that was sent, for token estimates and for faults that echo it."""
    last_text: str = ""
    """Text of the last message; images and files show as ``[image]`` and the like."""
    last_is_tool_result: bool = False
    tools: tuple[Tool, ...] = ()
    tools_allowed: bool = True
    """``False`` when ``tool_choice`` is ``none``."""
    forced_tool: str | None = None
    """The tool that the request forces by name, or the only one when it forces any."""
    max_tokens: int | None = None
    json_schema: Mapping[str, Any] | None = None
    """What the answer has to be, where the request says so."""

    @property
    def prompt_tokens(self) -> int:
        """About four characters a token, never zero."""
        return len(self.prompt) // 4 + 8


@dataclass(frozen=True, slots=True)
class Stream:
    """The server-sent events of one answer, cut where faults like to strike."""

    head: tuple[bytes, ...]
    """Before any content."""
    content: tuple[bytes, ...]
    """One text or tool delta each, with the frames around it."""
    tail: tuple[bytes, ...]
    """Finish reason and usage."""
    end: bytes
    """The protocol's end marker."""

    def events(self) -> tuple[bytes, ...]:
        """All of it in order."""
        return (*self.head, *self.content, *self.tail, self.end)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a vendor answers with an error, before the vendor's own words for it."""

    status: int
    reason: str = ""
    """What it is where the status does not tell: ``context_length``, ``content_policy``, …"""
    message: str = ""
    """Overrides the vendor's usual message."""
    param: str | None = None


class RefusedError(Exception):
    """The vendor would refuse this request."""

    def __init__(
        self, status: int, message: str = "", *, reason: str = "", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.problem = Problem(status, reason, message, param)


class Wire(ABC):
    """One vendor's protocol: what it refuses, and the shape of all it says."""

    provider: ClassVar[str]
    model: ClassVar[str]
    """The model (Azure: deployment) that ``Simulator.environ()`` configures."""
    key_prefix: ClassVar[str]
    statuses: ClassVar[Mapping[str, int]] = {}
    """Reason → HTTP status, where this vendor's is not the usual one."""

    @abstractmethod
    def base_path(self) -> str:
        """What the vendor's SDK expects at the end of its base URL."""

    @abstractmethod
    def check(
        self, request: Request, keys: Sequence[str], models: Sequence[str] | None
    ) -> Endpoint:
        """The endpoint that is asked; raises :class:`RefusedError` where the vendor would refuse."""

    @abstractmethod
    def read(self, request: Request, request_id: str) -> Chat:
        """What the request wants. Never raises, since faults answer wrong requests, too."""

    @abstractmethod
    def completion(self, answer: Answer, chat: Chat) -> dict[str, Any]:
        """The JSON body of an answer."""

    @abstractmethod
    def stream(self, answer: Answer, chat: Chat) -> Stream:
        """The events of an answer."""

    @abstractmethod
    def hollow(self, kind: Hollow, chat: Chat) -> tuple[dict[str, Any], Stream]:
        """A body and a stream that say nothing."""

    @abstractmethod
    def error(self, problem: Problem, chat: Chat) -> dict[str, Any]:
        """The vendor's error envelope."""

    @abstractmethod
    def event(self, data: str, *, error: bool = False) -> bytes:
        """One server-sent event with this data, under a name that clients of the vendor heed."""

    @abstractmethod
    def headers(self, request_id: str) -> dict[str, str]:
        """The vendor's own response headers."""

    @abstractmethod
    def reset_headers(self, requests: float | None, tokens: float | None) -> dict[str, str]:
        """When the limits are lifted (seconds from now), in the vendor's own headers."""

    @abstractmethod
    def models(self, names: Sequence[str]) -> dict[str, Any]:
        """The body of the models list."""

    def embeddings(self, request: Request) -> dict[str, Any]:
        """The body of an embeddings answer; only for wires that have the endpoint."""
        raise NotImplementedError(request.path)

    def status_of(self, problem: Problem) -> int:
        """The HTTP status; a vendor may have its own for a reason."""
        return self.statuses.get(problem.reason, problem.status)


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def dump(value: object) -> str:
    """Compact JSON, as vendors send it."""
    return _encode(value)


def words_of(text: str) -> tuple[str, ...]:
    """The text as stream deltas, one a word."""
    words = text.split(" ")
    return tuple(w if i == 0 else f" {w}" for i, w in enumerate(words) if w or i)


def text_of(content: object) -> str:
    """The text of a message's content: a string, or parts of either protocol."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    found = []
    for part in content:
        if not isinstance(part, dict):
            continue
        kind = str(part.get("type"))
        if isinstance(part.get("text"), str):
            found.append(part["text"])
        elif kind == "tool_result":
            found.append(text_of(part.get("content")))
        elif kind != "tool_use":
            found.append(f"[{kind.removesuffix('_url')}]")
    return " ".join(t for t in found if t)
