"""Anthropic's Messages API, version 2023-06-01."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_unified.testing.wire import (
    Answer,
    Chat,
    Endpoint,
    Hollow,
    Problem,
    RefusedError,
    Stream,
    Tool,
    ToolUse,
    Wire,
    dump,
    text_of,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_unified.testing.journal import Request

__all__ = ["AnthropicWire"]

LATE_SYSTEM = re.compile(r"claude-(opus-(4-8|5)|(sonnet|haiku|fable|mythos)-5)")
BLOCKS = (
    "text",
    "image",
    "document",
    "search_result",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "tool_result",
    "server_tool_use",
    "container_upload",
)
SIGNATURE = "c2ltdWxhdGVkIHNpZ25hdHVyZQ=="
"""Of every thinking block; whoever sends one back sends this."""
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}

WORDS = {
    # reason or status → (type, message)
    "400": ("invalid_request_error", "The request was rejected as invalid."),
    "401": ("authentication_error", "invalid x-api-key"),
    "402": ("billing_error", "Your credit balance is too low to access the Anthropic API."),
    "403": ("permission_error", "Your API key does not have permission to use this resource."),
    "404": ("not_found_error", "model: {model}"),
    "413": ("request_too_large", "Request exceeds the maximum size"),
    "429": ("rate_limit_error", "This request would exceed your organization's rate limit of 50 requests per minute."),
    "504": ("timeout_error", "The request timed out while processing."),
    "529": ("overloaded_error", "Overloaded"),
    "unknown_url": ("not_found_error", "Not found"),
    "overloaded": ("overloaded_error", "Overloaded"),
    "context_length": ("invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
    "content_policy": ("invalid_request_error", "Output blocked by content filtering policy"),
    "quota": ("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."),
    "credit": ("invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."),
    "organization": ("invalid_request_error", "This organization has been disabled."),
    "region": ("forbidden", "Request not allowed"),
    "model_unknown": ("not_found_error", "model: {model}"),
    "model_retired": ("not_found_error", "model: {model}"),
    "operation": ("not_found_error", "model: {model}"),
    "tokens": ("rate_limit_error", "This request would exceed your organization's rate limit of 40,000 input tokens per minute."),
    "capacity": ("overloaded_error", "Overloaded"),
    "tool_generation": ("api_error", "Internal server error"),
    "json_generation": ("api_error", "Internal server error"),
    "input_and_output": ("invalid_request_error", "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or `max_tokens` and try again"),
    "flagged": ("invalid_request_error", "Output blocked by content filtering policy"),
    "long_parameter": ("invalid_request_error", "metadata.user_id: String should have at most 256 characters"),
}  # fmt: skip


class AnthropicWire(Wire):
    """``/v1/messages`` and ``/v1/models`` with ``x-api-key`` and ``anthropic-version``."""

    provider = "anthropic"
    model = "claude-haiku-4-5"
    key_prefix = "sk-ant-simulated"
    statuses = {  # noqa: RUF012 - a ClassVar by its base
        "overloaded": 529,
        "capacity": 529,
        "quota": 400,
        "organization": 400,
        "model_unknown": 404,
    }

    def base_path(self) -> str:
        return ""

    # -- what the vendor refuses ----------------------------------------------------------------

    def check(
        self, request: Request, keys: Sequence[str], models: Sequence[str] | None
    ) -> Endpoint:
        routes: dict[str, Endpoint] = {"/v1/messages": "chat", "/v1/models": "models"}
        endpoint = routes.get(request.path)
        if endpoint is None:
            raise RefusedError(404, reason="unknown_url")
        if request.method != ("GET" if endpoint == "models" else "POST"):
            raise RefusedError(405, "Method Not Allowed")
        if request.api_key is None:
            raise RefusedError(401, "x-api-key header is required")
        if request.api_key not in keys:
            raise RefusedError(401)
        if not request.headers.get("anthropic-version"):
            raise RefusedError(400, "anthropic-version: header is required")
        if endpoint == "models":
            return endpoint
        if not isinstance(request.body, dict):
            raise RefusedError(400, "The request body is not valid JSON: expected value")
        if models is not None and request.body.get("model", models[0]) not in models:
            raise RefusedError(404)
        _check_body(request.body)
        return endpoint

    # -- what was asked -------------------------------------------------------------------------

    def read(self, request: Request, request_id: str) -> Chat:
        body = request.body if isinstance(request.body, dict) else {}
        messages = [m for m in body.get("messages") or () if isinstance(m, dict)]
        texts = [text_of(m.get("content")) for m in messages]
        tools = tuple(
            Tool(str(t.get("name")), t.get("input_schema") or {})
            for t in body.get("tools") or ()
            if isinstance(t, dict)
        )
        choice = body.get("tool_choice") or {}
        forced = choice.get("name") if choice.get("type") == "tool" else None
        if choice.get("type") == "any" and len(tools) == 1:
            forced = tools[0].name
        return Chat(
            provider=self.provider,
            model=str(body.get("model") or self.model),
            request_id=request_id,
            stream=request.stream,
            include_usage=True,
            prompt="\n".join([text_of(body.get("system")), *texts]),
            last_text=texts[-1] if texts else "",
            last_is_tool_result=bool(messages) and _has(messages[-1], "tool_result"),
            tools=tools,
            tools_allowed=choice.get("type") != "none",
            forced_tool=forced,
            max_tokens=body.get("max_tokens"),
            json_schema=_schema(body),
        )

    # -- answers --------------------------------------------------------------------------------

    def completion(self, answer: Answer, chat: Chat) -> dict[str, Any]:
        text = answer.text or answer.refusal
        content: list[dict[str, Any]] = []
        if answer.reasoning is not None:
            content.append(_thinking(answer.reasoning) | {"signature": SIGNATURE})
        if text:
            cited = {"citations": list(answer.annotations)} if answer.annotations else {}
            content.append({"type": "text", "text": text, **cited})
        for i, tool in enumerate(answer.tools):
            content.append(_tool_block(tool, i, chat) | {"input": _object(tool.arguments)})
        return self._message(answer, chat, content)

    def _message(self, answer: Answer, chat: Chat, content: object) -> dict[str, Any]:
        prompt, completion = answer.tokens(chat)
        return {
            "model": chat.model,
            "id": f"msg_{chat.request_id}",
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": _stop_reason(answer),
            "stop_sequence": None,
            "usage": {
                "input_tokens": prompt - answer.cached - answer.written,
                "cache_creation_input_tokens": answer.written,
                "cache_read_input_tokens": answer.cached,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": answer.written,
                    "ephemeral_1h_input_tokens": 0,
                },
                "output_tokens": completion,
                "service_tier": "standard",
            },
        }

    def stream(self, answer: Answer, chat: Chat) -> Stream:
        ping = self._event({"type": "ping"})
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if answer.refusal and not answer.text:
            answer = replace(
                answer,
                text=answer.refusal,
                refusal=None,
                finish=answer.finish or "content_filter",
            )
        deltas: list[dict[str, Any]]
        if answer.reasoning is not None:
            deltas = [{"type": "thinking_delta", "thinking": p} for p in words_of(answer.reasoning)]
            deltas.append({"type": "signature_delta", "signature": SIGNATURE})
            blocks.append((_thinking("") | {"signature": ""}, deltas))
        if answer.text:
            deltas = [{"type": "text_delta", "text": piece} for piece in answer.deltas]
            deltas += [{"type": "citations_delta", "citation": c} for c in answer.annotations]
            blocks.append(({"type": "text", "text": ""}, deltas))
        for i, tool in enumerate(answer.tools):
            size = max(4, -(-len(tool.arguments) // 6))
            pieces = [
                "",
                *(tool.arguments[k : k + size] for k in range(0, len(tool.arguments), size)),
            ]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            blocks.append((_tool_block(tool, i, chat), deltas))

        head = [self._start(answer, chat)]
        content: list[bytes] = []
        between = b""  # frames that travel with the next delta
        for i, (block, deltas) in enumerate(blocks):
            start = {"type": "content_block_start", "index": i, "content_block": block}
            between += self._event(start)
            if i == 0:
                between += ping
            if i == 0 and block["type"] != "tool_use":  # no content yet; a tool's start is some
                head.append(between)
                between = b""
            for delta in deltas:
                event = {"type": "content_block_delta", "index": i, "delta": delta}
                content.append(between + self._event(event))
                between = b""
            between = self._event({"type": "content_block_stop", "index": i})
        if not blocks:
            head.append(ping)
        tail = [between] if between else []
        return Stream(
            tuple(head), tuple(content), (*tail, self._finish(answer, chat)), self._stop()
        )

    def _start(self, answer: Answer, chat: Chat) -> bytes:
        message = self._message(answer, chat, [])
        message["stop_reason"] = None
        message["usage"]["output_tokens"] = 1
        return self._event({"type": "message_start", "message": message})

    def _finish(self, answer: Answer, chat: Chat) -> bytes:
        prompt, completion = answer.tokens(chat)
        return self._event(
            {
                "type": "message_delta",
                "delta": {"stop_reason": _stop_reason(answer), "stop_sequence": None},
                "usage": {
                    "input_tokens": prompt - answer.cached - answer.written,
                    "cache_creation_input_tokens": answer.written,
                    "cache_read_input_tokens": answer.cached,
                    "output_tokens": completion,
                },
            }
        )

    def _stop(self) -> bytes:
        return self._event({"type": "message_stop"})

    # -- nothing, and errors --------------------------------------------------------------------

    def hollow(self, kind: Hollow, chat: Chat) -> tuple[dict[str, Any], Stream]:
        answer = Answer(text="")
        contents: dict[Hollow, Any] = {
            "no_choices": [],
            "null_choices": None,
            "empty_content": [{"type": "text", "text": ""}],
            "null_content": [{"type": "text", "text": None}],
        }
        blocks: dict[Hollow, list[dict[str, Any]]] = {
            "no_choices": [],
            "null_choices": [{"type": "content_block_start", "index": 0, "content_block": None}],
            "empty_content": [
                {
                    "type": "content_block_start",
                    "index": 0,
                    "content_block": {"type": "text", "text": ""},
                },
                {"type": "content_block_stop", "index": 0},
            ],
        }
        blocks["null_content"] = [
            blocks["empty_content"][0],
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": None},
            },
            blocks["empty_content"][1],
        ]
        head = (self._start(answer, chat), *map(self._event, blocks[kind]))
        stream = Stream(head, (), (self._finish(answer, chat),), self._stop())
        return self._message(answer, chat, contents[kind]), stream

    def error(self, problem: Problem, chat: Chat) -> dict[str, Any]:
        known = WORDS.get(problem.reason) or WORDS.get(str(problem.status))
        if known is None:
            kind = "api_error" if problem.status >= 500 else "invalid_request_error"  # noqa: PLR2004
            known = kind, "Internal server error" if kind == "api_error" else "Invalid request"
        kind, message = known
        return {
            "type": "error",
            "error": {
                "type": kind,
                "message": problem.message or message.replace("{model}", chat.model),
            },
            "request_id": f"req_{chat.request_id}",
        }

    def event(self, data: str, *, error: bool = False) -> bytes:
        return f"event: {'error' if error else 'content_block_delta'}\ndata: {data}\n\n".encode()

    def _event(self, value: dict[str, Any]) -> bytes:
        return f"event: {value['type']}\ndata: {dump(value)}\n\n".encode()

    # -- the rest -------------------------------------------------------------------------------

    def headers(self, request_id: str) -> dict[str, str]:
        return {
            "request-id": f"req_{request_id}",
            "anthropic-organization-id": "simulated",
            "anthropic-ratelimit-requests-limit": "4000",
            "anthropic-ratelimit-requests-remaining": "3999",
            "anthropic-ratelimit-requests-reset": _timestamp(0),
            "anthropic-ratelimit-tokens-limit": "480000",
            "anthropic-ratelimit-tokens-remaining": "480000",
            "anthropic-ratelimit-tokens-reset": _timestamp(0),
        }

    def reset_headers(self, requests: float | None, tokens: float | None) -> dict[str, str]:
        found = {}
        for name, seconds in (("requests", requests), ("tokens", tokens)):
            if seconds is not None:
                found[f"anthropic-ratelimit-{name}-remaining"] = "0"
                found[f"anthropic-ratelimit-{name}-reset"] = _timestamp(seconds)
        return found

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return {
            "data": [
                {
                    "type": "model",
                    "id": name,
                    "display_name": name,
                    "created_at": "2025-09-29T00:00:00Z",
                }
                for name in names
            ],
            "has_more": False,
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
        }


def _timestamp(seconds: float) -> str:
    """RFC 3339 with whole seconds, ``seconds`` from now, never earlier than promised."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(-(-(time.time() + seconds) // 1)))


