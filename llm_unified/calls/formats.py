"""``response_format``: what callers give → what a vendor is sent, and the parser of what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from llm_unified.errors import BadRequestError

__all__ = ["response_parser"]


def response_parser(given: Any) -> tuple[Any, Callable[[str], Any] | None]:
    """``(response_format for the vendor, parser of the content)``.

    A pydantic model gives instances of it; a JSON schema or ``{"type": "json_object"}`` gives plain data
    (validated by the provider only; here it must be JSON, and an object where the schema says so).

    Raises:
        BadRequestError: it is none of these.
    """
    validate = getattr(given, "model_validate_json", None)
    if isinstance(given, type) and validate is not None:
        return given, lambda text: validate(unfenced(text))
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


def unfenced(text: str) -> str:
    """JSON without the code fence that some models put around it."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].removeprefix("json").strip()
    return text


def _json_object(text: str) -> Any:
    data = json.loads(unfenced(text))
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the caller looks for ValueError
    return data
