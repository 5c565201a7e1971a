"""Which text is nearest in meaning? Vectors with failover that never mixes two models' spaces.

OpenAI and Azure OpenAI have embeddings; at Azure, name a deployment like its model.
"""

import asyncio
import math
import sys

from _offline import configured

from llm_unified import ConfigurationError, UnifiedLLMService

TEXTS = ["The cat sleeps on the sofa.", "Shares fell sharply today.", "A kitten naps on a cushion."]
QUESTION = "Where does the pet rest?"


def cosine(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (math.hypot(*a) * math.hypot(*b))


async def main() -> int:
    async with UnifiedLLMService() as service:
        try:
            found = await service.embed_async([QUESTION, *TEXTS], model="text-embedding-3-small")
        except ConfigurationError as error:  # nobody in the chain offers embeddings
            print(error, file=sys.stderr)
            return 2
    question, *vectors = found.vectors
    print(f"{found.provider}, {found.model}: {len(question)} dimensions, {found.usage}")
    nearness = [
        (cosine(question, vector), text) for text, vector in zip(TEXTS, vectors, strict=True)
    ]
    for score, text in sorted(nearness, reverse=True):
        print(f"{score:+.3f}  {text}")
    return 0


if __name__ == "__main__":
    with configured():
        raise SystemExit(asyncio.run(main()))
