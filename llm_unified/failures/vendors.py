"""What vendors are known to say, as rows with sources. The first row that matches wins.

Read by :func:`llm_unified.failures.classify.classify` before the rule by status. A new oddity is a new
row here and a body in ``tests/test_vendor_facts.py``. Most rows go by code and hold for every vendor,
because gateways and compatible servers pass the codes of others on; rows that go by text name the
vendor that writes it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from llm_unified.failures.facts import EVERY_VENDOR, SUCCESS, VendorFact
from llm_unified.response import FailureKind as K

__all__ = ["FACTS"]

_OPENAI_ERRORS: Final = "OpenAI: Error codes"
_OPENAI_SPEND: Final = "OpenAI: Spend limits"
_OPENAI_SDK: Final = "OpenAI SDK: openai.types.responses.ResponseError"
_AZURE_ERRORS: Final = "Azure OpenAI: Troubleshoot errors"
_AZURE_FILTER: Final = "Azure OpenAI: Content filtering"
_GROQ_ERRORS: Final = "Groq: API Error Codes and Responses"
_ANTHROPIC_ERRORS: Final = "Anthropic: Errors"
_APIM: Final = "Azure API Management: quota and quota-by-key policies"
_LITELLM: Final = "LiteLLM Proxy: litellm.proxy._types.ProxyErrorTypes"
_GOOGLE: Final = "Google: google.rpc.Code; Gemini API: Troubleshooting guide"

_ANTHROPIC: Final = frozenset({"anthropic", "other"})
_AZURE: Final = frozenset({"azure", "other"})
_OPENAI: Final = EVERY_VENDOR - {"anthropic"}
_REFUSED: Final = frozenset({400, 401, 403, 404, 422, 429, *SUCCESS})
"""Where a vendor's sentence is believed; a 5xx is a 5xx, whatever its page says."""
_ABOUT_CONTENT: Final = frozenset({400, 403, 413, 422, *SUCCESS})
"""Where a sentence about the content is believed; a 429 is about the rate, whatever it advises."""


def _row(
    kind: K,
    source: str,
    codes: str = "",
    *,
    text: str = "",
    param: str = "",
    vendors: frozenset[str] = EVERY_VENDOR,
    status: Collection[int] | None = None,
    says: str = "",
) -> VendorFact:
    return VendorFact(
        kind=kind,
        source=source,
        vendors=vendors,
        status=_REFUSED if text and status is None else status,
        codes=frozenset(codes.split()),
        text=re.compile(text, re.IGNORECASE) if text else None,
        param=re.compile(param) if param else None,
        says=says,
    )


_MONEY: Final = (  # before the rate limits, whose status and type they often wear
    _row(K.QUOTA, _OPENAI_ERRORS, "insufficient_quota credit_balance_exhausted billing_not_active"),
    _row(K.QUOTA, _OPENAI_SPEND, "organization_spend_limit_exceeded project_spend_limit_exceeded"),
    _row(
        K.QUOTA,
        "reported: bajrangCoder/acode-plugin-chatgpt#19",
        "billing_hard_limit_reached billing_limit_user_error",
    ),
    _row(K.QUOTA, "Groq: Spend Limits", "blocked_api_access"),
    _row(K.QUOTA, _ANTHROPIC_ERRORS, "billing_error enforced_spend_limit_reached"),
    _row(
        K.QUOTA,
        f"{_ANTHROPIC_ERRORS}; reported: anthropics/claude-code#38035",
        text=r"\AYou have reached your specified (?:workspace )?API usage limits",
        vendors=_ANTHROPIC,
        says="the usage limit is reached",
    ),
    _row(
        K.QUOTA,
        "reported: Wei-Shaw/sub2api#1586",
        text=r"\AYour credit balance is too low",
        vendors=_ANTHROPIC,
        says="the credit balance is too low",
    ),
    _row(K.QUOTA, _APIM, "QuotaExceeded", status=(403, 429)),
    _row(
        K.QUOTA,
        _APIM,
        text=r"\A(?:Out of call volume quota|Quota exceeded)",
        status=(403, 429),
        says="the call volume quota is spent",
    ),
    _row(
        K.QUOTA,
        "reported: continuedev/continue#10740",
        text=r"\AYour team \S{1,64} has (?:either )?used all available credits",
        vendors=_OPENAI,
        says="the credits are spent",
    ),
    _row(K.QUOTA, _LITELLM, "budget_exceeded"),
)