def _stop_reason(answer: Answer) -> str:
    if answer.refusal and answer.finish is None:
        return "refusal"
    return STOP_REASONS.get(answer.finish_reason, answer.finish_reason)


def _thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text}


def _tool_block(tool: ToolUse, index: int, chat: Chat) -> dict[str, Any]:
    number = tool.id or f"toolu_{chat.request_id}_{index}"
    return {"type": "tool_use", "id": number, "name": tool.name, "input": {}}


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a structured answer; ``output_format`` is the older spelling."""
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    found = wanted.get("schema")
    return found if isinstance(found, dict) else None


def _object(arguments: str) -> Any:
    """Arguments as an object; broken ones stay text, the nearest that this wire can carry."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _blocks(message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    content = message.get("content")
    if not isinstance(content, list):
        return []
    return [b for b in content if isinstance(b, dict) and b.get("type") == kind]


def _has(message: dict[str, Any], kind: str) -> bool:
    return bool(_blocks(message, kind))


def _check_body(body: dict[str, Any]) -> None:
    for name, kind in (("model", str), ("max_tokens", int), ("messages", list)):
        if name not in body:
            raise RefusedError(400, f"{name}: Field required")
        if not isinstance(body[name], kind):
            raise RefusedError(400, f"{name}: Input should be a valid {kind.__name__}")
    temperature = body.get("temperature") or 0
    tools = body.get("tools") or []
    wrong = {
        "max_tokens: must be greater than or equal to 1": body["max_tokens"] < 1,
        "temperature: range: 0..1": not 0 <= temperature <= 1,
        "system: Input should be a valid list": not isinstance(body.get("system", ""), str | list),
        "tool_choice: may only be specified while providing tools": body.get("tool_choice")
        and not tools,
    }
    for message, applies in wrong.items():
        if applies:
            raise RefusedError(400, message)
    for i, tool in enumerate(tools):
        for name in ("name", "input_schema"):
            if tool.get("type", "custom") == "custom" and name not in tool:
                raise RefusedError(400, f"tools.{i}.custom.{name}: Field required")
    _check_messages(body["messages"], system=bool(LATE_SYSTEM.match(str(body["model"]))))


