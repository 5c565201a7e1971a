"""What Groq does differently from OpenAI."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_unified.testing.protocols.openai import WORDS, OpenAIWire, Route, pair
from llm_unified.testing.wire import Answer, Chat, Endpoint, Problem, RefusedError, Stream, ToolUse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_unified.testing.journal import Request

__all__ = ["GroqWire"]


class GroqWire(OpenAIWire):
    """Under ``/openai/v1``, with ``x_groq``, ``service_tier`` and usage in seconds."""

    provider = "groq"
    model = "openai/gpt-oss-20b"
    key_prefix = "gsk_simulated"
    words = WORDS | {
        "401": ("invalid_request_error", "invalid_api_key", "Invalid API Key"),
        "413": ("tokens", "rate_limit_exceeded", "Request too large for model `{model}` in organization `simulated` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Requested 200000, please reduce your message size and try again."),
        "429": ("tokens", "rate_limit_exceeded", "Rate limit reached for model `{model}` in organization `simulated` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Used 6000, Requested 100."),
        "500": ("internal_server_error", None, "Internal Server Error"),
        "503": ("internal_server_error", None, "Service Unavailable"),
        "overloaded": ("internal_server_error", None, "{model} is currently over capacity. Please try again and back off exponentially."),
        "unknown_url": ("invalid_request_error", "unknown_url", "Unknown request URL. Please check the URL for typos, or see the docs at https://console.groq.com/docs/"),
        "context_length": ("invalid_request_error", "context_length_exceeded", "Please reduce the length of the messages or completion."),
        "content_policy": ("invalid_request_error", "content_policy_violation", "The request was blocked by the content policy."),
        "quota": ("invalid_request_error", "blocked_api_access", "API access is blocked because the spend limit of the organization is reached."),
        "credit": ("invalid_request_error", "blocked_api_access", "API access is blocked because the spend limit of the organization is reached."),
        "organization": ("invalid_request_error", "organization_restricted", "Organization has been restricted. Please reach out to support if you believe this was in error."),
        "region": ("invalid_request_error", None, "Access denied. Please check your network settings."),
        "model_unknown": ("invalid_request_error", "model_not_found", "The model `{model}` does not exist or you do not have access to it."),
        "model_retired": ("invalid_request_error", "model_decommissioned", "The model `{model}` has been decommissioned and is no longer supported. Please refer to https://console.groq.com/docs/deprecations for a recommendation on which model to use instead."),
        "operation": ("invalid_request_error", None, "The model `{model}` does not support chat completions"),
        "capacity": ("invalid_request_error", "capacity_exceeded", "Flex tier capacity exceeded"),
        "tokens": ("tokens", "rate_limit_exceeded", "Request too large for model `{model}` in organization `simulated` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Requested 14368, please reduce your message size and try again."),
        "tool_generation": ("invalid_request_error", "tool_use_failed", "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details."),
        "json_generation": ("invalid_request_error", "json_validate_failed", "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details."),
        "input_and_output": ("invalid_request_error", "context_length_exceeded", "Please reduce the length of the messages or completion."),
        "flagged": ("invalid_request_error", "content_policy_violation", "The request was blocked by the content policy."),
    }  # fmt: skip
    statuses = {  # noqa: RUF012 - a ClassVar by its base
        "quota": 400,
        "organization": 400,
        "model_unknown": 404,
        "model_retired": 400,
        "operation": 400,
        "tokens": 413,
        "capacity": 498,
        "tool_generation": 400,
        "json_generation": 400,
    }

    reasoning_member = "reasoning"

    def base_path(self) -> str:
        return ""

    def route(self, request: Request) -> Route | None:
        found: dict[str, Endpoint] = {
            "/openai/v1/chat/completions": "chat",
            "/openai/v1/models": "models",
        }
        return pair(found.get(request.path), None)

    def check_key(self, request: Request, keys: Sequence[str]) -> None:
        if "authorization" not in request.headers or request.api_key not in keys:
            raise RefusedError(401)

    def error(self, problem: Problem, chat: Chat) -> dict[str, Any]:
        error = super().error(problem, chat)["error"]
        return {"error": {k: v for k, v in error.items() if v is not None}}

    def event(self, data: str, *, error: bool = False) -> bytes:
        return f"event: error\ndata: {data}\n\n".encode() if error else super().event(data)

    def usage(self, answer: Answer, chat: Chat) -> dict[str, Any]:
        prompt, completion = answer.tokens(chat)
        return {
            "queue_time": 0.018,
            "prompt_tokens": prompt,
            "prompt_time": 0.002,
            "completion_tokens": completion,
            "completion_time": 0.01,
            "total_tokens": prompt + completion,
            "total_time": 0.012,
            **(
                {"prompt_tokens_details": {"cached_tokens": answer.cached}} if answer.cached else {}
            ),
            **(
                {"completion_tokens_details": {"reasoning_tokens": answer.reasoned}}
                if answer.reasoned
                else {}
            ),
        }

    def finish_message(self, message: dict[str, Any], answer: Answer) -> None:
        if answer.refusal:  # Groq has no field for it: the model just says so
            message["content"] = answer.refusal
        elif answer.tools and answer.text is None:
            del message["content"]

    def completion(self, answer: Answer, chat: Chat) -> dict[str, Any]:
        if answer.finish == "content_filter":  # no such reason outside of Groq's streams
            answer = replace(answer, text=answer.text or "", finish="stop")
        return super().completion(answer, chat)

    def finish_delta(self, delta: dict[str, Any], answer: Answer) -> None:
        return None

    def stream(self, answer: Answer, chat: Chat) -> Stream:
        if answer.refusal:
            answer = replace(answer, text=answer.refusal, refusal=None)
        return super().stream(answer, chat)

    def tool_deltas(self, tool: ToolUse, index: int, chat: Chat) -> list[dict[str, Any]]:
        return [{"index": index, **self._call(tool, index, chat)}]  # Groq sends a call whole

    def extras(self, answer: Answer, chat: Chat) -> dict[str, Any]:
        found: dict[str, Any] = {"system_fingerprint": "fp_simulated"}
        if answer != Answer():
            found |= {"x_groq": {"id": f"req_{chat.request_id}"}, "service_tier": "on_demand"}
        return found

    def chunk_extras(
        self, chat: Chat, answer: Answer | None, *, first: bool, last: bool
    ) -> dict[str, Any]:
        if not first and not last:
            return {}
        x_groq: dict[str, Any] = {"id": f"req_{chat.request_id}"}
        if last and answer is not None:
            x_groq["usage"] = self.usage(answer, chat)
        return {"x_groq": x_groq}

    def headers(self, request_id: str) -> dict[str, str]:
        return {
            "x-request-id": f"req_{request_id}",
            "x-groq-region": "simulated",
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-limit-tokens": "18000",
            "x-ratelimit-remaining-requests": "14399",
            "x-ratelimit-remaining-tokens": "17900",
            "x-ratelimit-reset-requests": "6s",
            "x-ratelimit-reset-tokens": "330ms",
        }
