"""The settings, as a command reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from llm_unified.cli.output import WrongInputError
from llm_unified.settings import load_settings
from llm_unified.settings.options import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_unified.cli.output import Output
    from llm_unified.settings import Settings

__all__ = ["chosen", "existing", "loaded", "variables"]


def loaded(out: Output, config: str | None) -> Settings:
    """Return the settings; from here on no secret of theirs passes ``out``."""
    settings = load_settings(config_file=existing(config))
    out.keep_secret(settings.secrets())
    return settings


def existing(config: str | None) -> str | None:
    """Return what ``--config`` names, and see that it is a file."""
    if config is not None and Path(config).expanduser().is_dir():
        raise WrongInputError(f"--config {config}: this is a folder. Name the YAML file in it.")
    if config is not None and not Path(config).expanduser().exists():
        raise WrongInputError(f"--config {config}: there is no such file.")
    return config


def chosen(settings: Settings, names: Sequence[str]) -> tuple[str, ...]:
    """Return the providers that ``-p`` named, or the chain."""
    known = [provider.name for provider in settings.providers]
    for name in names:
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
