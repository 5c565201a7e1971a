"""What comes back from Anthropic, through LiteLLM's own translation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from llm_unified.engine.imports import AnthropicEvents, LiteLLMUsage, ModelResponse
from llm_unified.engine.objects import piece_of
from llm_unified.engine.pieces import AnswerError, Piece, optional_text, text_of
from llm_unified.engine.quiet import quiet
from llm_unified.engine.usage import anthropic_usage
from llm_unified.failures.envelope import of_event

__all__ = ["AnthropicReader", "anthropic_whole"]

_FINISH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "pause_turn": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "refusal": "content_filter",
    }
)
"""Anthropic's ``stop_reason`` in OpenAI's words. Source: Anthropic API reference, "Handling stop reasons"."""
_TRANSLATED: Final = ("text", "tool_use")
_THINKING: Final = ("thinking", "redacted_thinking")
_ENDING: Final = ("stop_sequence", "stop_details", "container")
"""Members that come with the end of a message."""


class _RawAnswer:
    """As much of an ``httpx.Response`` as LiteLLM's translation reads."""

    status_code = 200
    headers: Mapping[str, str] = MappingProxyType({})
    text = ""

    def __init__(self, data: Any) -> None:
        self._data = data

    def json(self) -> Any:
        return self._data


class _NoLogging:
    """LiteLLM's logging object, as far as a translation touches it; nothing is logged."""

    def __init__(self) -> None:
        self.model_call_details: dict[str, Any] = {}
        self.optional_params: dict[str, Any] = {}

    def pre_call(self, *_: Any, **__: Any) -> None:
        """Nothing is to be logged."""

    def post_call(self, *_: Any, **__: Any) -> None:
        """Nothing is to be logged."""


def anthropic_whole(config: Any, data: Any, **request: Any) -> Piece:
    """A whole answer. ``request``: what LiteLLM's ``transform_response`` wants to know of it.

    LiteLLM gets the text and the calls. What the model thinks is read here: LiteLLM would count its tokens,
    in the event loop; and so is what it does not hand on.

    Raises:
        AnswerError: it is an error, or could not be read.
    """
    usage = anthropic_usage(data.get("usage")) if isinstance(data, dict) else None
    blocks = data.get("content") if isinstance(data, dict) else None
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        error = of_event(data)
        raise AnswerError(
            "no content" if error is None else "error in place of an answer",
            error=error,
            usage=usage,
        )
    answer: Any = ModelResponse()
    answer.usage = LiteLLMUsage()
    said = [block for block in blocks if block.get("type") in _TRANSLATED]
    try:
        with quiet():
            answer = config.transform_response(
                raw_response=_RawAnswer({**data, "content": said}),
                model_response=answer,
                logging_obj=_NoLogging(),
                encoding=None,
                api_key="",
                **request,
            )
    except Exception:  # noqa: BLE001 - LiteLLM raises anything; its words may quote the answer
        raise AnswerError("answer could not be read", usage=usage) from None
    piece = piece_of(answer, part="message")
    piece.id, piece.created = optional_text(data.get("id")), None
    piece.model = optional_text(data.get("model"))
    piece.usage, piece.rich = usage, True
    piece.thinking = [block for block in blocks if block.get("type") in _THINKING]
    piece.reasoning = "".join(
        text_of(block.get("thinking"), "thinking") for block in piece.thinking
    )
    piece.annotations = [cited for block in said for cited in _cited(block, block.get("text"))]
    piece.members = {
        name: value
        for name, value in {
            "reasoning_content": piece.reasoning,
            "annotations": piece.annotations,
            "server_tool_results": [block for block in blocks if _is_result(block)],
            **{name: data.get(name) for name in _ENDING},
        }.items()
        if value
    }
    _name_the_end(piece, data)
    return piece


