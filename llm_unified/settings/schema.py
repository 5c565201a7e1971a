"""The JSON schema of the YAML file, for editors: ``python -m llm_unified.settings.schema`` prints it."""

from __future__ import annotations

import json
import sys
from typing import Any

from llm_unified.providers import PROVIDERS
from llm_unified.settings.yamlfile import DEPLOYMENT_KEYS, KEY_REFERENCES, PROVIDER_KEYS
from llm_unified.settings.options import FALLBACK_KINDS, OPTIONS, PROVIDER_OPTIONS, Option

__all__ = ["json_schema", "render"]

_REFERENCE = {"type": "string", "pattern": "^os\\.environ/[A-Z_][A-Z0-9_]*$"}
_NAME = {"type": "string", "pattern": "^[A-Z_][A-Z0-9_]*$"}
_DURATION = {"type": "string", "pattern": "^[0-9.]+ *(ms|s|sec|seconds?|m|min|minutes?|h)?$"}
_SPELLINGS = {"endpoint": "base_url", "deployment": "model"}


def json_schema() -> dict[str, Any]:
    """Return the schema, made from the same tables as the reader."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llm_unified configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **{option.name: _option(option) for option in OPTIONS},
            "providers": {
                "type": "object",
                "description": "Who can be asked. A name of your own needs a model with LiteLLM's "
                "prefix.",
                "properties": {name: {"$ref": "#/$defs/provider"} for name in PROVIDERS},
                "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"},
                "additionalProperties": {"$ref": "#/$defs/provider"},
            },
        },
        "$defs": {
            "provider": _block(PROVIDER_KEYS, "One provider"),
            "deployment": _block(
                DEPLOYMENT_KEYS, "One place to ask; what it leaves out is the provider's"
            ),
        },
    }


def render() -> str:
    """Return the schema as the text of ``config/llm.schema.json``."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _block(names: tuple[str, ...], description: str) -> dict[str, Any]:
    options = {option.name: option for option in PROVIDER_OPTIONS}
    properties: dict[str, Any] = {}
    for name in names:
        if name == "deployments":
            properties[name] = {
                "type": "array",
                "minItems": 1,
                "description": "Several regions, keys or models, asked in turn",
                "items": {"$ref": "#/$defs/deployment"},
            }
        elif name in KEY_REFERENCES:
            properties[name] = {**_key(name), "description": KEY_REFERENCES[name]}
        else:
            properties[name] = _option(options[_SPELLINGS.get(name, name)])
    return {
        "type": ["object", "null"],
        "description": description,
        "additionalProperties": False,
        "properties": properties,
    }


def _key(name: str) -> dict[str, Any]:
    match name:
        case "api_key_file":
            return {"type": "string"}
        case "api_key":
            return _REFERENCE
        case "api_keys":
            return {"type": "array", "items": _REFERENCE}
        case _:
            return {"anyOf": [_NAME, {"type": "array", "items": _NAME}]}


def _option(option: Option) -> dict[str, Any]:
    unit = f" ({option.unit})" if option.unit else ""
    row: dict[str, Any] = {"description": option.help + unit}
    match option.kind:
        case "boolean":
            row["type"] = "boolean"
        case "count":
            row |= {"type": "integer", "minimum": option.low, "maximum": option.high}
        case "cost":
            row |= {"type": "number", "minimum": option.low, "maximum": option.high}
        case "seconds":
            number = {"type": "number", "minimum": option.low, "maximum": option.high}
            row["anyOf"] = [number, _DURATION]
        case "choice":
            row["enum"] = list(option.choices)
        case "providers":
            row["anyOf"] = [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]
        case "failures":
            kinds = {"type": "string", "enum": list(option.choices)}
            row["anyOf"] = [{"type": "array", "minItems": 1, "items": kinds}, {"const": "all"}]
        case _:
            row["type"] = "string"
    if option.default is not None:
        row["default"] = "all" if option.default == FALLBACK_KINDS else option.default
    return row


if __name__ == "__main__":
    sys.stdout.write(render())
