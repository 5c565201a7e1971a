"""LiteLLM's translation of one deployment's requests and answers, below `completion()`.

A `Plan` is what is the same for every call of one deployment and model: LiteLLM's provider configuration,
the address, the prices. It turns messages and parameters into a request (`Plan.prepare`), and what came back
into pieces (`Prepared.whole`, `Prepared.reader`). The bodies equal what `completion()` makes of the same
request: that is what ``tests/test_litellm_contract.py`` compares, case by case.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

import yarl

from llm_unified.engine.imports import (
    LlmProviders,
    ProviderConfigManager,
    get_optional_params,
    update_request_with_filtered_beta,
    validate_and_fix_openai_messages,
    validate_and_fix_openai_tools,
    validate_and_fix_thinking_param,
    validate_chat_completion_tool_choice,
    validate_openai_optional_params,
)
from llm_unified.engine.losses import lost
from llm_unified.engine.plain import anthropic_turns, leading, sample
from llm_unified.engine.prepared import Prepared
from llm_unified.engine.responses import ResponsesRule
from llm_unified.engine.translation import Translation, encoded, separate
from llm_unified.vendors import Access, Vendor
from llm_unified.wire.exchange import HttpRequest, SecretHeaders
from llm_unified.wire.request import post, post_headers

__all__ = ["Plan"]

_REMEMBERED: Final = 256
"""Sets of scalar parameters whose translation a plan remembers."""
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
        self._responses = ResponsesRule(vendor, self.model, self._access)
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
        self._parameters: dict[Any, dict[str, Any]] = {}
        self._translations: dict[Any, Translation] = {}

    def __repr__(self) -> str:
        return f"Plan({self.vendor.protocol}, {self.model})"

    def serves(self, params: Mapping[str, Any]) -> bool:
        """Whether a request with these parameters goes this way; else LiteLLM asks the Responses API."""
        return not self._responses.applies(params)

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
        self._responses.strip(params, beside["extra_body"] or {})
        messages, turns = self._divided(params.pop("messages"))
        made = self._translation(messages, params, plain=turns is not None, stream=stream)
        on_wire = stream and not made.fakes_stream
        body = separate(made.body)
        if turns is not None:
            body["messages"] = [*body["messages"][:-1], *turns]
        if on_wire:
            if beside["stream_options"] and not self._is_anthropic:
                body["stream_options"] = beside["stream_options"]
            body["stream"] = True
        body.update(made.more)
        body.update(beside["extra_body"] or {})
        headers = self._all_headers(made.headers, beside["extra_headers"], stream=on_wire)
        translation = {
            "model": self.model,
            "request_data": body,
            "messages": made.messages,
            "optional_params": dict(made.optional),
            "litellm_params": dict(made.about),
            "json_mode": made.json_mode,
        }
        request = post(self._url, headers, encoded(body))
        return Prepared(
            self.vendor, self._config, request, translation, on_wire=on_wire, lost=made.lost
        )

    def _translation(
        self, messages: list[Any], params: dict[str, Any], *, plain: bool, stream: bool
    ) -> Translation:
        """By LiteLLM; of plain turns with scalar parameters, once."""
        key: Any = (stream, tuple(params.items()))
        try:
            hash(key)
        except TypeError:  # a list or an object among them
            key = None
        alike = plain and len(messages) == 1 and key is not None
        made = self._translations.get(key) if alike else None
        if made is None:
            made = self._translated(messages, params, key, stream=stream)
            if alike and len(self._translations) < _REMEMBERED:
                self._translations[key] = made
        return made

    def _translated(
        self, messages: list[Any], params: dict[str, Any], key: Any, *, stream: bool
    ) -> Translation:
        messages = validate_and_fix_openai_messages(messages=messages)
        messages = self._config.translate_developer_role_to_system_role(
            messages=messages, **self._about_roles
        )
        optional = self._optional(params, key, stream=stream)
        missing = lost(params, optional)
        json_mode = bool(optional.pop("json_mode", False))
        fake = bool(optional.pop("fake_stream", False)) or (stream and self._fakes_streams)
        optional.pop("stream", None)
        optional.pop("max_retries", None)
        more = optional.pop("extra_body", {})
        about = dict(self._litellm_params)  # LiteLLM leaves notes for the answer's translation here
        headers = None
        if self._is_anthropic:
            headers, body = self._anthropic(messages, optional, about)
        else:
            body = self._config.transform_request(
                model=self.model,
                messages=messages,
                optional_params=optional,
                litellm_params=about,
                headers={},
            )
        return Translation(headers, body, more, messages, optional, about, json_mode, fake, missing)

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

    def _optional(self, params: dict[str, Any], key: Any, *, stream: bool) -> dict[str, Any]:
        """The parameters in this vendor's terms. Those that are all scalars are translated once.

        LiteLLM logs whatever it is given here, and uses no message for these vendors: it gets none.
        """
        known = None if key is None else self._parameters.get(key)
        if known is not None:
            return separate(known)
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
        if key is not None and len(self._parameters) < _REMEMBERED:
            self._parameters[key] = separate(optional)
        return optional

    def _anthropic(
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
