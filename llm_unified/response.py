"""The vocabulary: what one call gives back, as plain frozen values.

Everything here is data. Nothing in this module knows LiteLLM, HTTP or a clock. All durations are
floats in seconds, all counts are integers, all costs are US dollars.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

__all__ = [
    "Attempt",
    "Embedding",
    "FailureKind",
    "LLMResponse",
    "Outcome",
    "StreamChunk",
    "ToolCall",
    "ToolCallDelta",
    "Usage",
]


class FailureKind(StrEnum):
    """Why an attempt failed; the rows of the failure table in the documentation."""

    CONNECTION = "connection"
    """Refused, reset, DNS, TLS, or closed before the answer was whole."""
    TIMEOUT = "timeout"
    """Connect, attempt, first-token or stream-idle limit passed."""
    RATE_LIMIT = "rate_limit"
    """429, or the provider says that it is overloaded (Anthropic's 529)."""
    SERVER = "server"
    """5xx."""
    QUOTA = "quota"
    """The key's money, credit or monthly limit is spent."""
    AUTH = "auth"
    """401, 403, or a disabled organization."""
    NOT_FOUND = "not_found"
    """404, or a vendor's 400 that says so: no such model, deployment or path."""
    INVALID_RESPONSE = "invalid_response"
    """A 2xx answer that is no answer: unparsable, empty, cut."""
    REJECTED = "rejected"
    """The caller turned a good answer down (``accept``, ``response_format``), or his own limit did."""
    CONTEXT_LENGTH = "context_length"
    """400 because the conversation is too long for this model."""
    CONTENT_POLICY = "content_policy"
    """400, or an empty answer, because of the provider's content filter."""
    BAD_REQUEST = "bad_request"
    """Any other 4xx: the caller's fault, another provider would say the same."""
    CANCELLED = "cancelled"
    """The caller went away."""


Outcome = Literal["answered", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them."""

    prompt_tokens: int = 0
    """All of the prompt, cached tokens included."""
    completion_tokens: int = 0
    """All of the answer, reasoning included."""
    total_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt: read from the provider's cache."""
    cache_write_tokens: int = 0
    """Of the prompt: written to the provider's cache."""
    cache_write_1h_tokens: int = 0
    """Of those written: for an hour, which costs more (Anthropic)."""
    reasoning_tokens: int = 0
    """Of the answer: spent on reasoning, where the provider says so."""

    def __add__(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def as_dict(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        }


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request sent (or about to be sent) to one deployment, and how it ended.

    A program can tell from a call's attempts alone what happened. Texts are categories of ours, never
    an upstream's words, so no secret and no prompt can be in them.
    """

    provider: str
    """The provider's name as configured, e.g. ``"azure_openai"``."""
    model: str
    """The model (Azure: deployment name) that was asked."""
    deployment: str
    """The pool member, e.g. ``"openai#1"``."""
    outcome: Outcome
    kind: FailureKind | None = None
    """``None`` exactly when ``outcome == "answered"``."""
    status: int | None = None
    """HTTP status, if one arrived."""
    seconds: float = 0.0
    """From the decision to ask until the verdict."""
    first_token_seconds: float | None = None
    """Streams: until the first content, tool or reasoning delta."""
    request_id: str | None = None
    """The upstream's own request id, for its support desk."""
    retry_after: float | None = None
    """Seconds the upstream asked to be left alone."""
    reason: str = ""
    """A few words of ours, e.g. ``"no choices"`` or ``"connect timeout"``."""
    usage: Usage | None = None
    """Tokens of this attempt, also of a rejected or interrupted answer, as far as the provider counted."""
    cost_usd: float | None = None
    """What they cost; ``None`` when tokens or price are unknown."""
    sent: bool = True
    """Whether a request left this process; if not, it is nobody's failure and counted nowhere."""
    stale: bool = False
    """Whether it failed because a kept connection had broken while idle, which is nobody's failure: the same
    deployment is asked once more."""
    adapted: tuple[str, ...] = ()
    """What of the request this model does not take, and what was done about it for this attempt alone,
    e.g. ``"temperature 1.2 → 1.0"`` or ``"logit_bias dropped"``."""

    def __str__(self) -> str:
        if self.outcome == "answered":
            verdict = "answered"
        else:
            verdict = str(self.kind)
            if self.status is not None:
                verdict += f" (HTTP {self.status})"
            if self.reason:
                verdict += f": {self.reason}"
        return f"{self.deployment} [{self.model}] {verdict} after {self.seconds:.3f} s"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One parsed tool call. ``arguments`` is a ``dict``; the JSON text is in ``raw_response``."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call in a stream; pieces with one ``index`` belong together."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """One piece of a streamed answer.

    ``content`` is ``""`` in a chunk that only carries tool deltas or reasoning: who joins ``content`` gets
    the text of the answer and nothing else.
    """

    content: str
    provider: str
    model: str
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    """In the last chunk, in OpenAI's words."""
    reasoning: str = ""
    """What the model thinks aloud, where the provider shows it."""


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """One answer, in one shape, whoever gave it."""

    content: str
    """The text; ``""`` when there are only tool calls."""
    provider: str
    """Who answered, e.g. ``"azure_openai"``."""
    model: str
    """The model that was asked, e.g. ``"gpt-4"`` (the upstream's own spelling: ``raw_response["model"]``)."""
    finish_reason: str | None = None
    """In OpenAI's words: ``"stop"``, ``"length"``, ``"tool_calls"`` or ``"content_filter"``."""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    """``None`` when the provider did not count (some servers do not, in streams); nothing is estimated."""
    cost_usd: float | None = None
    """From the price list (or the prices of the configuration); ``None`` when tokens or price are unknown."""
    parsed: Any = None
    """With ``response_format=``: the validated object."""
    attempts: tuple[Attempt, ...] = ()
    """All attempts of the call in order; the last one answered."""
    raw_response: dict[str, Any] = field(default_factory=dict, repr=False)
    """``id``, ``model``, ``created``, ``content``, ``finish_reason``, ``usage`` and, only when there are
    any, ``tool_calls`` (each ``{"id", "type", "name", "arguments", "function": {"name", "arguments"}}``
    with ``arguments`` the JSON string as sent). ``native_finish_reason`` is the upstream's own word for
    ``finish_reason``. Further members of its message are there as they came (streams: joined), unless
    empty, e.g. ``reasoning``, ``refusal``, ``thinking_blocks``."""
    reasoning: str | None = None
    """What the model thought aloud, where the provider shows it."""
    refusal: str | None = None
    """Why the model declined, where it says so beside an answer. (A refusal without any content is no
    answer: the attempt fails as ``content_policy``.)"""
    annotations: tuple[dict[str, Any], ...] = ()
    """Citations and the like as the provider gives them; Anthropic's each with its ``supported_text``."""
    logprobs: dict[str, Any] | None = None
    """With ``logprobs=True``, in OpenAI's form."""
    call_id: str | None = field(default=None, compare=False)
    """Ours, the same in this call's events, logs and spans."""
    message: dict[str, Any] = field(default_factory=dict, repr=False)
    """The assistant's turn: append it to ``messages`` as it is, whoever is asked next.

    OpenAI's shape: ``role``, ``content`` (``None`` where there is none), ``tool_calls`` with their ids and,
    in LiteLLM's convention, ``reasoning_content`` and ``thinking_blocks`` (signatures included)."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """Vectors for a list of inputs, all from one model."""

    vectors: tuple[tuple[float, ...], ...]
    provider: str
    model: str
    usage: Usage | None = None
    """All requests' together; ``None`` when the provider did not count."""
    cost_usd: float | None = None
    attempts: tuple[Attempt, ...] = ()
    call_id: str | None = field(default=None, compare=False)
    """Ours, the same in this call's events, logs and spans."""
