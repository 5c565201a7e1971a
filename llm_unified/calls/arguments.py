"""From a caller's arguments to a `Request`; whatever is wrong with them is said here, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from llm_unified.calls.checks import check_messages, check_params, flag_of, name_of, seconds_of
from llm_unified.calls.formats import after_prefill, response_parser
from llm_unified.calls.request import Asked, Request, json_copy
from llm_unified.errors import BadRequestError, ConfigurationError
from llm_unified.providers import provider_row
from llm_unified.settings import Settings

__all__ = ["chat_request", "embedding_request"]

_STREAM_OPTIONS: Final = MappingProxyType({"include_usage": True})

_KEYS: Final = "set the provider's variable or YAML setting"
_MOCK: Final = "use llm_unified.testing.Simulator"
_LOGS: Final = "use service.subscribe() or the log events"
_OTHERWISE: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("num_retries", "max_retries", "retry_policy"), "set LLM_RETRIES"),
        **dict.fromkeys(
            (
                "fallbacks",
                "default_fallbacks",
                "context_window_fallbacks",
                "content_policy_fallbacks",
                "context_window_fallback_dict",
                "max_fallbacks",
                "model_list",
            ),
            "set LLM_FALLBACK_PROVIDERS, or pass provider=",
        ),
        "disable_fallbacks": "pass fallback=False",
        **dict.fromkeys(
            ("stream", "stream_response", "fake_stream"), "call stream_response_async()"
        ),
        **dict.fromkeys(
            ("api_key", "api_base", "base_url", "api_version", "organization", "azure_ad_token"),
            _KEYS,
        ),
        **dict.fromkeys(
            ("custom_llm_provider", "deployment_id", "specific_deployment", "azure", "base_model"),
            "pass provider= and model=",
        ),
        **dict.fromkeys(("mock_response", "mock_tool_calls", "mock_timeout", "mock_delay"), _MOCK),
        **dict.fromkeys(
            ("logger_fn", "verbose", "callbacks", "success_callback", "failure_callback"), _LOGS
        ),
        **dict.fromkeys(("no-log", "litellm_logging_obj", "litellm_call_id"), _LOGS),
        **dict.fromkeys(("request_timeout", "stream_timeout", "force_timeout"), "pass timeout="),
        **dict.fromkeys(("cooldown_time", "allowed_fails"), "set LLM_COOLDOWN"),
        "headers": "pass extra_headers=",
        "drop_params": "leave it out: what a provider does not take is left out for it",
        **dict.fromkeys(
            ("client", "ssl_verify", "shared_session", "acompletion", "cache", "caching", "router"),
            "leave it out: the service has connections of its own",
        ),
        **dict.fromkeys(
            ("input_cost_per_token", "output_cost_per_token"), "set the prices in the YAML file"
        ),
    }
)
"""Options of LiteLLM that would start its own retries, routing or printing, and what does it here."""


def chat_request(
    messages: Any,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    stream: bool = False,
) -> Asked:
    """A call for an answer. All is copied: what the caller changes afterwards changes nothing.

    What is returned raises ConfigurationError where ``provider`` is not configured.

    Raises:
        BadRequestError: naming the argument and what it should be.
    """
    more, how = _divided(options)
    given = {name: value for name, value in {**params, **more}.items() if value is not None}
    if given.pop("n", 1) != 1:
        raise BadRequestError("n must be 1: one call has one answer; use generate_many for several")
    check_params(given)
    parser = None
    wanted = how.get("response_format")
    if wanted is not None:
        given["response_format"], parser = response_parser(wanted)
    if stream:
        given.setdefault("stream_options", _STREAM_OPTIONS)
    check_messages(messages)
    accept = how.get("accept")
    if accept is not None and not callable(accept):
        raise BadRequestError(f"accept must be callable, not {type(accept).__name__}")
    copied = json_copy(list(messages), "messages")
    for message in copied:
        if "tool_calls" in message:
            _leave_out_our_own(message)
    last = copied[-1] if copied else {}
    if (
        parser is not None
        and last.get("role") == "assistant"
        and isinstance(last.get("content"), str)
    ):
        parser = after_prefill(parser, last["content"])
    kept = {name: json_copy(value, name) for name, value in given.items()}
    deadline, timeout = seconds_of(how, "deadline"), seconds_of(how, "timeout")
    model, chain_of = name_of(how, "model"), _chain(how)
    return lambda settings: Request(
        chain=chain_of(settings),
        messages=copied,
        params=kept,
        deadline=deadline,
        timeout=timeout,
        stream=stream,
        model=model,
        accept=accept,
        parser=parser,
    )


def embedding_request(inputs: Any, options: Mapping[str, Any]) -> Asked:
    """A call for vectors.

    What is returned raises ConfigurationError where no provider of the chain offers embeddings.

    Raises:
        BadRequestError: as `chat_request`.
    """
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(t, str) for t in texts):
        raise BadRequestError("inputs must be a text or a list of texts, and not empty")
    more, how = _divided(options)
    if how.get("model") is None:
        raise BadRequestError("model must be the name of a model for embeddings")
    given = {name: value for name, value in more.items() if value is not None}
    check_params(given)
    copied, kept = list(texts), {name: json_copy(value, name) for name, value in given.items()}
    deadline, timeout = seconds_of(how, "deadline"), seconds_of(how, "timeout")
    model, chain_of = name_of(how, "model"), _chain(how)

    def asked(settings: Settings) -> Request:
        chain = chain_of(settings)
        able = tuple(name for name in chain if provider_row(name).embeds)
        if not able:
            raise ConfigurationError(
                f"none of {', '.join(chain)} offers embeddings; add openai or azure_openai to the chain"
            )
        return Request(
            chain=able,
            messages=copied,
            params=kept,
            deadline=deadline,
            timeout=timeout,
            operation="embeddings",
            model=model,
        )

    return asked


_HOW: Final = (
    *("provider", "model", "fallback", "deadline", "timeout", "accept", "response_format"),
)


def _divided(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``(parameters for the vendor, how the call is carried out)``."""
    params = {name: value for name, value in options.items() if name not in _HOW}
    for name in params:
        if (instead := _OTHERWISE.get(name)) is not None or name.startswith(("litellm_", "mock_")):
            raise BadRequestError(
                f"{name} is LiteLLM's own and not taken here; {instead or 'leave it out'}"
            )
    return params, {name: options[name] for name in _HOW if name in options}


def _chain(how: Mapping[str, Any]) -> Callable[[Settings], tuple[str, ...]]:
    """Who is asked, in order, under a configuration."""
    provider, fallback = how.get("provider"), flag_of(how, "fallback")

    def chain_of(settings: Settings) -> tuple[str, ...]:
        chain = settings.chain
        if provider is not None:
            known = [p.name for p in settings.providers]
            if provider not in known:
                raise ConfigurationError(
                    f"provider={provider!r:.80} is not configured; configured are: {', '.join(known)}"
                )
            chain = (provider, *(name for name in chain if name != provider))
        return chain if fallback and settings.enable_fallback else chain[:1]

    return chain_of


def _leave_out_our_own(message: dict[str, Any]) -> None:
    """``raw_response["tool_calls"]`` may be sent back as they are: OpenAI and Groq may refuse our two fields."""
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        for call in calls:
            if isinstance(call, dict) and "function" in call:
                call.pop("name", None)
                call.pop("arguments", None)
