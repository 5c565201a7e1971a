"""What callers give → what the Router is told: ``response_format``, and our own tool calls coming back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llm_unified.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["adapt", "response_parser"]

_JSON_INSTRUCTION = "Answer with one JSON object and nothing else: no prose, no code fence."


def adapt(provider: str, protocol: str, params: dict[str, Any]) -> None:
    """Mend, in place, what would go wrong for this provider.

    Anthropic has no JSON mode, and LiteLLM drops the wish in silence: it is asked for in words. For Groq
    with ``response_format`` LiteLLM sends no stream, so ``stream_options`` would be refused. The embedded
    model needs a nudge to make a tool call that is required. ``raw_response["tool_calls"]`` may be sent back
    as they are: the two fields that are our own are left out, since OpenAI and Groq may refuse them.
    """
    for message in params["messages"]:
        for call in message.get("tool_calls") or ():
            if isinstance(call, dict) and "function" in call:
                call.pop("name", None)
                call.pop("arguments", None)
    wanted = params.get("response_format")
    if protocol == "anthropic" and isinstance(wanted, dict) and wanted.get("type") == "json_object":
        del params["response_format"]
        params["messages"].append({"role": "user", "content": _JSON_INSTRUCTION})
    elif protocol == "groq" and wanted is not None:
        params.pop("stream_options", None)
    elif provider == "local" and params.get("tools"):
        from llm_unified.local import extra_body

        more = extra_body(params.get("tool_choice"))
        if more:
            params["extra_body"] = more | (params.get("extra_body") or {})


def response_parser(given: Any) -> tuple[Any, Callable[[str], Any] | None]:
    """``(response_format for the Router, parser of the content)``.

    A pydantic model gives instances of it; a JSON schema or ``{"type": "json_object"}`` gives plain data
    (validated by the provider only; here it must be JSON, and an object where the schema says so).

    Raises:
        BadRequestError: it is none of these.
    """
    validate = getattr(given, "model_validate_json", None)
    if isinstance(given, type) and validate is not None:
        return given, validate
    if isinstance(given, dict):
        kind = given.get("type")
        if kind == "text":
            return given, None
        if kind in ("json_schema", "json_object") and (
            kind == "json_object" or "json_schema" in given
        ):
            return given, _json_object
        if kind == "object" or "properties" in given or "$ref" in given:  # a bare JSON schema
            name = str(given.get("title") or "answer").replace(" ", "_")
            wrapped = {"type": "json_schema", "json_schema": {"name": name, "schema": given}}
            return wrapped, _json_object
    raise BadRequestError(
        "response_format must be a pydantic model class, a JSON schema, or OpenAI's "
        '{"type": "json_object"} / {"type": "json_schema", "json_schema": {…}}'
    )


def _json_object(text: str) -> Any:
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].removeprefix("json")
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the caller looks for ValueError
    return data
