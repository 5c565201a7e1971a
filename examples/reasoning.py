"""Reasoning: one wish for all providers, thinking that streams, and what each was sent in its stead.

`reasoning_effort` becomes OpenAI's and Groq's levels, Anthropic's budget or effort, or nothing where a model
does not reason. What was changed for whom stands in `attempt.adapted`.
"""

import asyncio
from typing import Any

from _offline import configured

from llm_unified import LLMResponse, UnifiedLLMService


async def think(service: UnifiedLLMService, messages: list[dict[str, Any]]) -> LLMResponse:
    stream = service.stream_response_async(
        messages, temperature=0.7, max_tokens=4000, reasoning_effort="low"
    )
    async with stream:
        async for chunk in stream:
            print(chunk.reasoning or chunk.content, end="", flush=True)
    print()
    assert stream.response is not None
    return stream.response


async def main() -> LLMResponse:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Is 9.11 more than 9.9?"}]
    async with UnifiedLLMService() as service:
        first = await think(service, messages)
        # Thinking goes back to whoever can read it, and to nobody else.
        messages += [first.message, {"role": "user", "content": "And 9.8?"}]
        second = await think(service, messages)
    for response in (first, second):
        for attempt in response.attempts:
            print(f"{attempt.provider}: {'; '.join(attempt.adapted) or 'sent as it is'}")
    return second


if __name__ == "__main__":
    with configured():
        asyncio.run(main())
