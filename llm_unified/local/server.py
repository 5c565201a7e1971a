"""The model's own process: started by ``runner``, ends when its standard input does.

Run by path, in isolation, so it imports nothing of this package. First line in: the order, as JSON.
First line out: ``{"address": …}`` or ``{"error": …}``. It never prints anything else.
"""

import json
import os
import signal
import sys
from typing import Any

# Conversations that may be answered at the same time; others wait their turn.
SLOTS = 2
# Tokens of one conversation, prompt and answer together. 4,096 of the 8,192 that the model can:
# the cache for both slots is reserved at once and takes 190 MB.
CONTEXT = 4096
# Tokens of an answer whose request sets no limit. So small a model often finds no end by itself.
LONGEST = 256
# Connections, not answers: each pooled idle one keeps a thread of llama.cpp's HTTP server.
HTTP_THREADS = 32
# Below the level of errors: they come back as HTTP answers.
SILENT = -1


def parameters(xllamacpp: Any, order: dict[str, Any]) -> Any:
    """Say to llama.cpp what we want: loopback only, a key, one CPU-bound model, no extras."""
    params = xllamacpp.CommonParams()
    params.verbosity = SILENT
    params.model.path = order["weights"]
    params.model_alias = {order["model"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # a free one
    params.api_keys = [order["api_key"]]
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT
    params.n_predict = LONGEST
    params.n_threads_http = HTTP_THREADS
    # More threads than free cores are ten times slower: they spin while they wait for each other.
    params.cpuparams.n_threads = order["threads"]
    params.cpuparams_batch.n_threads = order["threads"]
    params.n_gpu_layers = 0
    params.use_jinja = True
    params.chat_template = order["chat_template"]
    params.sampling.temp = 0.0  # unless the request says otherwise: the same question, one answer
    params.cache_ram_mib = 0  # otherwise up to 8 GiB of old prompts
    params.ui = False
    params.endpoint_slots = False
    params.offline = True
    return params


def main() -> None:  # pragma: no cover - measured nowhere, exercised by every test of the provider
    # Ctrl-C is for the application, which may want an answer still.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    sys.path[:] = order["sys_path"]  # the packages of whoever started us
    try:
        import xllamacpp

        server = xllamacpp.Server(parameters(xllamacpp, order))
        reply = {"address": server.listening_address}
    except Exception as error:  # noqa: BLE001 - whatever it is, the other side reports it
        reply = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()
    if "address" in reply:
        sys.stdin.read()  # until everybody who holds the other end is gone, however they went
    # At once: llama.cpp's destructors wait for answers that nobody will fetch.
    os._exit(0)


if __name__ == "__main__":
    main()
