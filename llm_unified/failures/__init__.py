"""What a failure is, and what follows from it. Pure: facts in, a `Failure` out.

`table` says what follows from each kind, `classify` names the kind, `vendors` holds what each vendor is
known to say (rows with sources), `envelope` reads a vendor's error body, `retry_after` its wish to be left
alone.
"""
