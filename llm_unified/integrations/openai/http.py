"""The HTTP library that the installed SDK is made with: httpx up to 2.x, httpx2 from 3.0 on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import openai

__all__ = ["http"]

if TYPE_CHECKING:  # the two have one interface
    import httpx as http
else:
    http = import_module(openai.DefaultHttpxClient.__base__.__module__.partition(".")[0])
