"""The smallest plausible value for a JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["example"]

FORMATS = {
    "date": "2024-01-15",
    "date-time": "2024-01-15T10:30:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
DEPTH = 12  # a schema may refer to itself


def example(schema: Mapping[str, Any], name: str = "value") -> Any:
    """A value that the schema accepts; the same one every time. Patterns are not honoured."""
    return _example(schema, name, schema, 0)


def _example(schema: Mapping[str, Any], name: str, root: Mapping[str, Any], depth: int) -> Any:
    if depth > DEPTH:
        return None
    given = [schema[key] for key in ("const", "default") if key in schema]
    given += [schema[key][0] for key in ("enum", "examples") if schema.get(key)]
    if given:
        return given[0]
    inner = _inner(schema, root)
    if inner is not None:
        return _example(inner, name, root, depth + 1)
    return _typed(schema, name, root, depth)


def _inner(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema that this one only points to, if it does."""
    if "$ref" in schema:
        found: Any = root
        for step in str(schema["$ref"]).removeprefix("#/").split("/"):
            found = found.get(step, {})
        return dict(found)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return dict(schema[key][0])
    merged: dict[str, Any] = {}
    for part in schema.get("allOf") or ():
        merged |= part
    return merged or None


def _typed(schema: Mapping[str, Any], name: str, root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        fields = schema.get("properties") or {}
        wanted = schema.get("required")
        return {
            field: _example(part, field, root, depth + 1)
            for field, part in fields.items()
            if wanted is None or field in wanted
        }
    if kind == "array":
        count = max(1, schema.get("minItems", 1))
        return [_example(schema.get("items") or {}, name, root, depth + 1)] * count
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        return min(low, schema["maximum"]) if "maximum" in schema else low
    if kind == "string":
        said = FORMATS.get(schema.get("format", ""), f"example {name}")
        said = said.ljust(schema.get("minLength", 0), "x")
        return said[: schema["maxLength"]] if "maxLength" in schema else said
    return True if kind == "boolean" else None