_KEYS: Final = (
    _row(
        K.AUTH,
        f"{_OPENAI_ERRORS}; reported: nat/openplayground#143",
        "invalid_api_key account_deactivated unsupported_country_region_territory",
    ),
    _row(
        K.AUTH,
        "reported: continuedev/continue#11413",
        text=r"\AIncorrect API key provided",
        vendors=_OPENAI,
        says="the key is refused",
    ),
    _row(K.AUTH, "reported: ayaka14732/ChatGPTAPIFree#42", "access_terminated"),
    _row(K.AUTH, "reported: acheong08/ChatGPT#1094", "no_organization"),
    _row(K.AUTH, "reported: songquanpeng/one-api#1764", "organization_restricted"),
    _row(K.AUTH, _ANTHROPIC_ERRORS, "authentication_error permission_error"),
    _row(
        K.AUTH,
        "reported: anthropics/claude-code#54311",
        text=r"\AThis organization has been disabled",
        vendors=_ANTHROPIC,
        says="the organization is disabled",
    ),
    _row(
        K.AUTH,
        "reported: anymorph-ai/Claudable#45",
        text=r"\AThis credential is only authorized for use with",
        vendors=_ANTHROPIC,
        says="the key is not for this use",
    ),
    _row(K.AUTH, _LITELLM, "auth_error expired_key token_not_found_in_db"),
    _row(K.AUTH, _GOOGLE, "UNAUTHENTICATED PERMISSION_DENIED API_KEY_INVALID FAILED_PRECONDITION"),
)

_MODELS: Final = (
    _row(K.NOT_FOUND, f"{_OPENAI_ERRORS}; reported: cursor/cursor#2953", "model_not_found"),
    _row(
        K.NOT_FOUND,
        "Groq: Model Deprecations; seen in: SanjeevKGupta/inference-gateway",
        "model_decommissioned model_not_active model_terms_required",
    ),
    _row(
        K.NOT_FOUND,
        "Groq: Model Permissions",
        "model_permission_blocked_org model_permission_blocked_project",
    ),
    _row(
        K.NOT_FOUND,
        f"{_AZURE_ERRORS}; reported: microsoft/sample-app-aoai-chatGPT#877",
        "DeploymentNotFound OperationNotSupported ResourceNotFound UnsupportedApiVersion",
    ),
    _row(
        K.NOT_FOUND,
        "reported: microsoft/Generative-AI-for-beginners-dotnet#302",
        "unknown_model",
    ),
    _row(K.NOT_FOUND, _OPENAI_SDK, "data_residency_mismatch"),
    _row(
        K.NOT_FOUND,
        "reported: openai/codex#3725",
        text=r"\A(?:API version not supported|Unsupported API version)",
        vendors=_AZURE,
        says="the API version is not supported",
    ),
    _row(K.NOT_FOUND, _ANTHROPIC_ERRORS, "not_found_error NOT_FOUND"),
    _row(
        K.NOT_FOUND,
        _ANTHROPIC_ERRORS,
        text=r"\Amodel: ",
        vendors=_ANTHROPIC,
        says="the model is refused",
    ),
    _row(
        K.NOT_FOUND,
        "reported: charmbracelet/crush#422",
        text=r"\AYour organization must be verified to (?:stream|use) ",
        vendors=_OPENAI,
        says="the organization is not verified for this model",
    ),
    _row(
        K.NOT_FOUND,
        f"{_OPENAI_ERRORS}; seen in: SanjeevKGupta/inference-gateway",
        text=r"\A(?:invalid model ID|The (?:requested )?model \S{1,128} (?:does not exist|does not "
        r"support chat completions|has been (?:deprecated|decommissioned|retired)))",
        vendors=_OPENAI,
        says="the model is refused",
    ),
    _row(
        K.NOT_FOUND,
        "OpenAI: API reference, the error object's param",
        param=r"\Amodel\Z",
        vendors=_OPENAI,
        status=(400, 422),
        says="the model is refused",
    ),
    _row(
        K.NOT_FOUND,
        _LITELLM,
        "key_model_access_denied team_model_access_denied user_model_access_denied "
        "org_model_access_denied project_model_access_denied",
    ),
)

