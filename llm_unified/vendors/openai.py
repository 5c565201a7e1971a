"""OpenAI, and servers that speak its protocol (the embedded model among them).

Source: OpenAI API reference, "Chat completions", "Embeddings", "Models".
"""

from __future__ import annotations

from llm_unified.vendors.base import Vendor, bearer

__all__ = ["OPENAI"]

OPENAI = Vendor(
    protocol="openai",
    litellm_name="openai",
    chat_url=lambda access, _: f"{access.base}/chat/completions",
    models_url=lambda access: f"{access.base}/models",
    headers=bearer,
    embeddings_url=lambda access, _: f"{access.base}/embeddings",
)