def _check_messages(messages: list[Any], *, system: bool = False) -> None:
    """``system``: this model takes system messages behind a user's turn ("Mid-conversation system messages")."""
    if not messages:
        raise RefusedError(400, "messages: at least one message is required")
    waiting: list[str] = []  # tool uses that the next message must answer
    for i, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role == "system" and system and i and messages[i - 1]["role"] == "user":
            continue
        if role == "system":
            raise RefusedError(
                400,
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` '
                'parameter, not "system" as an input message role.',
            )
        if role not in ("user", "assistant"):
            raise RefusedError(
                400, f"messages.{i}.role: Input should be 'user' or 'assistant', got '{role}'"
            )
        if i == 0 and role != "user":
            raise RefusedError(400, 'messages: first message must use the "user" role')
        last = i == len(messages) - 1
        if not message.get("content") and not (role == "assistant" and last):
            raise RefusedError(
                400,
                f"messages.{i}: all messages must have non-empty content except for the optional "
                "final assistant message",
            )
        _check_blocks(message, i)
        answered = [str(b.get("tool_use_id")) for b in _blocks(message, "tool_result")]
        strange = [a for a in answered if a not in waiting]
        if strange:
            raise RefusedError(
                400,
                f"messages.{i}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{strange[0]}. Each `tool_result` block must have a corresponding `tool_use` "
                "block in the previous message.",
            )
        missing = [w for w in waiting if w not in answered]
        if missing:
            raise RefusedError(
                400,
                f"messages.{i - 1}: `tool_use` ids were found without `tool_result` blocks "
                f"immediately after: {', '.join(missing)}. Each `tool_use` block must have a "
                "corresponding `tool_result` block in the next message.",
            )
        waiting = [str(b.get("id")) for b in _blocks(message, "tool_use")]


def _check_blocks(message: dict[str, Any], index: int) -> None:
    content = message.get("content")
    if not isinstance(content, list):
        return
    for k, block in enumerate(content):
        where = f"messages.{index}.content.{k}"
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in BLOCKS and not str(kind).endswith("_tool_result"):
            raise RefusedError(400, f"{where}: Input tag '{kind}' does not match any expected tag")
        if kind == "text" and not block.get("text"):
            raise RefusedError(400, "messages: text content blocks must be non-empty")
        if kind == "image" and not isinstance(block.get("source"), dict):
            raise RefusedError(400, f"{where}.image.source: Field required")
        if kind == "tool_use" and not isinstance(block.get("input"), dict):
            raise RefusedError(400, f"{where}.tool_use.input: Input should be a valid dictionary")
