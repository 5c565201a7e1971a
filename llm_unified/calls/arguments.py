"""From a caller's arguments to a `Request`; whatever is wrong with them is said here, before anything is sent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from llm_unified.calls.formats import response_parser
from llm_unified.calls.request import Request, json_copy
from llm_unified.errors import BadRequestError, ConfigurationError
from llm_unified.providers import provider_row
from llm_unified.settings import Settings

__all__ = ["chat_request", "embedding_request"]

_STREAM_OPTIONS: Final = MappingProxyType({"include_usage": True})
_NO_NAME: Final = re.compile(r"[\x00-\x1f\x7f?#]|(^|/)\.\.(/|$)")
"""What would make another path or header of a model's name."""

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
    settings: Settings,
    messages: Any,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    stream: bool = False,
) -> Request:
    """A call for an answer.

    Raises:
        BadRequestError: naming the argument and what it should be.
        ConfigurationError: ``provider`` is not configured.
    """
    more, how = _divided(options)
    given = {name: value for name, value in {**params, **more}.items() if value is not None}
    if given.pop("n", 1) != 1:
        raise BadRequestError("n must be 1: one call has one answer; use generate_many for several")
    if (tools := given.get("tools")) is not None:
        _check_dicts("tools", tools, '{"type": "function", "function": {…}}')
    parser = None
    wanted = how.get("response_format")
    if wanted is not None:
        given["response_format"], parser = response_parser(wanted)
    if stream:
        given.setdefault("stream_options", _STREAM_OPTIONS)
    _check_dicts("messages", messages, '{"role": "user", "content": "Hi"}')
    accept = how.get("accept")
    if accept is not None and not callable(accept):
        raise BadRequestError(f"accept must be callable, not {type(accept).__name__}")
    return Request(
        chain=_chain(settings, how),
        messages=[_without_our_own(m) for m in json_copy(list(messages), "messages")],
        params={name: json_copy(value, name) for name, value in given.items()},
        deadline=_seconds(how, "deadline") or settings.deadline,
        timeout=_seconds(how, "timeout"),
        stream=stream,
        model=_model(how.get("model")),
        accept=accept,
        parser=parser,
    )


def embedding_request(settings: Settings, inputs: Any, options: Mapping[str, Any]) -> Request:
    """A call for vectors.

    Raises:
        BadRequestError: as `chat_request`.
        ConfigurationError: no provider of the chain offers embeddings.
    """
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(t, str) for t in texts):
        raise BadRequestError("inputs must be a text or a list of texts, and not empty")
    given, how = _divided(options)
    chain = _chain(settings, how)
    able = tuple(name for name in chain if provider_row(name).embeds)
    if not able:
        raise ConfigurationError(
            f"none of {', '.join(chain)} offers embeddings; add openai or azure_openai to the chain"
        )
    return Request(
        chain=able,
        messages=list(texts),
        params={n: json_copy(v, n) for n, v in given.items() if v is not None},
        deadline=_seconds(how, "deadline") or settings.deadline,
        timeout=_seconds(how, "timeout"),
        operation="embeddings",
        model=_model(how.get("model")),
    )


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


def _chain(settings: Settings, how: Mapping[str, Any]) -> tuple[str, ...]:
    chain, provider = settings.chain, how.get("provider")
    if provider is not None:
        known = [p.name for p in settings.providers]
        if provider not in known:
            raise ConfigurationError(
                f"provider={provider!r} is not configured; configured are: {', '.join(known)}"
            )
        chain = (provider, *(name for name in chain if name != provider))
    return chain if how.get("fallback", True) and settings.enable_fallback else chain[:1]


def _seconds(how: Mapping[str, Any], name: str) -> float | None:
    value = how.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRequestError(f"{name} must be a number of seconds, not {value!r:.40}")
    if value <= 0:
        raise BadRequestError(f"{name} must be more than 0 seconds, not {value!r}")
    return float(value)


def _model(model: Any) -> str | None:
    if model is None:
        return None
    if not isinstance(model, str) or not model.strip():
        raise BadRequestError(f"model must be the name of a model, not {model!r:.40}")
    if _NO_NAME.search(model):
        raise BadRequestError(
            f"model {model!r:.80} is no model's name: it holds '?', '#', '..' or a control character"
        )
    return model


def _check_dicts(name: str, value: Any, example: str) -> None:
    wrong = isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence)
    if wrong or not all(isinstance(item, Mapping) for item in value):
        raise BadRequestError(f"{name} must be a list of dicts like {example}")
    if not value and name == "messages":
        raise BadRequestError("messages is empty; there is nothing to answer")


def _without_our_own(message: dict[str, Any]) -> dict[str, Any]:
    """``raw_response["tool_calls"]`` may be sent back as they are: OpenAI and Groq may refuse our two fields."""
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        for call in calls:
            if isinstance(call, dict) and "function" in call:
                call.pop("name", None)
                call.pop("arguments", None)
    return message
