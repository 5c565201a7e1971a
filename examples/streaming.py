"""An answer as it arrives, tool calls in pieces, and a stream that breaks."""

import asyncio
from typing import Any

from _offline import configured
from tool_loop import TOOLS

from llm_unified import StreamInterruptedError, UnifiedLLMService


async def show(service: UnifiedLLMService, question: str, **options: Any) -> None:
    messages = [{"role": "user", "content": question}]
    stream = service.stream_response_async(messages, **options)
    try:
        async with stream:  # leaving early closes the connection at once
            async for chunk in stream:
                print(chunk.content, end="", flush=True)
                for delta in chunk.tool_calls:  # the name comes first, then the arguments
                    start = f"[{delta.index}] {delta.name} " if delta.name else ""
                    print(start + delta.arguments, end="", flush=True)
    except StreamInterruptedError as error:
        # Before the first content the next provider would have answered. Now the reader has seen
        # the beginning of an answer, and another model would not continue it: ask anew, or stop.
        print(f"\n-- broken off ({error.kind}) after {len(error.partial_text)} characters")
        return
    response = stream.response  # the whole answer, as from generate_response_async
    if response is not None:
        tokens = response.usage.completion_tokens if response.usage else "uncounted"
        print(f"\n-- {response.provider}, {tokens} tokens", end="")
        print("".join(f", {call.name}({call.arguments})" for call in response.tool_calls))


async def main() -> None:
    async with UnifiedLLMService() as service:
        await show(service, "Tell me in two sentences why the sky is blue.", max_tokens=500)
        await show(service, "What is the weather in Rome?", tools=TOOLS)


if __name__ == "__main__":
    with configured():
        asyncio.run(main())
