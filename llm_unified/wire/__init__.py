"""Sockets, and the event loops they belong to.

`transport` is one pool copy's wire, `connections` keeps the copies' clients, `loops` ends things with their
event loop, `background` is the loop of the synchronous API, `tidy` leaves nothing behind.
"""
