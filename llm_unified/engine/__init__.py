"""The only door to LiteLLM: its Router, and its translations below `completion()`.

`engine` is the door; `router` walks the fallbacks; `translate` (with `plain`, `responses`) makes a `prepared`
request; `openai_wire`, `reading`, `objects` and `usage` read answers into `pieces`; `prices` reckons; `classic`
(with `bridge`) goes through `completion()` where nothing else serves; `imports` loads LiteLLM with its switches
set.
"""
