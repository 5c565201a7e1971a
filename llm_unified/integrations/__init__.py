"""Adapters: this library where a framework expects its own model or client.

One module per framework, each optional: nothing here is imported by the rest of the library, and a module
imports its framework, so import it only where that is installed.
"""
