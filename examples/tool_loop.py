"""A complete tool loop: the model asks, the program answers, the model concludes.

It is the same for all providers, and the conversation survives a failover in its midst: what one
provider's model asked for, another's can conclude.
"""

import asyncio
import json
from typing import Any

from _offline import configured

from llm_unified import LLMResponse, ToolCall, UnifiedLLMService

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
GET_WEATHER = {
    "name": "get_weather",
    "description": "Get the current weather in a city",
    "parameters": CITY,
}
TOOLS = [{"type": "function", "function": GET_WEATHER}]


def get_weather(city: str) -> dict[str, Any]:
    return {"city": city, "weather": "sunny", "celsius": 21}


def run(call: ToolCall) -> str:
    """What the model reads; a mistake of its own, too, so that it can mend it."""
    try:
        return json.dumps({"get_weather": get_weather}[call.name](**call.arguments))
    except (KeyError, TypeError) as error:
        return f"error: {error!r}"


async def converse(service: UnifiedLLMService, question: str, **options: Any) -> LLMResponse:
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    while True:
        response = await service.generate_response_async(messages, tools=TOOLS, **options)
        if not response.tool_calls:
            return response
        messages.append(response.message)  # thinking included, for whoever can read it
        for call in response.tool_calls:
            print(f"{response.provider} asks for {call.name}({call.arguments})")
            messages.append({"role": "tool", "tool_call_id": call.id, "content": run(call)})


async def main() -> None:
    async with UnifiedLLMService() as service:
        answer = await converse(service, "What is the weather in Rome?")
        print(f"{answer.provider} concludes: {answer.content}")


if __name__ == "__main__":
    with configured():
        asyncio.run(main())
