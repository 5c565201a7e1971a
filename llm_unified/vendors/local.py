"""The embedded model: OpenAI's protocol, and a nudge that it needs to make a required tool call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llm_unified.vendors.openai import OPENAI
from llm_unified.vendors.takes import row

__all__ = ["LOCAL"]


def _nudge(params: dict[str, Any]) -> None:
    if params.get("tools"):
        from llm_unified.local import extra_body

        more = extra_body(params.get("tool_choice"))
        if more:
            params["extra_body"] = more | (params.get("extra_body") or {})


LOCAL = replace(
    OPENAI,
    rows=(row("a model of text, on llama.cpp's server", parts=frozenset({"text"}), efforts=()),),
    nudge=_nudge,
)
