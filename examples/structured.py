"""Structured answers: a pydantic model in, an instance of it out, by the means each provider has.

An answer that does not fit is no answer: the next provider is asked.
"""

import asyncio

from _offline import configured
from pydantic import BaseModel, Field

from llm_unified import UnifiedLLMService


class City(BaseModel):
    """A city, as an encyclopaedia has it."""

    name: str
    country: str
    landmarks: list[str] = Field(description="at most three")


async def main() -> City:
    async with UnifiedLLMService() as service:
        response = await service.generate_response_async(
            [{"role": "user", "content": "Describe Paris, France, as JSON."}],
            response_format=City,
            max_tokens=500,
        )
    city: City = response.parsed
    print(f"{response.provider}: {city!r}")
    return city


if __name__ == "__main__":
    with configured():
        asyncio.run(main())
