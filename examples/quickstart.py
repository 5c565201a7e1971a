"""The shortest way: environment in, answer out.

OPENAI_API_KEY=… ANTHROPIC_API_KEY=… python examples/quickstart.py
"""

import asyncio

from _offline import configured

from llm_unified import UnifiedLLMClient, get_llm_service, get_llm_warmer

MESSAGES = [{"role": "user", "content": "What is the capital of France? One short sentence."}]


async def main() -> None:
    service = get_llm_service()  # one per process, built from the environment or a YAML file
    print("warm:", await service.warm_connections())

    response = await service.generate_response_async(
        messages=MESSAGES, temperature=0.7, max_tokens=300
    )
    print(response.content)
    tokens = response.usage.total_tokens if response.usage else "uncounted"
    print(f"by {response.provider} ({response.model}), {tokens} tokens")
    for attempt in response.attempts:  # who was asked, and what became of it
        print("  ", attempt)

    answer = await UnifiedLLMClient().generate_response(messages=MESSAGES)  # the same as a dict
    print(answer["content"])

    warmer = await get_llm_warmer()  # keeps idle connections alive, and finds out who is well
    await warmer.start()
    for provider, health in warmer.get_provider_health().items():
        print(f"{provider}: {health['status']}")
    await warmer.stop()

    print(service.get_stats()["stats"]["requests_by_provider"])
    await service.aclose()


if __name__ == "__main__":
    with configured():
        asyncio.run(main())
