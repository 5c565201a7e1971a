"""Groq.

Source: Groq API reference, "Create chat completion". It has no embeddings.
"""

from __future__ import annotations

from llm_unified.vendors.base import Vendor, bearer

__all__ = ["GROQ"]

GROQ = Vendor(
    protocol="groq",
    litellm_name="groq",
    chat_url=lambda access, _: f"{access.base}/chat/completions",
    models_url=lambda access: f"{access.base}/models",
    headers=bearer,
)
