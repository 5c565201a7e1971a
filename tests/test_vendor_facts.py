"""Every vendor fact, by a body as its vendor writes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_unified.failures.classify import Facts, classify
from llm_unified.failures.envelope import VendorError, of_event, read_error
from llm_unified.failures.facts import EVERY_VENDOR
from llm_unified.failures.vendors import FACTS
from llm_unified.response import FailureKind as K

Body = dict[str, Any] | list[Any]


def oai(message: str, kind: str | None = "invalid_request_error", code: str | None = None, param: str | None = None, **more: Any) -> Body:  # fmt: skip
    """As OpenAI and Groq, and Azure's models, write it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code, **more}}


def az(code: str, message: str, **more: Any) -> Body:
    """As the gateway in front of Azure's models writes it."""
    return {"error": {"code": code, "message": message, **more}}


def ant(message: str, kind: str = "invalid_request_error", **more: Any) -> Body:
    return {
        "type": "error",
        "error": {"type": kind, "message": message, **more},
        "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy",
    }


TPM = "Request too large for model `x` in organization `o` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Requested 14368, please reduce your message size and try again."
FAILED = "Please adjust your prompt. See 'failed_generation' for more details."
FILTER = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry."
INNER = {
    "code": "ResponsibleAIPolicyViolation",
    "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
}
FLAGGED = "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a different prompt."
TOO_LONG = (
    "Expected a string with maximum length 1048576, but got a string with length 1744259 instead."
)

