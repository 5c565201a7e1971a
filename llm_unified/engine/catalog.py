"""What a configuration's model list says of each deployment, looked up once: parameters, plans, prices."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from llm_unified.engine.prices import PriceList
from llm_unified.engine.translate import Plan
from llm_unified.pool.deployments import Deployment
from llm_unified.response import Usage
from llm_unified.settings import Settings
from llm_unified.vendors import vendor_of

__all__ = ["Catalog"]


class Catalog:
    """Of one configuration."""

    def __init__(self, model_list: Sequence[Mapping[str, Any]]) -> None:
        self._entries = {entry["model_info"]["id"]: entry for entry in model_list}
        self._plans: dict[tuple[str, str], Plan | None] = {}
        self._prices: dict[tuple[str, str], PriceList] = {}

    def identity(self, deployment: Deployment, settings: Settings) -> str:
        """What it connects to, and as whom; a digest, since the key is part of it."""
        params = self.params(deployment, deployment.model)
        parts = [deployment.id, str(settings.connect_timeout)]
        parts += [
            str(params.get(n)) for n in ("api_base", "api_key", "api_version", "organization")
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def plan(self, deployment: Deployment, model: str) -> Plan | None:
        """How it is asked for this model; ``None``: only LiteLLM knows this vendor."""
        key = (deployment.id, model)
        if key not in self._plans:
            self._plans[key] = self._new_plan(deployment, model)
        return self._plans[key]

    def _new_plan(self, deployment: Deployment, model: str) -> Plan | None:
        vendor = vendor_of(deployment.row)
        if vendor is None:
            return None
        base = self.base_model(deployment) if model == deployment.model else None
        return Plan(vendor, self.params(deployment, model), base)

    def base_model(self, deployment: Deployment) -> str | None:
        """The model behind an Azure deployment of another name, where that is known."""
        base: str | None = self._entries[deployment.id]["model_info"].get("base_model")
        return base

    def params(self, deployment: Deployment, model: str) -> dict[str, Any]:
        """LiteLLM's parameters. The key is in clear in them."""
        params: dict[str, Any] = self._entries[deployment.id]["litellm_params"]
        if model == deployment.model:
            return params
        return {**params, "model": deployment.row.litellm_model(model)}

    def price(self, deployment: Deployment, model: str, usage: Usage | None) -> float | None:
        """US dollars of these tokens; ``None`` when nobody knows the price."""
        if usage is None:
            return None
        if deployment.priced:
            return deployment.cost(usage)
        return self._price_list(deployment, model).cost(usage)

    def _price_list(self, deployment: Deployment, model: str) -> PriceList:
        key = (deployment.id, model)
        found = self._prices.get(key)
        if found is None:
            base = self.base_model(deployment)
            name = (base if model == deployment.model else None) or deployment.row.litellm_model(
                model
            )
            found = self._prices[key] = PriceList.of(name, name.partition("/")[0])
        return found

    def reasons(self, deployment: Deployment, model: str) -> bool:
        """Whether LiteLLM's price list says that it reasons, and it does so unasked.

        Anthropic's models think only where ``thinking`` asks for it (Anthropic API reference, "Extended
        thinking").
        """
        return (
            deployment.row.protocol != "anthropic" and self._price_list(deployment, model).reasons
        )
