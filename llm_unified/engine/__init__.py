"""The only door to LiteLLM: its Router, and its translations below `completion()`.

`engine` is the door; `router` walks the fallbacks, `translate` (with `plain`) makes requests; `prepared`, `reading`, `pieces`,
`objects` read answers, `prices` reckons, `classic` (with `bridge`) goes through `completion()` where nothing
else serves, `imports` loads LiteLLM with its switches set.
"""
