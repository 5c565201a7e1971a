"""UnifiedLLMService, get_llm_service: from llm_unified. Written by `llm-unified vendor`; changes are lost."""

from llm_unified.service import UnifiedLLMService, get_llm_service

__all__ = ["UnifiedLLMService", "get_llm_service"]
