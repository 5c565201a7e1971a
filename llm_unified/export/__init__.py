"""Pure: settings → what other programs read: a LiteLLM Proxy's ``config.yaml``, lines of environment.

No secret is in any of it. A key appears as the name of the variable that holds it.
"""

from llm_unified.export.environment import env_lines
from llm_unified.export.proxy import (
    MASTER_KEY,
    key_names,
    litellm_proxy,
    proxy_notes,
    render_proxy,
)

__all__ = ["MASTER_KEY", "env_lines", "key_names", "litellm_proxy", "proxy_notes", "render_proxy"]