CASES: list[tuple[str, int, Body, K]] = [
    # -- Groq
    ("groq", 413, oai(TPM, "tokens", "rate_limit_exceeded"), K.RATE_LIMIT),
    ("groq", 413, oai("Request Entity Too Large", code="request_too_large"), K.CONTEXT_LENGTH),
    ("groq", 429, oai("Rate limit reached for model `x` on tokens per day (TPD)", "tokens", "rate_limit_exceeded"), K.RATE_LIMIT),
    ("groq", 498, oai("Flex tier capacity exceeded", code="capacity_exceeded"), K.RATE_LIMIT),
    ("groq", 498, {}, K.RATE_LIMIT),
    ("groq", 424, oai("Failed dependency"), K.SERVER),
    ("groq", 499, oai("Request cancelled"), K.SERVER),
    ("groq", 400, oai("Failed to call a function. " + FAILED, code="tool_use_failed", failed_generation="<function=x"), K.INVALID_RESPONSE),
    ("groq", 400, oai("Failed to generate JSON. " + FAILED, code="json_validate_failed", failed_generation="{"), K.INVALID_RESPONSE),
    ("groq", 400, oai("Parsing failed. The model generated output that could not be parsed. " + FAILED, code="output_parse_failed"), K.INVALID_RESPONSE),
    ("groq", 400, oai("The model `x` has been decommissioned and is no longer supported.", code="model_decommissioned"), K.NOT_FOUND),
    ("groq", 404, oai("The model `x` does not exist or you do not have access to it.", code="model_not_found"), K.NOT_FOUND),
    ("groq", 400, oai("The model `x` is not active.", code="model_not_active"), K.NOT_FOUND),
    ("groq", 400, oai("The model `x` requires terms acceptance. Please have the org admin accept the terms.", code="model_terms_required"), K.NOT_FOUND),
    ("groq", 400, oai("The model `distil-whisper-large-v3-en` does not support chat completions"), K.NOT_FOUND),
    ("groq", 403, oai("The model `x` is blocked at the organization level.", "permissions_error", "model_permission_blocked_org"), K.NOT_FOUND),
    ("groq", 403, oai("The model `x` is blocked at the project level.", "permissions_error", "model_permission_blocked_project"), K.NOT_FOUND),
    ("groq", 400, oai("Organization has been restricted. Please reach out to support if you believe this was in error.", code="organization_restricted"), K.AUTH),
    ("groq", 400, oai("API access is blocked: the spend limit is reached.", code="blocked_api_access"), K.QUOTA),
    ("groq", 400, oai("Please reduce the length of the messages or completion.", code="context_length_exceeded", param="messages"), K.CONTEXT_LENGTH),
    ("groq", 401, oai("Invalid API Key", code="invalid_api_key"), K.AUTH),
    ("groq", 400, oai("'messages.0' : for 'role:system' the following must be satisfied"), K.BAD_REQUEST),
    ("groq", 503, oai("x is currently over capacity.", "internal_server_error"), K.SERVER),
    # -- Anthropic
    ("anthropic", 400, ant("Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."), K.QUOTA),
    ("anthropic", 400, ant("You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."), K.QUOTA),
    ("anthropic", 400, ant("You have reached your specified workspace API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."), K.QUOTA),
    ("anthropic", 429, ant("You have reached your monthly spend limit.", "rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}), K.QUOTA),
    ("anthropic", 402, ant("There's an issue with your billing.", "billing_error"), K.QUOTA),
    ("anthropic", 400, ant("This organization has been disabled."), K.AUTH),
    ("anthropic", 400, ant("This credential is only authorized for use with Claude Code and cannot be used for other API requests."), K.AUTH),
    ("anthropic", 401, ant("invalid x-api-key", "authentication_error"), K.AUTH),
    ("anthropic", 403, ant("Your API key does not have permission to use the specified resource.", "permission_error"), K.AUTH),
    ("anthropic", 404, ant("model: claude-2", "not_found_error"), K.NOT_FOUND),
    ("anthropic", 400, ant("model: String should have at least 1 character"), K.NOT_FOUND),
    ("anthropic", 400, ant("input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or `max_tokens` and try again"), K.CONTEXT_LENGTH),
    ("anthropic", 400, ant("prompt is too long: 250000 tokens > 200000 maximum"), K.CONTEXT_LENGTH),
    ("anthropic", 400, ant("The long context beta is not yet available for this subscription."), K.CONTEXT_LENGTH),
    ("anthropic", 413, ant("Request exceeds the maximum size", "request_too_large"), K.CONTEXT_LENGTH),
    ("anthropic", 400, ant("Output blocked by content filtering policy", details=None), K.CONTENT_POLICY),
    ("anthropic", 409, ant("The resource was modified concurrently.", "conflict_error"), K.SERVER),
    ("anthropic", 429, ant("This request would exceed your account's rate limit. Please try again later.", "rate_limit_error"), K.RATE_LIMIT),
    ("anthropic", 500, ant("Internal server error", "api_error"), K.SERVER),
    ("anthropic", 504, ant("The request timed out while processing.", "timeout_error"), K.SERVER),
    ("anthropic", 529, ant("Overloaded", "overloaded_error"), K.RATE_LIMIT),
    ("anthropic", 400, ant("messages.1.content.0.tool_use_id: Field required"), K.BAD_REQUEST),
    ("anthropic", 400, ant("temperature: range: 0..1"), K.BAD_REQUEST),
    # -- OpenAI
    ("openai", 429, oai("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota", "insufficient_quota"), K.QUOTA),
    ("openai", 429, oai("Your organization has no prepaid credits remaining.", "insufficient_quota", "credit_balance_exhausted"), K.QUOTA),
    ("openai", 429, oai("The spend limit is reached.", "insufficient_quota", "organization_spend_limit_exceeded"), K.QUOTA),
    ("openai", 429, oai("The spend limit is reached.", None, "project_spend_limit_exceeded"), K.QUOTA),
    ("openai", 429, oai("Your account is not active, please check your billing details on our website.", "billing_not_active", "billing_not_active"), K.QUOTA),
    ("openai", 400, oai("Billing hard limit has been reached", "billing_limit_user_error", "billing_hard_limit_reached"), K.QUOTA),
    ("openai", 429, oai("Your team 6f82 has either used all available credits or reached its monthly spending limit.", None), K.QUOTA),
    ("openai", 429, oai("Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 36278. The input or output tokens must be reduced in order to run successfully.", "tokens", "rate_limit_exceeded"), K.RATE_LIMIT),
    ("openai", 429, oai("Rate limit reached. Please reduce the length of the messages.", "tokens", "rate_limit_exceeded"), K.RATE_LIMIT),
    ("openai", 429, oai("Slow down", "rate_limit_error", "slow_down"), K.RATE_LIMIT),
    ("openai", 503, oai("Slow down", "service_unavailable_error", "slow_down"), K.SERVER),
    ("openai", 503, oai("The engine is currently overloaded, please try again later", "service_unavailable_error", "server_is_overloaded"), K.SERVER),
    ("openai", 401, oai("Incorrect API key provided: sk-x.", code="invalid_api_key"), K.AUTH),
    ("openai", 400, oai("Incorrect API key provided: sk***YA.", None), K.AUTH),
    ("openai", 401, oai("The OpenAI account associated with this API key has been deactivated.", code="account_deactivated"), K.AUTH),
    ("openai", 429, oai("Your access was terminated due to violation of our policies, please check your email for more information.", "access_terminated"), K.AUTH),
    ("openai", 400, oai("You must be a member of an organization to use the API.", code="no_organization"), K.AUTH),
    ("openai", 403, oai("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"), K.AUTH),
    ("openai", 400, oai("The requested model 'x' does not exist.", code="model_not_found"), K.NOT_FOUND),
    ("openai", 403, oai("Project `proj_x` does not have access to model `gpt-4o`", code="model_not_found"), K.NOT_FOUND),
    ("openai", 404, oai("The model `x` does not exist or you do not have access to it.", code="model_not_found"), K.NOT_FOUND),
    ("openai", 400, oai("invalid model ID"), K.NOT_FOUND),
    ("openai", 400, oai("The model `gpt-4-32k` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations"), K.NOT_FOUND),
    ("openai", 400, oai("This model is only supported in v1/responses and not in v1/chat/completions.", param="model"), K.NOT_FOUND),
    ("openai", 400, oai("Your organization must be verified to stream this model. Please go to: https://platform.openai.com/settings/organization/general", param="stream", code="unsupported_value"), K.NOT_FOUND),
    ("openai", 400, oai("The data residency does not match.", None, "data_residency_mismatch"), K.NOT_FOUND),
    ("openai", 404, az("unknown_model", "Unknown model: /Phi-3.5-MoE-instruct", details="Unknown model: /Phi-3.5-MoE-instruct"), K.NOT_FOUND),
    ("openai", 400, oai("This model's maximum context length is 128000 tokens. However, you requested 131134 tokens (122942 in the messages, 8192 in the completion).", code="context_length_exceeded", param="messages"), K.CONTEXT_LENGTH),
    ("openai", 400, {"object": "error", "message": "This model's maximum context length is 8192 tokens.", "type": "BadRequestError", "code": 400}, K.CONTEXT_LENGTH),
    ("openai", 400, {"error": {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error", "n_ctx": 4096}}, K.CONTEXT_LENGTH),
    ("openai", 400, oai(f"Invalid 'messages[17].content': string too long. {TOO_LONG}", param="messages[17].content", code="string_above_max_length"), K.CONTEXT_LENGTH),
    ("openai", 400, oai(f"Invalid 'input[0].content': string too long. {TOO_LONG}"), K.CONTEXT_LENGTH),
    ("openai", 400, oai("Invalid 'messages': array too long.", param="messages", code="array_above_max_length"), K.CONTEXT_LENGTH),
    ("openai", 400, oai("Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with length 90 instead.", param="user", code="string_above_max_length"), K.BAD_REQUEST),
    ("openai", 400, oai("Invalid 'messages[10].tool_calls[0].id': string too long.", param="messages[10].tool_calls[0].id", code="string_above_max_length"), K.BAD_REQUEST),
    ("openai", 400, oai("Invalid 'tools': array too long.", param="tools", code="array_above_max_length"), K.BAD_REQUEST),
    ("openai", 400, oai(FLAGGED, code="invalid_prompt"), K.CONTENT_POLICY),
    ("openai", 400, oai("Refused.", None, "bio_policy"), K.CONTENT_POLICY),
    ("openai", 400, oai("Your request was rejected as a result of our safety system.", code="content_policy_violation"), K.CONTENT_POLICY),
    ("openai", 400, oai("Your request was rejected as a result of our safety system."), K.CONTENT_POLICY),
    ("openai", 500, oai("The model produced invalid content. Consider modifying your prompt if you are seeing this error persistently.", "model_error"), K.INVALID_RESPONSE),
    ("openai", 500, oai("The server had an error while processing your request. Sorry about that!", "server_error"), K.SERVER),
    ("openai", 400, oai("Unsupported value: 'temperature' does not support 0.2 with this model.", param="temperature", code="unsupported_value"), K.BAD_REQUEST),
    # -- Azure OpenAI
    ("azure", 404, az("DeploymentNotFound", "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."), K.NOT_FOUND),
    ("azure", 404, az("404", "Resource not found"), K.NOT_FOUND),
    ("azure", 400, az("OperationNotSupported", "The chatCompletion operation does not work with the specified model, gpt-35-turbo."), K.NOT_FOUND),
    ("azure", 400, az("BadRequest", "API version not supported"), K.NOT_FOUND),
    ("azure", 400, oai(FILTER, None, "content_filter", "prompt", status=400, innererror=INNER), K.CONTENT_POLICY),
    ("azure", 400, oai("Filtered.", None, None, innererror=INNER), K.CONTENT_POLICY),
    ("azure", 400, az("BadRequest", FILTER), K.CONTENT_POLICY),
    ("azure", 400, az("invalid_prompt", FLAGGED), K.CONTENT_POLICY),
    ("azure", 499, az("499", "closed"), K.SERVER),
    ("azure", 408, az("Timeout", "The operation was timeout."), K.TIMEOUT),
    ("azure", 429, az("NoCapacity", "The system is currently experiencing high demand and cannot process your request."), K.RATE_LIMIT),
    ("azure", 429, az("429", "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-05-01-preview have exceeded call rate limit of your current OpenAI S0 pricing tier."), K.RATE_LIMIT),
    ("azure", 429, {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 30 seconds."}, K.RATE_LIMIT),
    ("azure", 403, {"statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 01:23:45."}, K.QUOTA),
    ("azure", 403, az("QuotaExceeded", "Quota exceeded."), K.QUOTA),
    ("azure", 429, az("insufficient_quota", "You exceeded your current quota."), K.QUOTA),
    ("azure", 401, az("401", "Access denied due to invalid subscription key or wrong API endpoint."), K.AUTH),
    ("azure", 401, az("PermissionDenied", "The principal lacks the required data action."), K.AUTH),
    ("azure", 403, az("403", "Access denied due to Virtual Network/Firewall rules."), K.AUTH),
    ("azure", 403, az("403", "Public access is disabled. Please configure private endpoint."), K.AUTH),
    ("azure", 500, az("InternalServerError", "The server had an error."), K.SERVER),
    # -- gateways and compatible servers
    ("openai", 400, oai("Budget has been exceeded! Current cost: 11, Max budget: 10", "budget_exceeded", "400"), K.QUOTA),
    ("openai", 400, oai("Authentication Error, token not found", "token_not_found_in_db", "400"), K.AUTH),
    ("openai", 403, oai("key not allowed to access model", "key_model_access_denied", "403", "model"), K.NOT_FOUND),
    ("other", 429, [{"error": {"code": 429, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED"}}], K.RATE_LIMIT),
    ("other", 400, [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}], K.AUTH),
    ("other", 400, [{"error": {"code": 400, "message": "No number of tokens", "status": "INVALID_ARGUMENT"}}], K.BAD_REQUEST),
]  # fmt: skip
EVENTS: list[tuple[str, Body, K]] = [
    ("anthropic", ant("Overloaded", "overloaded_error"), K.RATE_LIMIT),
    ("anthropic", ant("Internal server error", "api_error"), K.SERVER),
    ("anthropic", ant("Output blocked by content filtering policy"), K.CONTENT_POLICY),
    ("anthropic", ant("Your credit balance is too low to access the Anthropic API."), K.QUOTA),
    ("anthropic", ant("messages: at least one message is required"), K.BAD_REQUEST),
    ("openai", oai("Slow down", None, "slow_down"), K.RATE_LIMIT),
    ("openai", oai("The server had an error", "server_error"), K.SERVER),
    ("openai", oai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), K.QUOTA),
    ("groq", oai("Failed to call a function. " + FAILED, code="tool_use_failed"), K.INVALID_RESPONSE),
    ("azure", az("content_filter", FILTER), K.CONTENT_POLICY),
    ("azure", az("429", "exceeded call rate limit"), K.RATE_LIMIT),
    ("other", [{"error": {"code": 400, "message": "x", "status": "INVALID_ARGUMENT"}}], K.BAD_REQUEST),
]  # fmt: skip


def error_of(body: Body) -> VendorError | None:
    return read_error(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("vendor", "status", "body", "kind"),
    CASES,
    ids=[f"{n}-{v}-{s}-{k}" for n, (v, s, _, k) in enumerate(CASES)],
)
def test_a_refusal_is_what_its_vendor_means(vendor: str, status: int, body: Body, kind: K) -> None:
    """As an error answer."""
    failure = classify(Facts(vendor, status, error=error_of(body)))
    assert (failure.kind, failure.status) == (kind, status)


@pytest.mark.parametrize(
    ("vendor", "event", "kind"),
    EVENTS,
    ids=[f"{n}-{v}-{k}" for n, (v, _, k) in enumerate(EVENTS)],
)
def test_a_refusal_inside_a_success_is_what_its_vendor_means(
    vendor: str, event: Body, kind: K
) -> None:
    """As an event of a stream."""
    assert classify(Facts(vendor, 200, error=of_event(event))).kind is kind


def first_row(vendor: str, status: int, error: VendorError | None) -> int | None:
    error = error or VendorError()
    for number, fact in enumerate(FACTS):
        if fact.matches(vendor, status, error.codes, error.message, error.param):
            return number
    return None


def test_every_row_decides_something() -> None:
    """No row is dead: each is the first that matches some published body."""
    seen = {first_row(vendor, status, error_of(body)) for vendor, status, body, _ in CASES}
    seen |= {first_row(vendor, 200, of_event(event)) for vendor, event, _ in EVENTS}
    assert [FACTS[n].source for n in range(len(FACTS)) if n not in seen] == []


def test_every_row_has_its_source_and_asks_for_something() -> None:
    """Published under a title, or reported under a number; never a row that matches everything."""
    for fact in FACTS:
        assert "reported: " not in fact.source or "#" in fact.source
        assert len(fact.source) > 5
        assert fact.codes or fact.text or fact.param or fact.status
        assert fact.vendors <= EVERY_VENDOR
        if fact.text is not None:
            assert fact.says, "no code says what it is, so we do"
            assert fact.status is not None
            if fact.kind in (K.QUOTA, K.AUTH, K.NOT_FOUND):
                assert fact.text.pattern.startswith(r"\A"), "a message may quote the prompt"


@pytest.mark.parametrize("vendor", sorted(EVERY_VENDOR))
def test_a_quoted_prompt_closes_no_key(vendor: str) -> None:
    """A caller who writes a vendor's sentence into the prompt does not shut the provider."""
    for sentence in (
        "Your credit balance is too low to access the Anthropic API.",
        "This organization has been disabled.",
        "You have reached your specified API usage limits.",
        "Incorrect API key provided",
        "API version not supported",
    ):
        body = oai(
            f"Invalid value: 'x {sentence}'. Supported values are: 'a'.", code="invalid_value"
        )
        assert classify(Facts(vendor, 400, error=error_of(body))).kind is K.BAD_REQUEST


@pytest.mark.parametrize(
    ("vendor", "status", "body", "reason"),
    [
        ("anthropic", 400, ant("Your credit balance is too low to access it"), "the credit balance is too low, invalid_request_error"),
        ("azure", 404, az("DeploymentNotFound", "sk-secret"), "DeploymentNotFound"),
        ("azure", 429, az("429", "x"), ""),
        ("openai", 429, oai("x", "tokens", "rate_limit_exceeded"), "rate_limit_exceeded, tokens"),
        ("openai", 400, oai("x", param="temperature", code="unsupported_value"), "invalid_request_error, unsupported_value, param=temperature"),
        ("openai", 401, oai("x", "sk_live_key", "abcdef0123456789abcdef0123456789", "sk-key"), ""),
        ("openai", 451, {}, "not available for legal reasons"),
    ],
)  # fmt: skip
def test_a_reason_says_what_to_look_at(vendor: str, status: int, body: Body, reason: str) -> None:
    """Our words where the vendor gives no code, its own where they are on our list, nothing else."""
    assert classify(Facts(vendor, status, error=error_of(body))).reason == reason
