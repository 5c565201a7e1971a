"""``response_format`` where a model has no such mode, or only a weaker one: asked for in words."""

from __future__ import annotations

import json
from typing import Any, Final

from llm_unified.vendors.takes import Takes

__all__ = ["adapt_format"]

_JSON: Final = "Answer with one JSON object and nothing else: no prose, no code fence."


def adapt_format(takes: Takes, params: dict[str, Any], notes: list[str]) -> None:
    """Change ``response_format`` in place."""
    kind, schema = _wanted(params["response_format"])
    if kind is None:
        return
    has = takes.json if takes.json_with_tools or not params.get("tools") else "words"
    if has == "words" or (has == "schema" and kind == "json_object"):
        del params["response_format"]
        _ask(params["messages"], schema)
        notes.append("response_format asked for in words")
    elif has == "object" and kind == "json_schema":
        params["response_format"] = {"type": "json_object"}
        _ask(params["messages"], schema)
        notes.append("json_schema → json_object, and in words")
    elif takes.json_word and kind == "json_object" and not _says_json(params["messages"]):
        _ask(params["messages"], None)
        notes.append("JSON asked for in words, too")


def _wanted(given: Any) -> tuple[str | None, Any]:
    """``(kind, schema)``; ``None``: text."""
    if isinstance(given, type):  # a pydantic model
        return "json_schema", given.model_json_schema()  # type: ignore[attr-defined]
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "json_schema":
        return kind, (given.get("json_schema") or {}).get("schema")
    return (kind if kind == "json_object" else None), None


def _ask(messages: list[Any], schema: Any) -> None:
    """As the user, behind everything but a beginning of the answer."""
    text = _JSON
    if schema is not None:
        text += f" It must match this JSON schema: {json.dumps(schema, ensure_ascii=False)}"
    last = len(messages)
    if messages[-1].get("role") == "assistant" and last > 1:
        last -= 1
    messages.insert(last, {"role": "user", "content": text})


def _says_json(messages: list[Any]) -> bool:
    for message in messages:
        content = message.get("content")
        texts = [content] if isinstance(content, str) else content or ()
        for part in texts:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str) and "json" in text.lower():
                return True
    return False
