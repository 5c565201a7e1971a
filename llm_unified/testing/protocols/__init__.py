"""The four wire protocols, in the order of the default fallback chain."""

from __future__ import annotations

from llm_unified.testing.protocols.anthropic import AnthropicWire
from llm_unified.testing.protocols.azure import AzureWire
from llm_unified.testing.protocols.groq import GroqWire
from llm_unified.testing.protocols.openai import OpenAIWire

WIRES = {wire.provider: wire for wire in (OpenAIWire, AzureWire, GroqWire, AnthropicWire)}

__all__ = ["WIRES", "AnthropicWire", "AzureWire", "GroqWire", "OpenAIWire"]
