"""UnifiedLLMClient: from llm_unified. Written by `llm-unified vendor`; changes are lost."""

from llm_unified.client import UnifiedLLMClient

__all__ = ["UnifiedLLMClient"]
