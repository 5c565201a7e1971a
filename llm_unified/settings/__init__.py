"""Environment and YAML → one frozen `Settings`.

`model` is the value, `options` the table of everything that can be set; `sources` and `configfile` read,
`candidates` decides provider by provider, `assembly` puts it together, `schema` tells editors.
"""

from llm_unified.settings.model import (
    DeploymentSettings,
    ProviderSettings,
    Settings,
    fingerprint,
    inspect_settings,
    load_settings,
)

__all__ = [
    "DeploymentSettings",
    "ProviderSettings",
    "Settings",
    "fingerprint",
    "inspect_settings",
    "load_settings",
]
