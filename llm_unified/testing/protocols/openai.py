"""OpenAI's chat completions, embeddings and models; Azure OpenAI and Groq build on it."""

from __future__ import annotations

import base64
import hashlib
import random
import struct
import time
from typing import TYPE_CHECKING, Any, ClassVar

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
    from collections.abc import Mapping, Sequence

    from llm_unified.testing.journal import Request

__all__ = ["WORDS", "OpenAIWire"]

Route = tuple[Endpoint, str | None]
"""An endpoint and, where the path names it, the model."""

MAX_INPUTS = 2048
"""Texts of one embeddings request. Source: OpenAI API reference, "Create embeddings"."""
ROLES = ("system", "assistant", "user", "function", "tool", "developer")
PARTS = ("text", "image_url", "input_audio", "refusal", "file")

SNAPSHOTS = {
    "gpt-4": "gpt-4-0613",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
}

WORDS: dict[str, tuple[str, str | None, str]] = {
    # reason or status → (type, code, message)
    "400": ("invalid_request_error", None, "The request was rejected as invalid."),
    "401": ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "402": ("insufficient_quota", "billing_not_active", "Your account is not active."),
    "403": ("invalid_request_error", "forbidden", "You are not allowed to do this."),
    "404": ("invalid_request_error", "model_not_found", "The model `{model}` does not exist or you do not have access to it."),
    "408": ("server_error", None, "Request timed out."),
    "409": ("invalid_request_error", "conflict", "The resource is being changed."),
    "413": ("invalid_request_error", None, "Request body is too large."),
    "422": ("invalid_request_error", None, "The request could not be processed."),
    "429": ("requests", "rate_limit_exceeded", "Rate limit reached for {model} on requests per min (RPM): Limit 500, Used 500, Requested 1."),
    "500": ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    "503": ("server_error", None, "The service is unavailable."),
    "unknown_url": ("invalid_request_error", None, "Invalid URL"),
    "overloaded": ("server_error", None, "The engine is currently overloaded, please try again later."),
    "quota": ("insufficient_quota", "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
    "credit": ("billing_limit_user_error", "billing_hard_limit_reached", "Billing hard limit has been reached"),
    "organization": ("invalid_request_error", "account_deactivated", "The OpenAI account associated with this API key has been deactivated. Please check your email for more information."),
    "region": ("request_forbidden", "unsupported_country_region_territory", "Country, region, or territory not supported"),
    "model_unknown": ("invalid_request_error", "model_not_found", "The requested model '{model}' does not exist."),
    "model_retired": ("invalid_request_error", "model_not_found", "The model `{model}` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations"),
    "operation": ("invalid_request_error", None, "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/completions?"),
    "tokens": ("tokens", "rate_limit_exceeded", "Request too large for {model} in organization simulated on tokens per min (TPM): Limit 30000, Requested 36278. The input or output tokens must be reduced in order to run successfully."),
    "capacity": ("service_unavailable_error", "server_is_overloaded", "The model is overloaded. Please try again later."),
    "tool_generation": ("model_error", None, "The model produced invalid content. Consider modifying your prompt if you are seeing this error persistently."),
    "json_generation": ("model_error", None, "The model produced invalid content. Consider modifying your prompt if you are seeing this error persistently."),
    "input_and_output": ("invalid_request_error", "context_length_exceeded", "This model's maximum context length is 128000 tokens. However, you requested 131134 tokens (122942 in the messages, 8192 in the completion). Please reduce the length of the messages or completion."),
    "flagged": ("invalid_request_error", "invalid_prompt", "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a different prompt."),
    "long_parameter": ("invalid_request_error", "string_above_max_length", "Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with length 90 instead."),
    "context_length": ("invalid_request_error", "context_length_exceeded", "This model's maximum context length is 128000 tokens. However, your messages resulted in 200000 tokens. Please reduce the length of the messages."),
    "content_policy": ("invalid_request_error", "content_policy_violation", "Your request was rejected as a result of our safety system."),
}  # fmt: skip


def pair(endpoint: Endpoint | None, model: str | None = None) -> Route | None:
    """A route, if there is an endpoint."""
    return None if endpoint is None else (endpoint, model)


class OpenAIWire(Wire):
    """``/v1/chat/completions``, ``/v1/embeddings``, ``/v1/models`` with a bearer key."""

    provider = "openai"
    model = "gpt-4o-mini"
    key_prefix = "sk-proj-simulated"
    words = WORDS
    reasoning_member: ClassVar[str] = "reasoning_content"
    """As DeepSeek and vLLM call it; OpenAI itself shows none."""

    def base_path(self) -> str:
        return "/v1"

    # -- what the vendor refuses ----------------------------------------------------------------

    def route(self, request: Request) -> Route | None:
        """The endpoint and, where the path names it, the model."""
        found: dict[str, Endpoint] = {
            "/v1/chat/completions": "chat",
            "/v1/embeddings": "embeddings",
            "/v1/models": "models",
        }
        return pair(found.get(request.path))

    def check(
        self, request: Request, keys: Sequence[str], models: Sequence[str] | None
    ) -> Endpoint:
        route = self.route(request)
        if route is None:
            raise RefusedError(
                404, f"Invalid URL ({request.method} {request.path})", reason="unknown_url"
            )
        endpoint, model = route
        if request.method != ("GET" if endpoint == "models" else "POST"):
            message = f"Not allowed to {request.method} on {request.path}."
            raise RefusedError(405, message, reason="method_not_supported")
        self.check_key(request, keys)
        if endpoint == "models":
            return endpoint
        body = request.body
        if not isinstance(body, dict):
            raise RefusedError(
                400, "We could not parse the JSON body of your request.", reason="unparsable"
            )
        if model is None:
            model = body.get("model")
            if not isinstance(model, str) or not model:
                raise RefusedError(400, "you must provide a model parameter")
        if models is not None and model not in models:
            raise RefusedError(404, reason="unknown_model")
        if endpoint == "embeddings":
            self.check_embeddings(body)
        else:
            self.check_chat(body)
        return endpoint

    def check_embeddings(self, body: dict[str, Any]) -> None:
        """Something to embed, and not too much of it."""
        if not body.get("input"):
            raise RefusedError(
                400, "Missing required parameter: 'input'.", param="input", reason="missing"
            )
        given = body["input"]
        if isinstance(given, list) and len(given) > MAX_INPUTS:
            raise RefusedError(
                400,
                f"Invalid 'input': array too long. Expected an array with maximum length "
                f"{MAX_INPUTS}, but got an array with length {len(given)} instead.",
                param="input",
            )

    def check_key(self, request: Request, keys: Sequence[str]) -> None:
        key = request.api_key if "authorization" in request.headers else None
        if key is None:
            raise RefusedError(
                401,
                "You didn't provide an API key. You need to provide your API key in an "
                "Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
                reason="no_key",
            )
        if key not in keys:
            shown = f"{key[:3]}****{key[-4:]}" if len(key) > 12 else "****"  # noqa: PLR2004
            raise RefusedError(401, f"Incorrect API key provided: {shown}.")

    def check_chat(self, body: dict[str, Any]) -> None:
        """The mistakes that callers and translating layers make."""
        if "messages" not in body:
            raise RefusedError(
                400,
                "Missing required parameter: 'messages'.",
                param="messages",
                reason="missing",
            )
        messages = body["messages"]
        if not isinstance(messages, list) or not messages:
            raise RefusedError(
                400,
                "Invalid 'messages': empty array. Expected an array with minimum length 1.",
                param="messages",
                reason="empty_array",
            )
        if body.get("stream_options") is not None and not body.get("stream"):
            raise RefusedError(
                400,
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
                param="stream_options",
            )
        for name, limit in (("temperature", 2), ("top_p", 1)):
            value = body.get(name)
            if value is not None and not (_is_number(value) and 0 <= value <= limit):
                message = f"Invalid '{name}': expected a number between 0 and {limit}."
                raise RefusedError(400, message, param=name, reason="value")
        for i, tool in enumerate(body.get("tools") or ()):
            if not (isinstance(tool, dict) and isinstance(tool.get("function"), dict)):
                raise RefusedError(
                    400,
                    f"Missing required parameter: 'tools[{i}].function'.",
                    param=f"tools[{i}].function",
                    reason="missing",
                )
        self._check_messages(messages)

    def _check_messages(self, messages: list[Any]) -> None:
        waiting: list[str] = []  # tool calls that still need their result
        asked: set[str] = set()
        for i, message in enumerate(messages):
            where = f"messages.[{i}]"
            role = message.get("role") if isinstance(message, dict) else None
            if role not in ROLES:
                raise RefusedError(
                    400,
                    f"Invalid value: '{role}'. Supported values are: {', '.join(ROLES)}.",
                    param=f"messages[{i}].role",
                    reason="value",
                )
            if role == "tool":
                if message.get("tool_call_id") not in asked:
                    raise RefusedError(
                        400,
                        "Invalid parameter: messages with role 'tool' must be a response to a "
                        "preceding message with 'tool_calls'.",
                        param=f"{where}.role",
                    )
                waiting = [w for w in waiting if w != message["tool_call_id"]]
                continue
            if waiting:
                raise _unanswered(waiting, f"{where}.role")
            asked = set()
            if role == "assistant" and message.get("tool_calls"):
                waiting = [str(call.get("id")) for call in message["tool_calls"]]
                asked = set(waiting)
            elif role != "function":
                _check_content(message.get("content"), role, i)
        if waiting:
            raise _unanswered(waiting, f"messages.[{len(messages)}].role")

    # -- what was asked -------------------------------------------------------------------------

    def read(self, request: Request, request_id: str) -> Chat:
        body = request.body if isinstance(request.body, dict) else {}
        messages = [m for m in body.get("messages") or () if isinstance(m, dict)]
        texts = [text_of(m.get("content")) for m in messages]
        tools = tuple(
            Tool(str(t["function"].get("name")), t["function"].get("parameters") or {})
            for t in body.get("tools") or ()
            if isinstance(t, dict) and isinstance(t.get("function"), dict)
        )
        choice = body.get("tool_choice")
        forced = None
        if isinstance(choice, dict):
            forced = (choice.get("function") or {}).get("name")
        elif choice == "required" and len(tools) == 1:
            forced = tools[0].name
        return Chat(
            provider=self.provider,
            model=self.model_of(request, body),
            request_id=request_id,
            stream=request.stream,
            include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
            prompt="\n".join(texts),
            last_text=texts[-1] if texts else "",
            last_is_tool_result=bool(messages) and messages[-1].get("role") == "tool",
            tools=tools,
            tools_allowed=choice != "none",
            forced_tool=forced,
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            json_schema=_schema(body.get("response_format")),
        )

    def model_of(self, request: Request, body: dict[str, Any]) -> str:
        """The model's name as asked for; Azure has it in the path."""
        return str(body.get("model") or self.model)

    def snapshot(self, model: str) -> str:
        """The dated name that an alias answers with."""
        return SNAPSHOTS.get(model, model)

    # -- answers --------------------------------------------------------------------------------

    def completion(self, answer: Answer, chat: Chat) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.tools:
            message["tool_calls"] = [self._call(t, i, chat) for i, t in enumerate(answer.tools)]
        self.finish_message(message, answer)
        if answer.reasoning is not None:
            message[self.reasoning_member] = answer.reasoning
        choice = {
            "index": 0,
            "message": message,
            "logprobs": _logprobs(answer.deltas) if answer.logprobs else None,
            "finish_reason": answer.finish_reason,
        }
        return {
            "id": f"chatcmpl-{chat.request_id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.snapshot(chat.model),
            "choices": [choice],
            "usage": self.usage(answer, chat),
            **self.extras(answer, chat),
        }

    def _call(self, tool: ToolUse, index: int, chat: Chat) -> dict[str, Any]:
        return {
            "id": tool.id or f"call_{chat.request_id}_{index}",
            "type": "function",
            "function": {"name": tool.name, "arguments": tool.arguments},
        }

    def usage(self, answer: Answer, chat: Chat) -> dict[str, Any]:
        prompt, completion = answer.tokens(chat)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": answer.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": answer.reasoned,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def finish_message(self, message: dict[str, Any], answer: Answer) -> None:
        """Add what this vendor says about a message."""
        message["refusal"] = answer.refusal
        message["annotations"] = list(answer.annotations)

    def extras(self, answer: Answer, chat: Chat) -> dict[str, Any]:
        """Top-level fields of this vendor's answers."""
        return {"service_tier": "default", "system_fingerprint": "fp_simulated"}

    # -- streams --------------------------------------------------------------------------------

    def stream(self, answer: Answer, chat: Chat) -> Stream:
        chunk = self._chunker(chat)
        first: dict[str, Any] = {"role": "assistant", "content": None if answer.tools else ""}
        self.finish_delta(first, answer)
        content = [chunk({self.reasoning_member: p}) for p in words_of(answer.reasoning or "")]
        content += [
            chunk({"content": p}, logprobs=_logprobs((p,)) if answer.logprobs else None)
            for p in answer.deltas
        ]
        content += [chunk({"annotations": [cited]}) for cited in answer.annotations]
        if answer.refusal:
            content += [chunk({"refusal": piece}) for piece in words_of(answer.refusal)]
        for i, tool in enumerate(answer.tools):
            content += [chunk({"tool_calls": [d]}) for d in self.tool_deltas(tool, i, chat)]
        tail = [chunk({}, finish=answer.finish_reason, answer=answer)]
        if chat.include_usage:
            tail.append(chunk(None, answer=answer))
        head = (*self.preamble(chat), chunk(first, first=True))
        return Stream(head, tuple(content), tuple(tail), self.event("[DONE]"))

    def _chunker(self, chat: Chat) -> Any:
        common = {
            "id": f"chatcmpl-{chat.request_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self.snapshot(chat.model),
            **self.extras(Answer(), chat),
        }

        def chunk(
            delta: dict[str, Any] | None,
            *,
            finish: str | None = None,
            first: bool = False,
            answer: Answer | None = None,
            logprobs: Mapping[str, Any] | None = None,
        ) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
            value = common | {"choices": [] if delta is None else [self.choice(choice, answer)]}
            if chat.include_usage:
                value["usage"] = self.usage(answer, chat) if delta is None and answer else None
            value |= self.chunk_extras(chat, answer, first=first, last=finish is not None)
            return self.event(dump(value))

        return chunk

    def tool_deltas(self, tool: ToolUse, index: int, chat: Chat) -> list[dict[str, Any]]:
        """The name first, then the arguments in pieces."""
        call = self._call(tool, index, chat)
        call["function"] = {"name": tool.name, "arguments": ""}
        size = max(4, -(-len(tool.arguments) // 6))
        pieces = [tool.arguments[i : i + size] for i in range(0, len(tool.arguments), size)]
        return [
            {"index": index, **call},
            *({"index": index, "function": {"arguments": piece}} for piece in pieces),
        ]

    def finish_delta(self, delta: dict[str, Any], answer: Answer) -> None:
        """Add what this vendor says in the first delta."""
        delta["refusal"] = None

    def preamble(self, chat: Chat) -> tuple[bytes, ...]:
        """Events before the first chunk."""
        return ()

    def choice(self, choice: dict[str, Any], answer: Answer | None) -> dict[str, Any]:
        """A choice of a chunk, as this vendor decorates it."""
        return choice

    def chunk_extras(
        self, chat: Chat, answer: Answer | None, *, first: bool, last: bool
    ) -> dict[str, Any]:
        """Top-level fields of this vendor's chunks."""
        return {}

    # -- nothing, and errors --------------------------------------------------------------------

    def hollow(self, kind: Hollow, chat: Chat) -> tuple[dict[str, Any], Stream]:
        body = self.completion(Answer(text=""), chat)
        stream = self.stream(Answer(text=""), chat)
        if kind in ("no_choices", "null_choices"):
            body["choices"] = [] if kind == "no_choices" else None
            only = body | {"object": "chat.completion.chunk"}
            stream = Stream((self.event(dump(only)),), (), (), stream.end)
        elif kind == "null_content":
            body["choices"][0]["message"]["content"] = None
            chunk = self._chunker(chat)({"role": "assistant", "content": None}, first=True)
            stream = Stream((chunk,), (), stream.tail, stream.end)
        return body, stream

    def error(self, problem: Problem, chat: Chat) -> dict[str, Any]:
        kind, code, message = self.describe(problem, chat)
        return {
            "error": {
                "message": message,
                "type": kind,
                "param": problem.param,
                "code": code,
            }
        }

    def describe(self, problem: Problem, chat: Chat) -> tuple[str, str | None, str]:
        """Type, code and message of a problem in this vendor's words."""
        codes: dict[str, str | None] = {
            "method_not_supported": "method_not_supported",
            "no_key": None,
            "missing": "missing_required_parameter",
            "empty_array": "empty_array",
            "value": "invalid_value",
        }
        known = self.words.get(problem.reason) or self.words.get(str(problem.status))
        kind, code, message = known or (
            ("server_error" if problem.status >= 500 else "invalid_request_error"),  # noqa: PLR2004
            None,
            f"The request failed with status {problem.status}.",
        )
        if problem.reason in codes:
            code = codes[problem.reason]
        message = problem.message or message.replace("{model}", chat.model)
        return kind, code, message

    def event(self, data: str, *, error: bool = False) -> bytes:
        return f"data: {data}\n\n".encode()

    # -- the rest -------------------------------------------------------------------------------

    def headers(self, request_id: str) -> dict[str, str]:
        return {
            "openai-organization": "simulated",
            "openai-processing-ms": "12",
            "openai-version": "2020-10-01",
            "x-request-id": f"req_{request_id}",
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-limit-tokens": "4000000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-remaining-tokens": "3999000",
            "x-ratelimit-reset-requests": "12ms",
            "x-ratelimit-reset-tokens": "15ms",
        }

    def reset_headers(self, requests: float | None, tokens: float | None) -> dict[str, str]:
        found = {}
        for name, seconds in (("requests", requests), ("tokens", tokens)):
            if seconds is not None:
                found[f"x-ratelimit-remaining-{name}"] = "0"
                found[f"x-ratelimit-reset-{name}"] = _duration(seconds)
        return found

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return {
            "object": "list",
            "data": [
                {"id": n, "object": "model", "created": 1715367049, "owned_by": "system"}
                for n in names
            ],
        }

    def embeddings(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = request.body
        given = body["input"]
        # A flat list of integers is one text in tokens; everything else in a list is one text each.
        several = isinstance(given, list) and not isinstance(given[0], int)
        inputs = given if several else [given]
        vectors = [_vector(text, body.get("dimensions") or 1536) for text in inputs]
        pack = body.get("encoding_format") == "base64"
        tokens = sum(max(1, len(text) // 4) for text in inputs)
        return {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": i,
                    "embedding": base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode()
                    if pack
                    else v,
                }
                for i, v in enumerate(vectors)
            ],
            "model": self.model_of(request, body),
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }


def _logprobs(pieces: Sequence[str]) -> dict[str, Any]:
    tokens = [
        {"token": p, "logprob": -0.25, "bytes": list(p.encode()), "top_logprobs": []}
        for p in pieces
    ]
    return {"content": tokens, "refusal": None}


def _schema(wanted: Any) -> dict[str, Any] | None:
    """The schema of ``response_format``; JSON mode wants any object."""
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_object":
        return {"type": "object"}
    if kind != "json_schema" or not isinstance(wanted.get("json_schema"), dict):
        return None
    found = wanted["json_schema"].get("schema")
    return found if isinstance(found, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unanswered(ids: list[str], param: str) -> RefusedError:
    return RefusedError(
        400,
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        + ", ".join(ids),
        param=param,
    )


def _check_content(content: object, role: str, index: int) -> None:
    where = f"messages[{index}].content"
    if isinstance(content, str) or (content is None and role == "assistant"):
        return
    if not isinstance(content, list) or not content:
        raise RefusedError(
            400,
            f"Invalid value for 'content': expected a string, got {dump(content)}.",
            param=f"messages.[{index}].content",
        )
    for i, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in PARTS:
            raise RefusedError(
                400,
                f"Invalid value: '{kind}'. Supported values are: {', '.join(PARTS)}.",
                param=f"{where}[{i}].type",
                reason="value",
            )
        url = part.get("image_url") if kind == "image_url" else {"url": ""}
        if not (isinstance(url, dict) and isinstance(url.get("url"), str)):
            raise RefusedError(
                400,
                f"Invalid type for '{where}[{i}].image_url': expected an object with a url.",
                param=f"{where}[{i}].image_url",
                reason="value",
            )


def _duration(seconds: float) -> str:
    """As OpenAI and Groq write it: ``250ms``, ``1s``, ``7.66s``, ``6m0s``, ``1h0m0s``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.2f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _vector(text: object, size: int) -> list[float]:
    """A unit vector that depends on nothing but the text."""
    seed = hashlib.sha256(dump(text).encode("utf-8", "surrogatepass")).digest()
    source = random.Random(seed)  # noqa: S311 (not for secrets)
    values = [source.uniform(-1, 1) for _ in range(size)]
    norm = sum(v * v for v in values) ** 0.5
    return [round(v / norm, 8) for v in values]
