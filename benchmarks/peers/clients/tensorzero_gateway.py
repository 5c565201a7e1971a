"""TensorZero's gateway inside of the process: Rust, without its database. Archived by its makers in 2026."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from . import KEY, MESSAGES, OPTIONS, Peer

CONFIGURATION = """
[gateway]
observability.enabled = false

[models.chat]
routing = ["first", "second"]

[models.chat.providers.first]
type = "openai"
model_name = "gpt-4.1-mini"
api_base = "{root}/flaky/v1"
api_key_location = "env::OPENAI_API_KEY"

[models.chat.providers.second]
type = "openai"
model_name = "gpt-4.1-mini"
api_base = "{root}/v1"
api_key_location = "env::OPENAI_API_KEY"
"""


def make(root: str, variant: str) -> Peer:
    return TensorZero(root)


class TensorZero:
    def __init__(self, root: str) -> None:
        os.environ.update(OPENAI_API_KEY=KEY, RUST_LOG="off")  # else it writes at each failure
        import tensorzero

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "tensorzero.toml")
            file.write_text(CONFIGURATION.format(root=root), "utf-8")
            build: Any = tensorzero.AsyncTensorZeroGateway.build_embedded
            self._gateway: Any = build(config_file=str(file), async_setup=False)
        self._request: dict[str, Any] = {
            "model_name": "chat",
            "input": {"messages": MESSAGES},
            "params": {"chat_completion": OPTIONS},
        }

    async def call(self) -> str | None:
        found: str = (await self._gateway.inference(**self._request)).content[0].text
        return found

    async def stream(self) -> AsyncIterator[str | None]:
        async for chunk in await self._gateway.inference(**self._request, stream=True):
            for part in chunk.content:
                yield part.text

    async def close(self) -> None:
        await self._gateway.close()
