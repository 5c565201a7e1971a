"""Bytes in, facts out: HTTP over aiohttp's connection pool, and nothing that is foreign goes further.

`transport` sends a request over a deployment's own connections and gives a `reply.Reply`; what the wire saw
of an attempt is in its `exchange.Exchange`. `body` undoes content encodings under limits, `sse` reads event
streams, `sockets` and `connector` make connections and decide whether one may be used again, `abandon`
drops those of an event loop that is gone. `connections` keeps the pools by event loop, `loops` ends things
with their loop, `background` is the loop of the synchronous API, `threads` runs what blocks.
"""
