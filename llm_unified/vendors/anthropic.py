"""Anthropic.

Source: Anthropic API reference, "Messages", "Streaming messages", "Models". It has no embeddings.
"""

from __future__ import annotations

from typing import Any

from llm_unified.vendors.base import Vendor, ask_in_words

__all__ = ["ANTHROPIC"]


def _adapt(params: dict[str, Any]) -> None:
    """It has no JSON mode, and LiteLLM drops the wish in silence."""
    wanted = params.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        ask_in_words(params)


ANTHROPIC = Vendor(
    protocol="anthropic",
    litellm_name="anthropic",
    chat_url=lambda access, _: f"{access.base}/v1/messages",
    models_url=lambda access: f"{access.base}/v1/models",
    headers=lambda access: {"x-api-key": access.key, "anthropic-version": "2023-06-01"},
    end_marker="message_stop",
    adapt=_adapt,
)
