"""Code of an application that was written for the old modules; see the README beside it."""

import asyncio
import json

from services.llm.connection_warmer import get_llm_warmer
from services.llm.unified_llm_client import UnifiedLLMClient
from services.llm.unified_llm_service import get_llm_service

MESSAGES = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


async def ask_the_service() -> None:
    service = get_llm_service()
    response = await service.generate_response_async(
        messages=MESSAGES, temperature=0.7, max_tokens=100
    )
    print("service:", response.content, "|", response.provider, "|", response.model)
    print("tool calls of a plain answer:", "tool_calls" in response.raw_response)

    response = await service.generate_response_async(
        messages=MESSAGES, temperature=0.7, max_tokens=100, tools=TOOLS
    )
    for call in response.raw_response.get("tool_calls", []):
        same = call["arguments"] == call["function"]["arguments"]
        print("tool call:", call["type"], call["name"], json.loads(call["arguments"]), same)

    stats = service.get_stats()
    print("primary:", stats["primary_provider"], "then", stats["fallback_providers"])
    print("pool size:", stats["pool_size"])
    counted = stats["stats"]
    print("requests:", counted["total_requests"], counted["requests_by_provider"])
    print("errors:", counted["errors_by_provider"], "fallbacks:", counted["fallback_count"])


async def ask_the_client() -> None:
    client = UnifiedLLMClient()
    answer = await client.generate_response(messages=MESSAGES)
    print("client:", answer["content"], "|", answer["provider"], "|", answer["model"])
    print("finished:", answer["finish_reason"], "| tokens:", answer["usage"]["total_tokens"])

    positional = await client.generate_response(MESSAGES, 0.7, 100, TOOLS)
    print("client's tool calls:", [call["name"] for call in positional.get("tool_calls", [])])


async def keep_warm() -> None:
    print("warm:", await get_llm_service().warm_connections())
    warmer = await get_llm_warmer()
    await warmer.start()
    try:
        print("warmer:", type(warmer.get_stats()).__name__)
        for provider, health in warmer.get_provider_health().items():
            print("health:", provider, sorted(health))
    finally:
        await warmer.stop()


async def main() -> None:
    await ask_the_service()
    await ask_the_client()
    await keep_warm()


if __name__ == "__main__":
    asyncio.run(main())
