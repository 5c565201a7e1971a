"""The JSON schema of the YAML file, for editors: ``python -m llm_unified.settings.schema`` prints it."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from llm_unified.providers import PROVIDERS
from llm_unified.settings.model import (
    DEPLOYMENT_KEYS,
    KEY_REFERENCES,
    PROVIDER_KEYS,
    SPELLINGS,
    Written,
    WrittenProvider,
)
from llm_unified.settings.options import FALLBACK_KINDS, OPTIONS, PROVIDER_OPTIONS, Option

__all__ = ["json_schema", "render"]

_TEXT: Final = {"type": "string"}
_NAME: Final = {"type": "string", "pattern": "^[A-Z_][A-Z0-9_]*$"}
_REFERENCE: Final = {"type": "string", "pattern": "^os\\.environ/[A-Z_][A-Z0-9_]*$"}
_DURATION: Final = {
    "type": "string",
    "pattern": "^[0-9.]+ *(ms|s|sec|seconds?|m|min|minutes?|h)?$",
}
_NAMES: Final = {"anyOf": [_NAME, {"type": "array", "items": _NAME}]}
_KEYS: Final[dict[str, Any]] = {
    "api_key": _REFERENCE,
    "api_keys": {"type": "array", "items": _REFERENCE},
    "api_key_env": _NAMES,
    "api_keys_env": _NAMES,
    "api_key_file": _TEXT,
}


def json_schema() -> dict[str, Any]:
    """Return the schema, read off the model."""
    providers = {name: {"$ref": "#/$defs/provider"} for name in PROVIDERS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llm_unified configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **{option.name: _option(option) for option in OPTIONS},
            "providers": {
                "type": "object",
                "description": Written.model_fields["providers"].description,
                "properties": providers,
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
    options = {option.name: _option(option) for option in PROVIDER_OPTIONS}
    known: dict[str, Any] = {
        **options,
        **{name: options[meant] for name, meant in SPELLINGS.items()},
        **{name: {**_KEYS[name], "description": text} for name, text in KEY_REFERENCES.items()},
        "deployments": {
            "type": "array",
            "minItems": 1,
            "description": WrittenProvider.model_fields["deployments"].description,
            "items": {"$ref": "#/$defs/deployment"},
        },
    }
    return {
        "type": ["object", "null"],
        "description": description,
        "additionalProperties": False,
        "properties": {name: known[name] for name in names},
    }


def _option(option: Option) -> dict[str, Any]:
    bounds = {"minimum": option.low, "maximum": option.high}
    choices = {"enum": list(option.choices)}
    by_kind: dict[str, dict[str, Any]] = {
        "boolean": {"type": "boolean"},
        "count": {"type": "integer", **bounds},
        "price": {"type": "number", **bounds},
        "seconds": {"anyOf": [{"type": "number", **bounds}, _DURATION]},
        "choice": choices,
        "providers": {"anyOf": [{"type": "array", "items": _TEXT}, _TEXT]},
        "failures": {
            "anyOf": [{"type": "array", "minItems": 1, "items": choices}, {"const": "all"}]
        },
    }
    unit = f" ({option.unit})" if option.unit else ""
    row = {"description": option.help + unit, **by_kind.get(option.kind, _TEXT)}
    if option.default is not None:
        row["default"] = "all" if option.default == FALLBACK_KINDS else option.default
    return row


if __name__ == "__main__":
    sys.stdout.write(render())
