"""The only door to LiteLLM: its Router, and its translations below `completion()`.

`engine` is the door; `router` walks the fallbacks, `translate` makes requests; `openai_wire`, `reading` and
`objects` read answers into `pieces`, `usage` reads the counts, `prices` reckons; `classic` (with `bridge`) goes through `completion()` where nothing
else serves, `imports` loads LiteLLM with its switches set.
"""
