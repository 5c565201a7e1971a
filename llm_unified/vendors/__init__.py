"""What each vendor's API is like: addresses, headers, the end of a stream, and what its models take.

One module per vendor holds the facts as rows; `adapt` changes a request by them. Facts about what a vendor *says* when it refuses are in `failures.vendors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from llm_unified.providers import Protocol, ProviderRow
from llm_unified.vendors.adapt import Adapted, Adapter
from llm_unified.vendors.anthropic import ANTHROPIC
from llm_unified.vendors.azure import AZURE
from llm_unified.vendors.base import Access, Vendor
from llm_unified.vendors.groq import GROQ
from llm_unified.vendors.local import LOCAL
from llm_unified.vendors.openai import OPENAI
from llm_unified.vendors.takes import CannotAdaptError, taken

__all__ = [
    "Access",
    "Adapted",
    "Adapter",
    "CannotAdaptError",
    "Vendor",
    "models_request",
    "taken",
    "vendor_of",
]

_VENDORS: Final[Mapping[Protocol, Vendor]] = MappingProxyType(
    {"openai": OPENAI, "azure": AZURE, "groq": GROQ, "anthropic": ANTHROPIC}
)


def vendor_of(row: ProviderRow) -> Vendor | None:
    """The vendor of a provider; ``None``: only LiteLLM speaks its protocol."""
    return LOCAL if row.name == "local" else _VENDORS.get(row.protocol)


def models_request(
    protocol: Protocol, params: Mapping[str, str]
) -> tuple[str, str, dict[str, str]]:
    """``(method, URL, headers)`` of the list of models: the request that proves a key for no token.

    ``params``: LiteLLM's parameters of a deployment (``api_base``, ``api_key``, ``api_version``). A protocol
    that only LiteLLM speaks is asked as OpenAI would be.
    """
    vendor = _VENDORS.get(protocol, OPENAI)
    access = Access.of(params)
    return "GET", vendor.models_url(access), vendor.headers(access)
