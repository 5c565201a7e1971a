"""The old import paths, and the three tiny modules that keep them working.

The name ``services`` belongs to the application, so this package never installs it: ``llm-unified
vendor services/llm`` writes these files into the application's own tree. They hold an import and an
``__all__``; no warning, because a drop-in is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["LEGACY_MODULES", "LegacyModule", "render_shims"]


@dataclass(frozen=True, slots=True)
class LegacyModule:
    """One module of the old application, and where its names live now."""

    name: str
    """Without its package: ``"unified_llm_client"``."""
    home: str
    """The module that has them now."""
    names: tuple[str, ...]

    @property
    def file_name(self) -> str:
        return f"{self.name}.py"


LEGACY_MODULES: Final = (
    LegacyModule("unified_llm_client", "llm_unified.client", ("UnifiedLLMClient",)),
    LegacyModule(
        "unified_llm_service", "llm_unified.service", ("UnifiedLLMService", "get_llm_service")
    ),
    LegacyModule("connection_warmer", "llm_unified.warmer", ("ConnectionWarmer", "get_llm_warmer")),
)
"""Old module → new home. The only place that knows."""


def render_shims() -> dict[str, str]:
    """Return file name → source, for every module of the table."""
    return {module.file_name: _render(module) for module in LEGACY_MODULES}


def _render(module: LegacyModule) -> str:
    names = ", ".join(module.names)
    quoted = ", ".join(f'"{name}"' for name in module.names)
    return (
        f'"""{names}: from llm_unified. Written by `llm-unified vendor`; changes are lost."""\n'
        "\n"
        f"from {module.home} import {names}\n"
        "\n"
        f"__all__ = [{quoted}]\n"
    )
