"""The four wire protocols, in the order of the default fallback chain."""

from __future__ import annotations

from llm_unified.testing.protocols.anthropic import AnthropicWire
from llm_unified.testing.protocols.openai import AzureWire, GroqWire, OpenAIWire

WIRES = {wire.provider: wire for wire in (OpenAIWire, AzureWire, GroqWire, AnthropicWire)}

__all__ = ["WIRES", "AnthropicWire", "AzureWire", "GroqWire", "OpenAIWire"]
