"""The tokenizer that LiteLLM fetches and rarely uses."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import pytest
import tiktoken
from tiktoken import registry

from llm_unified.coldstart.encoding import NAME, PostponedEncoding, postpone

ORDINARY = """
import asyncio, os
from llm_unified import UnifiedLLMService, load_settings
from llm_unified.testing import Simulator

async def main():
    with Simulator() as sim:
        for name in ("openai", "azure_openai", "groq", "anthropic"):
            async with UnifiedLLMService(load_settings(sim.environ(name))) as service:
                await service.generate_response_async([{"role": "user", "content": "Hi"}])
                async for _ in service.stream_response_async([{"role": "user", "content": "Hi"}]):
                    pass
    import tiktoken, litellm
    encoding = tiktoken.get_encoding("cl100k_base")
    print(encoding.is_built, litellm.token_counter(model="gpt-4", text="one two three"), encoding.is_built)

asyncio.run(main())
"""


def test_an_ordinary_call_does_not_build_the_tokenizer() -> None:
    """Answers and streams of all four providers leave it unbuilt; counting tokens builds it."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ORDINARY], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "3", "True"]


def test_the_postponed_encoding_is_a_complete_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever uses tiktoken in the same process gets the same tokens, text and pickle."""
    importlib.import_module("llm_unified.engine")  # loads LiteLLM without network
    importlib.import_module("litellm.litellm_core_utils.default_encoding")  # names a folder
    monkeypatch.setitem(registry.ENCODINGS, NAME, PostponedEncoding(NAME))
    encoding = tiktoken.get_encoding(NAME)
    text = "Grüße, 世界! <|endoftext|>"
    tokens = encoding.encode(text, allowed_special="all")
    assert encoding.decode(tokens) == text
    assert (encoding.n_vocab, encoding.eot_token) == (100277, 100257)
    assert pickle.loads(pickle.dumps(encoding)).decode(tokens) == text
    assert encoding.encode_batch(["a b", "c"]) == [[64, 293], [66]]


def test_an_encoding_that_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the application built before is not replaced."""
    built = PostponedEncoding(NAME)
    monkeypatch.setitem(registry.ENCODINGS, NAME, built)
    postpone()
    assert registry.ENCODINGS[NAME] is built
