"""Who a request goes to, as metrics, spans and logs name it: plain data, made once per deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from llm_unified.pool.deployments import Deployment

__all__ = ["Upstream", "upstream_of"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """One deployment and the model that it is asked for. No secret is in it."""

    provider: str
    """As configured, e.g. ``"azure_eu"``."""
    vendor: str
    """By protocol: ``"openai"``, ``"azure"``, ``"groq"``, ``"anthropic"``, or LiteLLM's name of any other."""
    deployment: str
    """The pool member, e.g. ``"openai#1"``."""
    model: str
    """The model (Azure: deployment name) that is asked for."""
    server_address: str | None = None
    """Host name or address; ``None`` where only LiteLLM knows it."""
    server_port: int | None = None


def upstream_of(deployment: Deployment, api_base: str | None) -> Upstream:
    """``api_base``: its URL, as LiteLLM gets it."""
    protocol = deployment.row.protocol
    vendor = deployment.litellm_model.partition("/")[0] if protocol == "other" else protocol
    address, port = _address(api_base or "")
    return Upstream(deployment.provider, vendor, deployment.id, deployment.model, address, port)


def _address(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)  # the settings have checked it
    return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
