"""Our requests and answers beside those of LiteLLM's `completion()`, for the same request, over real sockets.

A difference that is wanted stands in `contract_shapes.DIFFERENCES` with its reason; any other one fails, and so
does a row there that no longer differs.
"""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from llm_unified import load_settings
from llm_unified.engine.engine import Engine
from llm_unified.engine.imports import litellm
from llm_unified.wire.exchange import Exchange
from llm_unified.wire.transport import ConnectionPool
from tests.contract_shapes import ALL, DIFFERENCES, SHAPES, Target
from tests.contract_upstream import Asked, Recorder

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEADERS = (
    *("authorization", "api-key", "x-api-key", "openai-organization", "content-type"),
    *("anthropic-version", "anthropic-beta", "x-mine", "x-trace"),
)
"""Headers that mean something to the vendor."""


class Rig:
    """The upstream, and our engine for each deployment that a shape names."""

    def __init__(self, upstream: Recorder) -> None:
        self.upstream = upstream
        self.pool = ConnectionPool(ssl=False, connect_timeout=5.0)
        self._engines: dict[tuple[str, Target], Engine] = {}

    def engine(self, provider: str, target: Target) -> Engine:
        key = (provider, target)
        if key not in self._engines:
            prefix = provider.upper()
            root = f"http://127.0.0.1:{self.upstream.port}"
            environ = {
                "LLM_PRIMARY_PROVIDER": provider,
                "LLM_POOL_SIZE": "1",
                f"{prefix}_API_KEY": f"key-of-{provider}",
            }
            paths = {"openai": "/v1", "groq": "/groq/openai/v1"}
            if provider == "azure_openai":
                environ |= {
                    "AZURE_OPENAI_ENDPOINT": root,
                    "AZURE_OPENAI_DEPLOYMENT": target.model,
                    "AZURE_OPENAI_API_VERSION": target.api_version,
                }
                if target.base_model:
                    environ["AZURE_OPENAI_BASE_MODEL"] = target.base_model
            else:
                environ[f"{prefix}_BASE_URL"] = root + paths.get(provider, "")
                environ[f"{prefix}_MODEL"] = target.model
            self._engines[key] = Engine(load_settings(environ))
        return self._engines[key]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    async with Recorder() as upstream:
        made = Rig(upstream)
        yield made
        await made.pool.aclose()
        await litellm.close_litellm_async_clients()


def asked_of(asked: list[Asked]) -> dict[str, Any]:
    """What an upstream was asked, as far as it matters; ``{}``: nothing."""
    if not asked:
        return {}
    last = asked[-1]
    headers = {name: last.headers[name] for name in HEADERS if name in last.headers}
    if "anthropic-beta" in headers:  # a set, in whatever order
        headers["anthropic-beta"] = ",".join(sorted(headers["anthropic-beta"].split(",")))
    found: dict[str, Any] = {"path": last.path, "requests": len(asked)}
    found |= {f"headers.{name}": value for name, value in headers.items()}
    found |= {f"body.{name}": value for name, value in last.body.items()}
    return found


class Read:
    """An answer, whatever pieces it came in."""

    def __init__(self) -> None:
        self.text = self.reasoning = self.refusal = ""
        self.end: str | None = None
        self.calls: dict[int, list[str]] = {}
        self.logprobs: list[Any] = []
        self.usage: Any = None
        self.id: str | None = None

    def call(self, index: int | None, id_: str | None, name: str | None, arguments: str) -> None:
        entry = self.calls.setdefault(len(self.calls) if index is None else index, ["", "", ""])
        entry[0] = entry[0] or id_ or ""
        entry[1] = entry[1] or name or ""
        entry[2] += arguments

    def as_dict(self) -> dict[str, Any]:
        calls = [
            (id_, name, json.loads(arguments or "{}"))
            for _, (id_, name, arguments) in sorted(self.calls.items())
        ]
        return {
            "answer.text": self.text,
            "answer.reasoning": self.reasoning,
            "answer.refusal": self.refusal,
            "answer.end": self.end,
            "answer.calls": calls,
            "answer.logprobs": self.logprobs,
            "answer.usage": self.usage,
        }


