"""How events call those who are asked, and which of an upstream's own names may be told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from llm_unified.engine.catalog import Catalog
from llm_unified.pool.deployments import Deployment
from llm_unified.pool.upstream import Upstream, upstream_of
from llm_unified.wire.exchange import SecretHeaders

__all__ = ["Names"]

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9._:/@+-]{1,128}\Z", re.ASCII)
_MOST_KEPT: Final = 1000


class Names:
    """Of one configuration's deployments."""

    def __init__(self, deployments: Iterable[Deployment], catalog: Catalog) -> None:
        self._upstreams: dict[str, Upstream] = {}
        self._firsts: dict[str, Upstream] = {}
        self._secrets: dict[str, SecretHeaders] = {}
        self._fine: set[tuple[str, str]] = set()
        for deployment in deployments:
            params = catalog.params(deployment, deployment.model)
            upstream = upstream_of(deployment, params.get("api_base"))
            self._upstreams[deployment.id] = upstream
            self._firsts.setdefault(deployment.provider, upstream)
            self._secrets[deployment.id] = SecretHeaders({"key": str(params.get("api_key", ""))})

    def upstream(self, deployment: Deployment, model: str) -> Upstream:
        """Who is asked."""
        found = self._upstreams[deployment.id]
        return found if model == found.model else replace(found, model=model)

    def meant(self, provider: str, model: str | None) -> Upstream:
        """The first deployment of this provider, asked for ``model`` (``None``: its own)."""
        found = self._firsts[provider]
        return found if model in (None, found.model) else replace(found, model=model)

    def vetted(self, deployment: Deployment, text: str | None) -> str | None:
        """An upstream's own name or id; ``None`` where it is none, or could be an echo of the key."""
        if text is None or (deployment.id, text) in self._fine:
            return text
        if not _IDENTIFIER.match(text) or self._secrets[deployment.id].echoed_in(text):
            return None
        return text

    def vetted_model(self, deployment: Deployment, name: str | None) -> str | None:
        """The same for what comes again and again."""
        found = self.vetted(deployment, name)
        if found is not None and len(self._fine) < _MOST_KEPT:
            self._fine.add((deployment.id, found))
        return found
