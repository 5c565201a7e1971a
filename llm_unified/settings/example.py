"""``config/.env.example``: ``python -m llm_unified.settings.example`` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from llm_unified.providers import PROVIDERS
from llm_unified.settings.options import (
    CONFIG_FILE,
    ENV_FILE,
    FALLBACK_KINDS,
    OPTIONS,
    PROVIDER_OPTIONS,
    VARIABLES,
)

__all__ = ["render"]

_HEAD: Final = """\
# Every variable that llm_unified reads, with its default. Copy it, remove the '#' of what you need, and
# name the copy in LLM_ENV_FILE (the variable itself must be in the real environment), or export the
# lines. The real environment is stronger than this file. Times are seconds; 500ms and 2m do as well.
"""
_SECTIONS: Final = {
    "primary_provider": "Who is asked",
    "pool_size": "Connections",
    "timeout": "Time",
    "failure_threshold": "Cooldown",
}
"""The headings, by the option that follows."""
_HELP: Final = {
    **{option.name: option.help for option in PROVIDER_OPTIONS},
    "api_keys": "Several, separated by commas; a provider's deployments cycle over them",
    "api_key_file": "A mounted secret, one key per line",
}


def render() -> str:
    """Return the text of the file."""
    return _HEAD + "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from ("", _heading("One provider is enough"))
    last = next(iter(PROVIDERS))
    for variable, loc in VARIABLES.items():
        if len(loc) == 1:
            continue
        _, name, setting = loc
        if name != last:
            yield ""
        last, row = name, PROVIDERS[name]
        defaults = {
            "enabled": True,
            "model": row.default_model,
            "base_url": row.default_base_url,
            "api_version": row.default_api_version,
        }
        yield _line(variable, defaults.get(setting), _HELP.get(setting, ""))
    for option in OPTIONS:
        if option.name in _SECTIONS:
            yield from ("", _heading(_SECTIONS[option.name]))
        text = option.help
        if option.kind == "failures":
            text += f": {', '.join(option.choices)}"
        elif option.high:
            text += f", {option.low:g} to {option.high:g} {option.unit}".rstrip()
        yield _line(option.variable, option.default, text)
    yield from ("", _heading("Files"))
    yield _line(CONFIG_FILE, None, "YAML, see llm.yaml")
    yield _line(ENV_FILE, None, "A file like this one")


def _heading(text: str) -> str:
    return f"# --- {text} ".ljust(100, "-")


def _line(variable: str, default: Any, text: str) -> str:
    value = "all" if default == FALLBACK_KINDS else default
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, float):
        value = f"{value:g}"
    line = f"#{variable}={'' if value is None else value}"
    return f"{line:36}  # {text}" if text else line


if __name__ == "__main__":
    sys.stdout.write(render())