class AnthropicReader:
    """The events of one stream, each into the piece that it brings."""

    def __init__(self, *, json_mode: bool, tool_names: dict[str, str] | None) -> None:
        self._events = AnthropicEvents(
            None, sync_stream=False, json_mode=json_mode, tool_name_reverse_map=tool_names
        )
        self._usage: dict[str, Any] = {}
        self._text: list[str] = []
        """Of the block that is coming in."""
        self._citations: list[Any] = []
        self._began = False
        self._served = False
        """The block is a call that Anthropic carries out itself."""

    def __call__(self, event: dict[str, Any]) -> Piece | None:
        """Take the next event.

        Raises:
            AnswerError: an error event, or one that could not be read.
        """
        kind = event.get("type")
        if kind == "error" or (kind is None and "error" in event):
            raise AnswerError("error event in the stream", error=of_event(event))
        if kind == "content_block_delta" and (read := self._simple(event.get("delta"))) is not None:
            return read
        if kind == "content_block_delta" and not self._began:  # LiteLLM would leave it out
            raise AnswerError("piece of a tool call that did not begin")
        try:
            with quiet():
                piece = piece_of(self._events.chunk_parser(event), part="delta")
        except Exception:  # noqa: BLE001 - as above
            raise AnswerError("event could not be read") from None
        if kind == "message_start":
            self._started(event, piece)
        elif kind == "message_delta":
            self._ending(event, piece)
        else:
            piece.usage = None
            self._block(kind, event, piece)
        return piece

    def _simple(self, delta: Any) -> Piece | None:
        """Text and what the model thinks need no translation."""
        kind = delta.get("type") if isinstance(delta, dict) else None
        if kind == "text_delta":
            text = text_of(delta.get("text"), "text")
            self._text.append(text)
            return Piece(text=text)
        if kind == "thinking_delta":
            text = text_of(delta.get("thinking"), "thinking")
            return _thought(text, {"type": "thinking", "thinking": text})
        if kind == "signature_delta":
            signature = text_of(delta.get("signature"), "signature")
            return _thought("", {"type": "thinking", "thinking": "", "signature": signature})
        if kind == "citations_delta":
            self._citations.append(delta.get("citation"))
            return Piece()
        return None

    def _block(self, kind: Any, event: dict[str, Any], piece: Piece) -> None:
        """A block begins, goes on or ends."""
        if kind == "content_block_start":
            block, self._began = event["content_block"], True
            self._text, self._citations = [piece.text], []
            self._served = block.get("type") == "server_tool_use"
            if _is_result(block):
                piece.members, piece.rich = {"server_tool_results": [block]}, True
        elif kind == "content_block_stop":
            cited = _cited({"citations": self._citations}, "".join(self._text))
            if cited:
                piece.annotations, piece.rich = cited, True
                piece.members = {"annotations": cited}
        if self._served:
            piece.tool_calls = ()

    def _started(self, event: dict[str, Any], piece: Piece) -> None:
        message = event.get("message")
        if isinstance(message, dict):
            piece.id, piece.created = optional_text(message.get("id")), None
            piece.model = optional_text(message.get("model"))
            if isinstance(usage := message.get("usage"), dict):
                self._usage |= usage
        piece.usage = anthropic_usage(self._usage)

    def _ending(self, event: dict[str, Any], piece: Piece) -> None:
        """The counts of the last event are cumulative, and name only what has changed."""
        if isinstance(usage := event.get("usage"), dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}
        piece.usage = anthropic_usage(self._usage)
        delta = event.get("delta")
        if isinstance(delta, dict):
            members = {name: value for name in _ENDING if (value := delta.get(name))}
            if members:
                piece.members, piece.rich = members, True
            _name_the_end(piece, delta)


def _thought(text: str, block: dict[str, Any]) -> Piece:
    members = {"reasoning_content": text} if text else None
    return Piece(reasoning=text, thinking=[block], members=members, rich=True)


def _is_result(block: Mapping[str, Any]) -> bool:
    """What a tool on Anthropic's side found."""
    return str(block.get("type")).endswith("_tool_result")


def _cited(block: Mapping[str, Any], text: Any) -> list[dict[str, Any]]:
    """A text block's citations, in LiteLLM's form: each with the text that it is for."""
    citations = block.get("citations")
    if not isinstance(citations, list):
        return []
    return [{**cited, "supported_text": text} for cited in citations if isinstance(cited, dict)]


def _name_the_end(piece: Piece, ending: Mapping[str, Any]) -> None:
    """LiteLLM calls whatever it does not know "stop"."""
    stop_reason, details = ending.get("stop_reason"), ending.get("stop_details")
    piece.native_finish_reason = optional_text(stop_reason)
    if isinstance(details, dict):
        piece.refusal = optional_text(details.get("explanation")) or ""
        piece.rich = True
    if stop_reason == "tool_use" and piece.finish_reason == "stop":
        return  # its helper tool for JSON
    if isinstance(stop_reason, str) and stop_reason in _FINISH:
        piece.finish_reason = _FINISH[stop_reason]
