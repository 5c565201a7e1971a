"""LangChain's own standard tests, on simulated providers that refuse what the vendors refuse."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("langchain_tests", reason="run it with: python3 dev.py frameworks")

from langchain_core._api import LangChainBetaWarning
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.integration_tests import chat_models as standard
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from llm_unified import UnifiedLLMService, load_settings
from llm_unified.integrations.langchain import ChatUnified, UnifiedEmbeddings
from llm_unified.testing import Simulator, replies
from llm_unified.testing.replies import Reply
from llm_unified.testing.schema import example
from llm_unified.testing.wire import Answer, Chat, ToolUse

pytestmark = [
    # `stream_events(version="v3")` is in beta, and the standard tests call it.
    pytest.mark.filterwarnings(f"ignore::{LangChainBetaWarning.__module__}.LangChainBetaWarning"),
    # The standard tests send a document without a name, and LangChain says so.
    pytest.mark.filterwarnings("ignore:OpenAI may require a filename:UserWarning"),
]

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
CUSTOMERS = ("你好啊集团", "こんにちは株式会社")
JOKE = {"setup": "Why do cats purr?", "punchline": "They run on a small engine."}


def clever(chat: Chat) -> Answer:
    """What a capable model would say to the standard tests' prompts."""
    if not chat.tools or not chat.tools_allowed or chat.last_is_tool_result:
        if chat.json_schema and chat.json_schema.get("properties"):
            return Answer(text=json.dumps(example(chat.json_schema)))
        return Answer(text=json.dumps(JOKE) if "JSON" in chat.prompt else "Hello to you.")
    tool = next((t for t in chat.tools if t.name == chat.forced_tool), chat.tools[0])
    arguments = example(tool.schema)
    if tool.name == "magic_function":
        arguments = {"input": 3}
    if tool.name == "unicode_customer":
        arguments["customer_name"] = next(name for name in CUSTOMERS if name in chat.last_text)
    return Answer(tools=(ToolUse(tool.name, json.dumps(arguments, ensure_ascii=False)),))


class Simulated:
    """The service that is tested: the named provider first, the other three behind it."""

    provider = "openai"

    @pytest.fixture(autouse=True)
    def _simulator(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        # The suite downloads its pictures, recordings and documents; tests stay on this machine.
        monkeypatch.setattr(
            standard, "httpx", SimpleNamespace(get=lambda *_, **__: SimpleNamespace(content=PNG))
        )
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "nobody is asked")
        with Simulator(strict=True) as simulator:
            for each in simulator:
                each.always(Reply("clever", clever))
            names = [self.provider, *(p.name for p in simulator if p.name != self.provider)]
            self.simulator, self.environ = simulator, simulator.environ(*names)
            with UnifiedLLMService(load_settings(environ=self.environ)) as self.service:
                yield


class ChatSettings(Simulated):
    """What `ChatUnified` can, in the words of the standard tests."""

    chat_model_class = ChatUnified
    supports_json_mode = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_image_tool_message = True
    supports_pdf_inputs = True
    supports_audio_inputs = True
    supports_anthropic_inputs = True
    model_override_value = "some-other-model"

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"service": self.service}


class TestUnits(ChatSettings, ChatModelUnitTests):
    """The unit tests of a chat model."""

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        """Without keys and retries, which are the configuration's: an argument would have no effect."""
        return {"temperature": 0, "max_tokens": 100, "timeout": 60, "stop": []}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return self.environ, {}, {"service": None}


class TestOnOpenAI(ChatSettings, ChatModelIntegrationTests):
    """The integration tests, OpenAI being asked first."""

    counts: tuple[str, ...] = ("reasoning_output", "cache_read_input")

    @property
    def supported_usage_metadata_details(self) -> Any:
        return {"invoke": self.counts, "stream": self.counts}

    def counted(self, *, stream: bool, **counts: int) -> AIMessage:
        self.simulator[self.provider].script(replies.answer("42", usage=(50, 40), **counts))
        model = ChatUnified(service=self.service)
        if not stream:
            return model.invoke("Count.")
        whole: Any = None
        for chunk in model.stream("Count."):
            assert isinstance(chunk, AIMessageChunk)
            whole = chunk if whole is None else whole + chunk
        return whole

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self.counted(stream=stream, reasoned=30)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self.counted(stream=stream, cached=20)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return self.counted(stream=stream, written=20)


class TestOnAzure(TestOnOpenAI):
    """The integration tests, Azure OpenAI being asked first."""

    provider = "azure_openai"


class TestOnGroq(TestOnOpenAI):
    """The integration tests, Groq being asked first; what it does not take, the next one does."""

    provider = "groq"


class TestOnAnthropic(TestOnOpenAI):
    """The integration tests, Anthropic being asked first."""

    provider = "anthropic"
    counts = ("cache_read_input", "cache_creation_input")


class EmbeddingsSettings(Simulated):
    """What `UnifiedEmbeddings` is made of."""

    embeddings_class = UnifiedEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "text-embedding-3-small", "service": self.service}


class TestEmbeddingsUnits(EmbeddingsSettings, EmbeddingsUnitTests):
    """The unit tests of embeddings."""

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return self.environ, {"model": "text-embedding-3-small"}, {"service": None}


class TestEmbeddings(EmbeddingsSettings, EmbeddingsIntegrationTests):
    """The integration tests of embeddings."""
