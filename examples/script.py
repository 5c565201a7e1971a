"""One question on standard input, one answer on standard output; for shell pipelines.

    git diff | python examples/script.py Write a commit message for this change:

Exit code 0: answered; 1: nobody answered; 2: the configuration or the request is wrong.
"""

import sys

from _offline import configured

from llm_unified import BadRequestError, ConfigurationError, LLMError, UnifiedLLMService


def main(instruction: str, text: str) -> int:
    prompt = f"{instruction}\n\n{text}".strip()
    try:
        with UnifiedLLMService() as service:
            response = service.generate_response([{"role": "user", "content": prompt}])
    except (ConfigurationError, BadRequestError) as error:
        print(error, file=sys.stderr)
        return 2
    except LLMError as error:
        print(error, *error.attempts, sep="\n  ", file=sys.stderr)
        return 1
    print(response.content)
    return 0


if __name__ == "__main__":
    piped = "" if sys.stdin.isatty() else sys.stdin.read()
    with configured():
        sys.exit(main(" ".join(sys.argv[1:]), piped))
