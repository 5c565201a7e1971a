"""Without a line of asyncio: one service for all threads, with failover, pool and streams."""

from concurrent.futures import ThreadPoolExecutor

from _offline import configured

from llm_unified import LLMResponse, UnifiedLLMService

QUESTIONS = [
    f"What is the capital of {country}? One short sentence."
    for country in ("France", "Japan", "Kenya", "Peru", "Norway", "India")
]


def main() -> None:
    with UnifiedLLMService() as service:

        def ask(question: str) -> LLMResponse:
            return service.generate_response(
                [{"role": "user", "content": question}], max_tokens=300
            )

        with ThreadPoolExecutor(max_workers=4) as threads:
            for question, response in zip(QUESTIONS, threads.map(ask, QUESTIONS), strict=True):
                copy = response.attempts[-1].deployment  # taken in turn
                print(f"{copy:14} {question}\n{'':14} {response.content}")

        with service.stream_response([{"role": "user", "content": "Count to three."}]) as stream:
            for chunk in stream:
                print(chunk.content, end="", flush=True)
        print()


if __name__ == "__main__":
    with configured():
        main()