_LENGTH: Final = (
    _row(K.CONTEXT_LENGTH, _OPENAI_ERRORS, "context_length_exceeded"),
    _row(K.CONTEXT_LENGTH, "llama.cpp: tools/server/README", "exceed_context_size_error"),
    _row(K.CONTEXT_LENGTH, _ANTHROPIC_ERRORS, "request_too_large"),
    # The limit of a parameter is the caller's business, that of the conversation is the model's.
    _row(
        K.CONTEXT_LENGTH,
        "reported: VectorlyApp/bluebox#31",
        "string_above_max_length array_above_max_length",
        param=r"\A(?:messages|input|prompt)(?:\Z|\S{0,100}(?:content|text)\b)",
    ),
    _row(
        K.CONTEXT_LENGTH,
        "reported: gptscript-ai/clio#41",
        status=_ABOUT_CONTENT,
        text=r"\AInvalid '(?:messages|input)[^' ]{0,100}(?:content|text)[^' ]{0,40}': string too long",
        says="the conversation is too long",
    ),
    _row(
        K.CONTEXT_LENGTH,
        "reported: docker/docker-agent#569, open-webui/open-webui#1141; "
        "anthropics/claude-code#27944",
        text=r"prompt is too long|maximum context length|input is too long|context window"
        r"|exceed context limit|reduce the length of the messages|model max length exceeded"
        r"|the long context beta is not yet available",
        status=_ABOUT_CONTENT,
        says="the conversation is too long",
    ),
)

_POLICY: Final = (
    _row(K.CONTENT_POLICY, _AZURE_FILTER, "content_filter ResponsibleAIPolicyViolation"),
    _row(K.CONTENT_POLICY, _OPENAI_SDK, "invalid_prompt bio_policy image_content_policy_violation"),
    _row(
        K.CONTENT_POLICY, "OpenAI: Image generation", "content_policy_violation moderation_blocked"
    ),
    _row(
        K.CONTENT_POLICY,
        f"{_AZURE_FILTER}; reported: anthropics/claude-code#58367",
        text=r"content filtering policy|content management policy"
        r"|flagged as potentially violating|rejected as a result of our safety system",
        status=_ABOUT_CONTENT,
        says="the content is refused",
    ),
)

_OTHERS: Final = (
    _row(
        K.INVALID_RESPONSE,
        "Groq: Tool Use; Structured Outputs",
        "tool_use_failed json_validate_failed",
    ),
    _row(
        K.INVALID_RESPONSE,
        "Groq: Tool Use; Structured Outputs",
        text=r"See 'failed_generation'",
        vendors=frozenset({"groq", "other"}),
        status=(400, *SUCCESS),
        says="the generation failed",
    ),
    _row(K.INVALID_RESPONSE, "reported: BerriAI/litellm#8020", "model_error"),
    _row(K.RATE_LIMIT, _OPENAI_ERRORS, "rate_limit_exceeded rate_limit_error"),
    _row(K.RATE_LIMIT, _ANTHROPIC_ERRORS, "overloaded_error overloaded"),
    _row(K.RATE_LIMIT, _AZURE_ERRORS, "NoCapacity too_many_requests"),
    _row(K.RATE_LIMIT, _GOOGLE, "RESOURCE_EXHAUSTED"),
    _row(K.RATE_LIMIT, "Groq: Flex Processing", "capacity_exceeded"),
    _row(
        K.RATE_LIMIT,
        "Groq: Flex Processing",
        vendors=frozenset({"groq"}),
        status=(498,),
        says="the service tier is at capacity",
    ),
    _row(K.RATE_LIMIT, _OPENAI_ERRORS, "slow_down", status=SUCCESS),
    _row(K.BAD_REQUEST, _ANTHROPIC_ERRORS, "invalid_request_error", status=SUCCESS),
    _row(K.BAD_REQUEST, _GOOGLE, "INVALID_ARGUMENT", status=SUCCESS),
)

FACTS: Final[tuple[VendorFact, ...]] = (
    *_MONEY,
    *_KEYS,
    *_MODELS,
    *_LENGTH,
    *_POLICY,
    *_OTHERS,
)
