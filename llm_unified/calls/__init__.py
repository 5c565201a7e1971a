"""One call along its chain of providers.

`request` is what is asked, `chain` asks provider after provider, `attempt` is one of these, settled exactly
once, `stream` one that answers in pieces, `answer` and `vectors` make the result, `dispatcher` is what all
calls of a service share, `ping` the smallest call.
"""
