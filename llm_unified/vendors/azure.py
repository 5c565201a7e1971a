"""Azure OpenAI: OpenAI's bodies at an address that names the deployment and the API version.

Source: "Azure OpenAI in Azure AI Foundry Models REST API reference". What a model takes goes by the
configured ``base_model``, else by the deployment's name, which may say nothing.
"""

from __future__ import annotations

from urllib.parse import quote

from llm_unified.vendors.base import Access, Vendor
from llm_unified.vendors.openai import BLIND, FAMILIES, PROTOCOL
from llm_unified.vendors.takes import row

__all__ = ["AZURE"]


def _url(access: Access, model: str, operation: str) -> str:
    version = quote(access.api_version, safe="")
    deployment = quote(model, safe="")
    return f"{access.base}/openai/deployments/{deployment}/{operation}?api-version={version}"


AZURE = Vendor(
    protocol="azure",
    litellm_name="azure",
    chat_url=lambda access, model: _url(access, model, "chat/completions"),
    models_url=lambda access: (
        f"{access.base}/openai/models?api-version={quote(access.api_version, safe='')}"
    ),
    headers=lambda access: {"api-key": access.key},
    rows=(row("Azure OpenAI: REST API reference", **PROTOCOL), *FAMILIES, BLIND),
    embeddings_url=lambda access, model: _url(access, model, "embeddings"),
)
