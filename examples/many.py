"""Many questions at once: order kept, failures as values, a progress bar where a person looks."""

import asyncio

from _offline import configured

from llm_unified import LLMError, UnifiedLLMService

WORDS = ["house", "tree", "river", "bread", "moon", "stone", "bird", "ship", "rain", "bridge"]


async def main() -> int:
    """Translate; the number of words that nobody translated."""
    prompt = "Translate to French, answer with the word only: "
    conversations = [[{"role": "user", "content": prompt + word}] for word in WORDS]
    async with UnifiedLLMService() as service:
        results = await service.generate_many_async(
            conversations, concurrency=4, progress=True, max_tokens=300, deadline=60.0
        )
    failed = 0
    for word, result in zip(WORDS, results, strict=True):
        if isinstance(result, LLMError):
            failed += 1
            print(f"{word:8} failed: {result}")
        else:
            print(f"{word:8} {result.content}")
    cost = sum(r.cost_usd or 0.0 for r in results if not isinstance(r, LLMError))
    print(f"{len(results) - failed} of {len(results)} translated, ${cost:.6f}")
    return failed


if __name__ == "__main__":
    with configured():
        raise SystemExit(1 if asyncio.run(main()) else 0)