async def ours(rig: Rig, provider: str, name: str, *, stream: bool) -> dict[str, Any]:
    """What the engine sends and reads."""
    shape = SHAPES[name]
    engine = rig.engine(provider, shape.models[provider])
    deployment = next(iter(engine.deployments.values()))
    rig.upstream.asked, rig.upstream.answer = [], shape.answer
    exchange = Exchange()
    read = Read()
    params = dict(copy.deepcopy(dict(shape.params)))
    if stream:
        params["stream_options"] = {"include_usage": True}
    incoming = await engine.open(
        deployment,
        deployment.model,
        copy.deepcopy(list(shape.messages)),
        params,
        stream=stream,
        exchange=exchange,
        pool=rig.pool,
    )
    if stream:
        pieces = [piece async for batch in incoming.batches() for piece in batch]
        assert incoming.complete
    else:
        pieces = [await incoming.whole()]
    await incoming.aclose()
    for piece in pieces:
        read.text += piece.text
        read.reasoning += piece.reasoning
        read.refusal += piece.refusal
        read.end = piece.finish_reason or read.end
        for call in piece.tool_calls:
            read.call(*call)
        if isinstance(piece.logprobs, dict):
            read.logprobs += piece.logprobs.get("content") or []
        if piece.usage is not None:
            usage = piece.usage
            read.usage = (
                usage.prompt_tokens,
                usage.completion_tokens,
                usage.total_tokens,
                usage.cached_tokens,
                usage.cache_write_tokens,
                usage.reasoning_tokens,
            )
    return asked_of(rig.upstream.asked) | read.as_dict()


async def litellms(rig: Rig, provider: str, name: str, *, stream: bool) -> dict[str, Any]:
    """What `litellm.acompletion` sends and reads, of the request as it is adapted to the model."""
    shape = SHAPES[name]
    engine = rig.engine(provider, shape.models[provider])
    deployment = next(iter(engine.deployments.values()))
    rig.upstream.asked, rig.upstream.answer = [], shape.answer
    read = Read()
    params = dict(copy.deepcopy(dict(shape.params)))
    engine.adapt(deployment, deployment.model, copy.deepcopy(list(shape.messages)), params)
    if stream:
        params |= {"stream": True, "stream_options": {"include_usage": True}}
    info = engine._catalog._entries[deployment.id]["model_info"]
    answer: Any = await litellm.acompletion(
        **engine.params_of(deployment),
        **params,
        model_info=info,
        drop_params=True,
        max_retries=0,
        _skip_mcp_handler=True,
    )
    chunks = [chunk async for chunk in answer] if stream else [answer]
    for chunk in chunks:
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            read.usage = litellm_usage(usage)
        if not chunk.choices:
            continue
        choice = chunk.choices[0]
        said = choice.delta if stream else choice.message
        read.text += said.content or ""
        read.reasoning += getattr(said, "reasoning_content", None) or ""
        specific = getattr(said, "provider_specific_fields", None) or {}
        read.refusal += getattr(said, "refusal", None) or specific.get("refusal") or ""
        read.end = choice.finish_reason or read.end
        for call in said.tool_calls or ():
            index = getattr(call, "index", None)
            read.call(index, call.id, call.function.name, call.function.arguments or "")
        logprobs = getattr(choice, "logprobs", None)
        if logprobs is not None:
            plain = logprobs if isinstance(logprobs, dict) else logprobs.model_dump()
            read.logprobs += plain.get("content") or []
    return asked_of(rig.upstream.asked) | read.as_dict()


def litellm_usage(usage: Any) -> tuple[int, ...]:
    asked, answered = usage.prompt_tokens_details, usage.completion_tokens_details
    return (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        getattr(asked, "cached_tokens", None) or 0,
        getattr(asked, "cache_creation_tokens", None) or 0,
        getattr(answered, "reasoning_tokens", None) or 0,
    )


@pytest.mark.full(one_of=2)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("name", SHAPES)
async def test_requests_and_answers_equal_completions(
    rig: Rig, name: str, provider: str, stream: bool
) -> None:
    """The body, the headers that matter, and everything that is read of the answer."""
    theirs = await litellms(rig, provider, name, stream=stream)
    mine = await ours(rig, provider, name, stream=stream)
    assert await ours(rig, provider, name, stream=stream) == mine  # what is remembered is the same
    differing = {
        member: (mine.get(member), theirs.get(member))
        for member in mine.keys() | theirs.keys()
        if mine.get(member) != theirs.get(member)
    }
    way = "stream" if stream else "whole"
    wanted = {d.where for d in DIFFERENCES.get((name, provider), ()) if d.only in (None, way)}
    unwanted = {
        where: differing.get(where, "no longer differs") for where in differing.keys() ^ wanted
    }
    assert not unwanted, f"{name}, {provider}, {way}: ours against LiteLLM's: {unwanted}"
