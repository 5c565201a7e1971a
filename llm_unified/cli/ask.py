"""``llm-unified ask``: one question, streamed."""

from __future__ import annotations

import asyncio
import io
import json
import os
import select
import stat
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_unified.cli.load import chosen, loaded
from llm_unified.cli.output import WrongInputError, milliseconds
from llm_unified.service import UnifiedLLMService

if TYPE_CHECKING:
    from llm_unified.cli.output import Output
    from llm_unified.response import LLMResponse
    from llm_unified.settings import Settings

__all__ = ["run"]


def run(
    out: Output,
    config: str | None,
    *,
    prompt: tuple[str, ...],
    provider: str | None,
    model: str | None,
    system: str | None,
    schema: str | None,
    temperature: float | None,
    max_tokens: int | None,
    no_fallback: bool,
    quiet: bool,
) -> int:
    """Ask, print what comes, say who it was."""
    question = _question(prompt)
    if prompt and "-" not in prompt and _stdin_waits():
        out.note("llm-unified: standard input was not read; add - to read it")
    shape = None if schema is None else _schema(schema)
    if schema is not None:
        out.spelled["response_format"] = f"--schema {schema}"
    settings = loaded(out, config)
    if provider:
        chosen(settings, [provider])
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    call: dict[str, Any] = {
        "messages": messages,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "provider": provider,
        "model": model,
        "fallback": not no_fallback,
        "response_format": shape,
    }
    whole = out.as_json or shape is not None  # shown once it is known to be whole
    with ExitStack() as waiting:
        waiting.enter_context(out.progress(f"asking {provider or settings.chain[0]}"))
        response = asyncio.run(_asked(settings, call, out, waiting, whole=whole))
    if out.as_json:
        out.data(_as_data(response))
        return 0
    if shape is not None:
        out.data(response.parsed)
    if not quiet:
        for attempt in response.attempts[:-1]:
            out.note(f"-- {attempt}")
        out.note(f"-- {_signature(response)}")
    return 0


async def _asked(
    settings: Settings, call: dict[str, Any], out: Output, waiting: ExitStack, *, whole: bool
) -> LLMResponse:
    async with UnifiedLLMService(settings) as service:
        if whole:
            return await service.generate_response_async(**call)
        text = ""
        async with service.stream_response_async(**call) as stream:
            try:
                async for chunk in stream:
                    waiting.close()
                    out.write(chunk.content)
                    text += chunk.content
            finally:
                if text and not text.endswith("\n"):
                    out.write("\n")
        if stream.response is None:  # pragma: no cover - a stream that ends well has its response
            raise RuntimeError("the stream ended without a response")
        return stream.response


def _question(words: tuple[str, ...]) -> str:
    if not words:
        if sys.stdin.isatty():
            raise WrongInputError('what is the question? `llm-unified ask "Why is the sky blue?"`')
        words = ("-",)
    piped = sys.stdin.read().strip() if "-" in words else ""
    text = " ".join(piped if word == "-" else word for word in words).strip()
    if not text:
        raise WrongInputError("the question is empty; standard input had nothing.")
    return text


def _stdin_waits() -> bool:
    """Whether something was piped in. Never waits for it."""
    if sys.platform == "win32":  # pragma: no cover - select knows sockets only
        return False
    try:
        kind = os.fstat(sys.stdin.fileno()).st_mode
        piped = stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)
        if not piped or not select.select([sys.stdin], [], [], 0)[0]:
            return False
        source = sys.stdin.buffer
        return isinstance(source, io.BufferedReader) and bool(source.peek(1))  # b"": its end
    except (AttributeError, OSError, ValueError):  # closed, or no file at all
        return False


def _schema(path: str) -> dict[str, Any]:
    try:
        schema = json.loads(Path(path).expanduser().read_text("utf-8"))
    except OSError as error:
        raise WrongInputError(f"--schema {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise WrongInputError(f"--schema {path}: not a text in UTF-8.") from None
    except ValueError as error:
        raise WrongInputError(f"--schema {path}: not JSON: {error}.") from None
    if not isinstance(schema, dict):
        raise WrongInputError(f'--schema {path}: must be an object, as in {{"type": "object", …}}.')
    return schema


def _signature(response: LLMResponse) -> str:
    last = response.attempts[-1]
    parts = [
        response.provider,
        response.model,
        milliseconds(sum(attempt.seconds for attempt in response.attempts)),
    ]
    if last.first_token_seconds is not None:
        parts.append(f"first token {milliseconds(last.first_token_seconds)}")
    if usage := response.usage:
        parts.append(f"{usage.prompt_tokens} + {usage.completion_tokens} tokens")
    if response.cost_usd is not None:
        parts.append(f"${response.cost_usd:.6f}")
    return " · ".join(parts)


def _as_data(response: LLMResponse) -> dict[str, Any]:
    return {
        "ok": True,
        "content": response.content,
        "parsed": response.parsed,
        "provider": response.provider,
        "model": response.model,
        "finish_reason": response.finish_reason,
        "usage": response.usage.as_dict() if response.usage else None,
        "cost_usd": response.cost_usd,
        "attempts": [asdict(attempt) for attempt in response.attempts],
    }
