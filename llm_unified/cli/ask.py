"""``llm-unified ask``: one question, streamed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_unified.cli.load import chosen, loaded
from llm_unified.cli.output import WrongInputError, milliseconds
from llm_unified.cli.words import in_words_of
from llm_unified.service import UnifiedLLMService

if TYPE_CHECKING:
    import argparse

    from llm_unified.cli.output import Output
    from llm_unified.response import LLMResponse

__all__ = ["run"]


def run(options: argparse.Namespace, out: Output) -> int:
    """Ask, print what comes, say who it was."""
    prompt = _prompt(options.prompt)
    if "-" not in options.prompt and options.prompt and _stdin_waits():
        out.note("llm-unified: standard input was not read; add - to read it")
    schema = _schema(options.schema)
    settings = loaded(options, out)
    if options.provider:
        chosen(settings, [options.provider])
    messages = [{"role": "system", "content": options.system}] if options.system else []
    messages.append({"role": "user", "content": prompt})
    arguments: dict[str, Any] = {
        "messages": messages,
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
        "provider": options.provider,
        "model": options.model,
        "fallback": not options.no_fallback,
        "response_format": schema,
    }
    service = UnifiedLLMService(settings)
    quietly = out.as_json or schema is not None  # the answer is shown once it is known to be whole
    response = asyncio.run(_asked(service, arguments, out, quietly=quietly))
    if out.as_json:
        out.data(_as_data(response))
        return 0
    if schema is not None:
        out.line(json.dumps(response.parsed, indent=2, ensure_ascii=False))
    if not options.quiet:
        for attempt in response.attempts[:-1]:
            out.note(f"-- {in_words_of(options, str(attempt))}")
        out.note(f"-- {_signature(response)}")
    return 0


async def _asked(
    service: UnifiedLLMService, arguments: dict[str, Any], out: Output, *, quietly: bool
) -> LLMResponse:
    async with service:
        if quietly:
            return await service.generate_response_async(**arguments)
        text = ""
        async with service.stream_response_async(**arguments) as stream:
            try:
                async for chunk in stream:
                    out.write(chunk.content)
                    text += chunk.content
            finally:
                if text and not text.endswith("\n"):
                    out.write("\n")
        if stream.response is None:  # pragma: no cover - a stream that ends well has its response
            raise RuntimeError("the stream ended without a response")
        return stream.response


def _prompt(words: list[str]) -> str:
    if not words:
        if sys.stdin.isatty():
            raise WrongInputError('what is the question? `llm-unified ask "Why is the sky blue?"`')
        words = ["-"]
    piped = sys.stdin.read().strip() if "-" in words else ""
    text = " ".join(piped if word == "-" else word for word in words).strip()
    if not text:
        raise WrongInputError("the question is empty; standard input had nothing.")
    return text


def _stdin_waits() -> bool:
    """Whether something was piped in. Never waits for it."""
    if sys.platform == "win32":  # pragma: no cover
        return False
    import fcntl
    import select
    import stat
    import termios

    try:
        number = sys.stdin.fileno()
        kind = os.fstat(number).st_mode
        if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
            return False
        if not select.select([number], [], [], 0)[0]:
            return False
        waiting = fcntl.ioctl(number, termios.FIONREAD, b"\0" * 4)  # at the end of a pipe: 0 bytes
    except (AttributeError, OSError, ValueError):  # closed, or no file at all
        return False
    return any(waiting)


def _schema(path: str | None) -> dict[str, Any] | None:
    if path is None:
        return None
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
    if response.usage.total_tokens:
        usage = response.usage
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
        "usage": response.usage.as_dict(),
        "cost_usd": response.cost_usd,
        "attempts": [asdict(attempt) for attempt in response.attempts],
    }
