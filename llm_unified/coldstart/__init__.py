"""What makes a first call like the thousandth.

`rehearsal` walks LiteLLM's code path before anybody waits for it, `collector` keeps the garbage collector
away from its objects, `encoding` postpones a tokenizer that an ordinary call never uses.
"""
