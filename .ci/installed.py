"""What a stranger does with the wheel: import all of it, type its command, make calls.

Run by .ci/package.py in a fresh environment, and by tests/test_packaging.py. Its argument says what is
installed: `service` with the extras of requirements/runtime.txt, `core` without any.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import llm_unified
from llm_unified.testing import Simulator, faults

OPTIONAL = ("rich", "redis", "prometheus_client", "opentelemetry", "watchfiles")
NEEDS_A_FRAMEWORK = "llm_unified.integrations."  # each imports the package that it adapts to
MESSAGES = [{"role": "user", "content": "Hello"}]


def main(what: str) -> None:
    here = Path(llm_unified.__file__).parent
    assert here.is_relative_to(Path(sys.prefix).resolve()), f"not the installed one: {here}"
    assert (here / "py.typed").exists()
    files = distribution("llm-unified")
    assert files.version == llm_unified.__version__
    there = [name for name in OPTIONAL if find_spec(name)]
    assert there == ([] if what == "core" else list(OPTIONAL)), there

    absent = {name for name in (*OPTIONAL, "pytest") if find_spec(name) is None}
    for module in pkgutil.walk_packages([str(here)], "llm_unified."):
        if module.name.startswith(NEEDS_A_FRAMEWORK) or module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if str(error.name).partition(".")[0] not in absent:
                raise

    command = Path(sys.executable).with_name("llm-unified")
    said = subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout
    assert said.startswith(f"llm-unified {llm_unified.__version__} (LiteLLM 1."), said

    with Simulator() as simulator:
        environ = simulator.environ("openai", "groq")
        said = subprocess.run(
            [command, "check"], env=environ, check=True, capture_output=True, text=True
        ).stdout
        assert "openai" in said, said
        simulator.openai.script(faults.status(500))
        asyncio.run(called(llm_unified.load_settings(environ)))
    print(f"installed: {files.version}, {what}: imports, command, failover and stream work")


async def called(settings: llm_unified.Settings) -> None:
    async with llm_unified.UnifiedLLMService(settings) as service:
        answer = await service.generate_response_async(MESSAGES)
        assert (answer.provider, len(answer.attempts)) == ("groq", 2), answer
        async with service.stream_response_async(MESSAGES) as stream:
            assert "".join([chunk.content async for chunk in stream])


if __name__ == "__main__":
    main(sys.argv[1])
