"""LiteLLM's translation of one deployment's requests and answers, below `completion()`.

A `Plan` is what is the same for every call of one deployment and model: LiteLLM's provider configuration,
the address, the prices. It turns messages and parameters into a request (`Plan.prepare`), and what came back
into pieces (`Prepared.whole`, `Prepared.reader`). The bodies equal what `completion()` makes of the same
request: that is what ``tests/test_litellm_contract.py`` compares, case by case.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import yarl

from llm_unified.engine.imports import (
    ANTHROPIC_TOOL_NAMES,
    LlmProviders,
    ProviderConfigManager,
    get_optional_params,
    responses_api_bridge_check,
    update_request_with_filtered_beta,
    validate_and_fix_openai_messages,
    validate_and_fix_openai_tools,
    validate_and_fix_thinking_param,
    validate_chat_completion_tool_choice,
    validate_openai_optional_params,
)
from llm_unified.engine.openai_wire import chunk_of, whole_of
from llm_unified.engine.pieces import Piece, without_helper
from llm_unified.engine.plain import anthropic_turns, leading, sample
from llm_unified.engine.reading import AnthropicReader, anthropic_whole
from llm_unified.vendors import Access, Vendor
from llm_unified.wire.exchange import HttpRequest, SecretHeaders
from llm_unified.wire.request import post, post_headers

__all__ = ["Plan", "Prepared"]

_REMEMBERED: Final = 256
"""Sets of scalar parameters whose translation a plan remembers."""
_SUMMARIES: Final = ("reasoning_summary", "reasoningSummary")
"""Names of a parameter that only the Responses API takes; LiteLLM's bridge knows them."""
_BRIDGING: Final = (
    {"reasoning_effort": "low", "tools": [{"type": "function", "function": {"name": "x"}}]},
    {"reasoning_effort": "low", "reasoning_summary": "auto"},
)
"""With what LiteLLM asks the Responses API for some models that it otherwise asks for chat completions."""
_TRANSLATED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "max_tokens": ("max_completion_tokens",),
        "max_completion_tokens": ("max_tokens",),
        "stop": ("stop_sequences",),
        "user": ("metadata",),
        "tools": ("tools", "mcp_servers"),
        "functions": ("tools",),
        "function_call": ("tool_choice",),
        "web_search_options": ("tools",),
        "parallel_tool_calls": ("tool_choice",),
        "reasoning_effort": ("thinking", "output_config"),
        "response_format": ("output_format", "output_config", "json_mode"),
    }
)
"""Where LiteLLM puts a parameter that a vendor knows by another name."""
_SAYS_NOTHING: Final[tuple[Any, ...]] = ({"type": "text"}, "none", "auto")
"""Values that are not missed."""
_PASSED_BESIDE: Final = ("extra_body", "extra_headers", "stream_options", "metadata")


