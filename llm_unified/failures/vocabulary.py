"""What may be printed of an upstream's error: closed lists, since an upstream may echo a key anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from llm_unified.failures.vendors import FACTS

__all__ = ["PRINTABLE", "printable_param"]

_PUBLISHED: Final = """
    invalid_request_error server_error api_error internal_server_error service_unavailable_error
    timeout_error conflict_error not_found_error tokens requests insufficient_permissions
    request_forbidden forbidden conflict server_is_overloaded slow_down unknown_url
    method_not_supported missing_required_parameter unsupported_parameter unsupported_value
    unknown_parameter invalid_value invalid_type empty_array array_above_max_length
    string_above_max_length integer_above_max_value integer_below_min_value
    decimal_above_max_value decimal_below_min_value invalid_function_parameters invalid_image
    BadRequest BadRequestError Unauthorized PermissionDenied NotFound Timeout TooManyRequests
    InternalServerError ServiceUnavailable UNAVAILABLE INTERNAL DEADLINE_EXCEEDED
    """
"""Codes and types that vendors publish and that no row of the vendor facts needs."""

PRINTABLE: Final[Mapping[str, str]] = {
    word.lower(): word
    for word in (*_PUBLISHED.split(), *(code for fact in FACTS for code in fact.codes))
}
"""Codes and types in the vendors' spelling, by their lower case."""

_ROOTS: Final = """audio dimensions encoding_format frequency_penalty function_call functions input
    instructions logit_bias logprobs max_completion_tokens max_tokens messages metadata modalities
    model n parallel_tool_calls prediction presence_penalty prompt reasoning_effort response_format
    seed service_tier stop stop_sequences store stream stream_options system temperature thinking
    tool_choice tools top_k top_logprobs top_p user verbosity web_search_options"""
_BRANCHES: Final = """arguments content description effort function id image_url json_schema name
    parameters role schema strict text tool_call_id tool_calls type url"""
_ROOT: Final = re.compile(rf"(?:{'|'.join(_ROOTS.split())})(?![a-z0-9_-])")
_PARAM: Final = re.compile(
    rf"{_ROOT.pattern}"
    rf"(?:\[[0-9]{{1,3}}\]|\.[0-9]{{1,3}}|\.(?:{'|'.join(_BRANCHES.split())})(?![a-z0-9_-])){{0,8}}\Z"
)


def printable_param(param: str) -> str:
    """Return the request parameter that ``param`` names, its root alone if the rest is not ours."""
    found = _PARAM.match(param) or _ROOT.match(param)
    return found[0] if found else ""
