"""ConnectionWarmer, get_llm_warmer: from llm_unified. Written by `llm-unified vendor`; changes are lost."""

from llm_unified.warmer import ConnectionWarmer, get_llm_warmer

__all__ = ["ConnectionWarmer", "get_llm_warmer"]
