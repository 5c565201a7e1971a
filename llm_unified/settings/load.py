"""The functions that read the settings; leftmost wins: arguments, environment, ``.env``, YAML, defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_unified.errors import ConfigurationError
from llm_unified.logs import log
from llm_unified.settings.assembly import ENV_FILE_NOT_READ, NOTHING, Assembly, assemble
from llm_unified.settings.kinds import unquoted
from llm_unified.settings.options import CONFIG_FILE, ENV_FILE
from llm_unified.settings.sources import Arguments, Environment, Source, read_env_file
from llm_unified.settings.values import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["inspect_settings", "load_settings"]


def load_settings(
    environ: Mapping[str, str] | None = None,
    config_file: str | Path | None = None,
    **overrides: Any,
) -> Settings:
    """Read the settings.

    ``environ`` defaults to ``os.environ``, ``config_file`` (YAML) to what ``LLM_CONFIG_FILE``
    names. ``overrides`` are called like the variables in lower case, without ``LLM_``:
    ``pool_size=2``, ``openai_api_key="…"``; ``providers={"openai": {"model": "…"}}`` does as well.

    Raises:
        ConfigurationError: with all problems at once.
    """
    result = inspect_settings(environ, config_file, **overrides)
    for level, event, fields in result.events:
        log(level, event, **fields)
    if result.problems:
        more = [str(row["remark"]) for _, event, row in result.events if event == ENV_FILE_NOT_READ]
        raise ConfigurationError([*result.problems, *more])
    return Settings(**result.values)


def inspect_settings(
    environ: Mapping[str, str] | None = None,
    config_file: str | Path | None = None,
    **overrides: Any,
) -> Assembly:
    """Read as :func:`load_settings` does, and return all that was found: problems and remarks, too."""
    environ = os.environ if environ is None else environ
    environment = Environment(environ)
    sources: list[Source] = [Arguments(overrides), environment]
    variables: dict[str, str | None] = dict(environ)
    in_env_file: dict[str, str] = {}
    if env_file := unquoted(environ.get(ENV_FILE, "")):
        content = read_env_file(env_file, environment.problems)
        sources.append(Environment(content, env_file))
        in_env_file = {name: env_file for name in content if name not in environ}
        variables = content | variables
    if path := unquoted(str(config_file or variables.get(CONFIG_FILE) or "")):
        from llm_unified.settings.yamlfile import YamlFile

        sources.append(YamlFile(path, variables, in_env_file))
    result = assemble(sources, variables)
    nothing = any(problem.startswith(NOTHING) for problem in result.problems)
    if nothing and not env_file and Path(".env").is_file():
        text = "The file .env in this folder is not read unless LLM_ENV_FILE=.env says so."
        result.remark("warning", ENV_FILE_NOT_READ, text)
    return result