class Plan:
    """How one deployment is asked for one model; made once per configuration."""

    def __init__(self, vendor: Vendor, params: Mapping[str, Any], base_model: str | None) -> None:
        """``params``: LiteLLM's parameters of the deployment, ``model`` with its prefix."""
        self.vendor = vendor
        self.model = params["model"].partition("/")[2]
        self._base_model = base_model
        self._access = Access.of(params)
        provider = LlmProviders(vendor.litellm_name)
        config: Any = ProviderConfigManager.get_provider_chat_config(
            model=self.model, provider=provider, base_model=base_model
        )
        self._config = config
        self._url = yarl.URL(vendor.chat_url(self._access, self.model), encoded=True)
        self._headers = vendor.headers(self._access)
        self._plain = {
            stream: post_headers(self._headers, stream=stream) for stream in (False, True)
        }
        self._litellm_params = {
            "custom_llm_provider": vendor.litellm_name,
            "api_base": self._access.base,
            "base_model": base_model,
            "drop_params": True,
        }
        self._is_anthropic = vendor.protocol == "anthropic"
        self._always_bridged = self._bridged({})
        self._may_bridge = self._always_bridged or any(
            self._bridged(params) for params in _BRIDGING
        )
        self._fakes_streams = bool(
            self._config.should_fake_stream(
                model=base_model or self.model,
                stream=True,
                custom_llm_provider=vendor.litellm_name,
            )
        )
        self._about_roles: dict[str, Any] = {}
        roles = inspect.signature(config.translate_developer_role_to_system_role)
        if "model_info" in roles.parameters:  # from LiteLLM 1.109 on
            self._about_roles = {
                "model": self.model,
                "custom_llm_provider": vendor.litellm_name,
                "api_base": self._access.base,
                "model_info": {},
            }
        self._remembered: dict[Any, tuple[dict[str, Any], tuple[str, ...]]] = {}

    def __repr__(self) -> str:
        return f"Plan({self.vendor.protocol}, {self.model})"

    def _bridged(self, params: Mapping[str, Any]) -> bool:
        if self._is_anthropic:
            return False
        info, _ = responses_api_bridge_check(
            model=self.model,
            custom_llm_provider=self.vendor.litellm_name,
            tools=params.get("tools"),
            reasoning_effort=params.get("reasoning_effort"),
            reasoning_summary=_summary_of(params),
            api_base=self._access.base,
        )
        return info.get("mode") == "responses"

    def serves(self, params: Mapping[str, Any]) -> bool:
        """Whether a request with these parameters goes this way; else LiteLLM asks the Responses API."""
        if not self._may_bridge:
            return True
        return not (self._always_bridged or self._bridged(params))

    async def prepare(
        self, messages: list[Any], params: dict[str, Any], *, stream: bool
    ) -> Prepared:
        """The request for these messages and parameters; both are changed.

        Raises:
            Exception: of any class, when LiteLLM does not translate them for this vendor.
        """
        params["messages"] = messages
        self.vendor.nudge(params)
        beside = {name: params.pop(name, None) for name in _PASSED_BESIDE}
        if self._may_bridge:  # its chat completions refuse these
            for place in (params, beside["extra_body"] or {}):
                for name in _SUMMARIES:
                    place.pop(name, None)
        messages, turns = self._divided(params.pop("messages"))
        messages = validate_and_fix_openai_messages(messages=messages)
        messages = self._config.translate_developer_role_to_system_role(
            messages=messages, **self._about_roles
        )
        optional, lost = self._optional(params, stream=stream)
        json_mode = bool(optional.pop("json_mode", False))
        fake = bool(optional.pop("fake_stream", False)) or (stream and self._fakes_streams)
        optional.pop("stream", None)
        optional.pop("max_retries", None)
        more = {**optional.pop("extra_body", {}), **(beside["extra_body"] or {})}
        about = dict(self._litellm_params)  # LiteLLM leaves notes for the answer's translation here
        on_wire = stream and not fake
        if self._is_anthropic:
            headers, body = await self._anthropic(messages, optional, about)
        else:
            headers = None
            body = self._config.transform_request(
                model=self.model,
                messages=messages,
                optional_params=optional,
                litellm_params=about,
                headers={},
            )
            if on_wire and beside["stream_options"]:
                body["stream_options"] = beside["stream_options"]
        if turns is not None:
            body["messages"] = [*body["messages"][:-1], *turns]
        if on_wire:
            body["stream"] = True
        body.update(more)
        request = post(
            self._url,
            self._all_headers(headers, beside["extra_headers"], stream=on_wire),
            encoded(body),
        )
        translation = {
            "model": self.model,
            "request_data": body,
            "messages": messages,
            "optional_params": optional,
            "litellm_params": about,
            "json_mode": json_mode,
        }
        return Prepared(self.vendor, self._config, request, translation, on_wire=on_wire, lost=lost)

    def _divided(self, messages: list[Any]) -> tuple[list[Any], list[Any] | None]:
        """What LiteLLM is to translate, and what goes in place of the last of that."""
        head = leading(messages)
        if head is None:
            return messages, None
        turns: list[Any] | None = messages[head:]
        if self._is_anthropic:
            turns = anthropic_turns(messages[head:])
        return ([*messages[:head], sample()], turns) if turns else (messages, None)

    def _all_headers(
        self,
        special: Mapping[str, str] | None,
        extra: Mapping[str, str] | None,
        *,
        stream: bool,
    ) -> SecretHeaders:
        if special is None and not extra:
            return self._plain[stream]
        return post_headers({**(special or self._headers), **(extra or {})}, stream=stream)

    def _optional(
        self, params: dict[str, Any], *, stream: bool
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The parameters in this vendor's terms, and which of them LiteLLM left out.

        Those that are all scalars are translated once. LiteLLM logs whatever it is given here, and uses no
        message for these vendors: it gets none.
        """
        key: Any = (stream, tuple(params.items()))
        try:
            known = self._remembered.get(key)
        except TypeError:  # a list or an object among them
            key = known = None
        if known is not None:
            return _separate(known[0]), known[1]
        given = dict(params)
        if "tools" in given:
            given["tools"] = validate_and_fix_openai_tools(tools=given["tools"])
        if "tool_choice" in given:
            given["tool_choice"] = validate_chat_completion_tool_choice(
                tool_choice=given["tool_choice"]
            )
        if "stop" in given:
            given["stop"] = validate_openai_optional_params(stop=given["stop"])
        if "thinking" in given:
            given["thinking"] = validate_and_fix_thinking_param(thinking=given["thinking"])
        if stream:
            given["stream"] = True
        optional: dict[str, Any] = get_optional_params(
            model=self.model,
            custom_llm_provider=self.vendor.litellm_name,
            api_version=self._access.api_version or None,
            drop_params=True,
            base_model=self._base_model,
            max_retries=0,
            **given,
        )
        lost = _lost(params, optional)
        if key is not None and len(self._remembered) < _REMEMBERED:
            self._remembered[key] = (_separate(optional), lost)
        return optional, lost

    async def _anthropic(
        self, messages: list[Any], optional: dict[str, Any], about: dict[str, Any]
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """LiteLLM chooses the beta headers by what is in the request."""
        for name, value in self._config.get_config(model=self.model).items():
            optional.setdefault(name, value)
        transformed = {**optional, "is_vertex_request": False}
        headers = self._config.validate_environment(
            api_key=self._access.key,
            headers={},
            model=self.model,
            messages=messages,
            optional_params=transformed,
            litellm_params=about,
            api_base=self._access.base,
        )
        body = self._config.transform_request(
            model=self.model,
            messages=messages,
            optional_params=transformed,
            litellm_params=about,
            headers=headers,
        )
        headers, body = update_request_with_filtered_beta(
            headers=headers, request_data=body, provider="anthropic"
        )
        if (schema := body.pop("output_format", None)) is not None:  # its name during the beta
            config: Any = body.get("output_config") or {}
            body["output_config"] = {**config, "format": schema}
        return headers, body

    def embedding(self, texts: list[str], params: Mapping[str, Any]) -> HttpRequest:
        """The request for the vectors of ``texts``; OpenAI's body is all vendors' that have them."""
        if self.vendor.embeddings_url is None:
            raise LookupError("no embeddings")
        body = {"model": self.model, "input": texts, **params}
        more = body.pop("extra_body", None) or {}
        headers = body.pop("extra_headers", None) or {}
        url = yarl.URL(self.vendor.embeddings_url(self._access, self.model), encoded=True)
        return post(url, self._all_headers(None, headers, stream=False), encoded({**body, **more}))


def _separate(optional: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that a translation may change without changing those that are remembered."""
    return {
        name: copy.deepcopy(value) if value.__class__ in (dict, list) else value
        for name, value in optional.items()
    }


def _summary_of(params: Mapping[str, Any]) -> Any:
    """The wish for a summary of the reasoning, wherever it stands."""
    for place in (params, params.get("extra_body") or {}):
        for name in _SUMMARIES:
            if place.get(name) is not None:
                return place[name]
    return None


class Prepared:
    """One request, and how to read what comes back."""

    def __init__(
        self,
        vendor: Vendor,
        config: Any,
        request: HttpRequest,
        translation: dict[str, Any],
        *,
        on_wire: bool,
        lost: tuple[str, ...] = (),
    ) -> None:
        """``translation``: what LiteLLM's translation of the answer wants to know of the request."""
        self.request = request
        self.lost = lost
        """Parameters that LiteLLM left out."""
        self.stream: Final = on_wire
        """Whether events will come; some models are not asked for a stream."""
        self._vendor, self._config, self._translation = vendor, config, translation
        self._json_mode: bool = translation["json_mode"]

    def __repr__(self) -> str:
        return f"Prepared({self.request!r})"

    @property
    def end_marker(self) -> str:
        """What ends a stream."""
        return self._vendor.end_marker

    def whole(self, data: Any) -> Piece:
        """Read a whole answer.

        Raises:
            AnswerError: it is none.
        """
        if self._vendor.protocol == "anthropic":
            return anthropic_whole(self._config, data, **self._translation)
        piece = whole_of(data)
        return without_helper(piece, set()) if self._json_mode else piece

    def reader(self) -> Callable[[dict[str, Any]], Piece | None]:
        """What reads the events of one stream; it may raise `AnswerError`."""
        if self._vendor.protocol == "anthropic":
            names = self._translation["litellm_params"].get(ANTHROPIC_TOOL_NAMES)
            return AnthropicReader(json_mode=self._json_mode, tool_names=names)
        if not self._json_mode:
            return chunk_of
        helpers: set[int | None] = set()
        return lambda event: without_helper(chunk_of(event), helpers)


def encoded(body: Mapping[str, Any]) -> bytes:
    """JSON as the vendors' SDKs write it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _lost(params: Mapping[str, Any], optional: Mapping[str, Any]) -> tuple[str, ...]:
    more = optional.get("extra_body") or {}
    return tuple(
        name
        for name, value in params.items()
        if name not in optional
        and name not in more
        and value not in _SAYS_NOTHING
        and not any(other in optional for other in _TRANSLATED.get(name, ()))
    )
