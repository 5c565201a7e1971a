"""``response_format``: what callers give → what a vendor is sent, and the parser of what comes back."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from llm_unified.errors import BadRequestError

__all__ = ["Parser", "after_prefill", "legal_name", "response_parser"]

Parser = Callable[[str], Any]
"""Makes ``response.parsed`` of a content; raises ValueError where it is not what was asked for."""

_ILLEGAL: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_MAX_NAME_CHARS: Final = 64
_FENCE: Final = "```"


def response_parser(given: Any) -> tuple[Any, Parser | None]:
    """``(response_format for the vendor, parser of the content)``.

    A pydantic model gives instances of it; a JSON schema gives plain data that is valid by it, and
    ``{"type": "json_object"}`` any object.

    Raises:
        BadRequestError: it is none of these, or the schema is none.
    """
    validate = getattr(given, "model_validate_json", None)
    if isinstance(given, type) and validate is not None:
        return _legally_named(given), lambda text: validate(unfenced(text))
    if isinstance(given, Mapping):
        kind, inner = given.get("type"), given.get("json_schema")
        if kind == "text":
            return given, None
        if kind == "json_object":
            return given, _json_object
        if kind == "json_schema" and isinstance(inner, Mapping):
            named = {**inner, "name": legal_name(str(inner.get("name") or ""))}
            return {**given, "json_schema": named}, _valid_by(inner.get("schema"))
        bare = kind == "object" or "properties" in given or "$ref" in given
        if bare and kind != "json_schema":
            name = legal_name(str(given.get("title") or ""))
            wrapped = {"type": "json_schema", "json_schema": {"name": name, "schema": given}}
            return wrapped, _valid_by(given)
    raise BadRequestError(
        "response_format must be a pydantic model class, a JSON schema, or OpenAI's "
        '{"type": "json_object"} / {"type": "json_schema", "json_schema": {…}}'
    )


def legal_name(name: str) -> str:
    """The name of a schema as every vendor takes it: ``^[a-zA-Z0-9_-]{1,64}$``.

    Source: OpenAI API reference, "Create chat completion": ``response_format.json_schema.name``.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return _ILLEGAL.sub("_", plain).strip("_")[:_MAX_NAME_CHARS] or "answer"


@lru_cache(maxsize=64)
def _legally_named(model: type) -> type:
    """LiteLLM takes the schema's name from the class: ``Page[int]`` is none that vendors take."""
    name = legal_name(model.__name__)
    if name == model.__name__:
        return model
    return type(model)(name, (model,), {"__module__": model.__module__, "__doc__": model.__doc__})


def after_prefill(parser: Parser, prefill: str) -> Parser:
    """Some models go on where the conversation's last turn, their own, ends; others begin anew."""

    def parse(text: str) -> Any:
        try:
            return parser(text)
        except (ValueError, RecursionError):
            return parser(prefill + text)

    return parse


def unfenced(text: str) -> str:
    """JSON without the code fence, and the words around it, that some models add."""
    text = text.strip()
    begin, end = text.find(_FENCE), text.rfind(_FENCE)
    if text.startswith(("{", "[", '"')) or not 0 <= begin < end:
        return text
    inside = text[begin + len(_FENCE) : end]
    language, line_end, body = inside.partition("\n")
    if line_end and not language.strip().startswith(("{", "[", '"')):
        return body.strip()
    return inside.strip().removeprefix("json").strip()


def _json_object(text: str) -> Any:
    data = json.loads(unfenced(text))
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the caller looks for ValueError
    return data


def _valid_by(schema: Any) -> Parser:
    if not isinstance(schema, Mapping):
        return _json_object
    try:
        is_valid = _validator(json.dumps(schema, sort_keys=True))
    except (TypeError, ValueError, RecursionError):
        raise BadRequestError("response_format is no JSON schema") from None

    def parse(text: str) -> Any:
        data = json.loads(unfenced(text))
        if not is_valid(data):
            raise ValueError("not valid by its schema")
        return data

    return parse


@lru_cache(maxsize=64)
def _validator(schema: str) -> Callable[[Any], bool]:
    """Whether data is valid by this schema. Nothing is fetched for a ``$ref``; what cannot be checked is valid.

    Raises:
        ValueError: it is no schema.
    """
    from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]
    from jsonschema.validators import (  # type: ignore[import-untyped]
        Draft202012Validator,
        validator_for,
    )
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    data = json.loads(schema)
    kind = validator_for(data, default=Draft202012Validator)
    try:
        kind.check_schema(data, format_checker=None)  # patterns are not Python's, see below
    except SchemaError:
        raise ValueError("no JSON schema") from None
    validator = kind(data, registry=Registry())

    def is_valid(value: Any) -> bool:
        try:
            return bool(validator.is_valid(value))
        except (Unresolvable, re.error):  # e.g. ``\\p{L}``: JSON Schema's patterns are ECMAScript's
            return True

    return is_valid
