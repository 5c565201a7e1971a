"""The settings, as a command reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from llm_unified.cli.output import WrongInputError
from llm_unified.settings import inspect_settings, load_settings
from llm_unified.settings.options import did_you_mean

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from llm_unified.cli.output import Output
    from llm_unified.settings import Settings
    from llm_unified.settings.assembly import Assembly

__all__ = ["chosen", "config_path", "inspected", "loaded", "variables"]


def loaded(options: argparse.Namespace, out: Output) -> Settings:
    """Return the settings; from here on no secret of theirs passes ``out``."""
    settings = load_settings(config_file=config_path(options))
    out.keep_secret(settings.secrets())
    return settings


def inspected(options: argparse.Namespace) -> Assembly:
    """Return all that can be said about the settings, be they good or bad."""
    return inspect_settings(config_file=config_path(options))


def chosen(settings: Settings, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the providers that ``-p`` named, or the chain."""
    known = [provider.name for provider in settings.providers]
    for name in names or ():
        if name not in known:
            raise WrongInputError(
                f"-p {name}: no such provider{did_you_mean(name, known) or '.'} "
                f"Configured are {', '.join(known)}."
            )
    return tuple(dict.fromkeys(names)) if names else settings.chain


def variables() -> dict[str, str]:
    """Return the environment, over the ``.env`` file that ``LLM_ENV_FILE`` names."""
    found: dict[str, str] = {}
    if path := os.environ.get("LLM_ENV_FILE", "").strip():
        from llm_unified.settings.sources import read_env_file

        found = {name: value for name, value in read_env_file(path, []).items() if value}
    return found | dict(os.environ)


def config_path(options: argparse.Namespace) -> str | None:
    """Return what ``--config`` names, and see that it exists."""
    path: str | None = options.config
    if path is not None and Path(path).expanduser().is_dir():
        raise WrongInputError(f"--config {path}: this is a folder. Name the YAML file in it.")
    if path is not None and not Path(path).expanduser().exists():
        raise WrongInputError(f"--config {path}: there is no such file.")
    return path
