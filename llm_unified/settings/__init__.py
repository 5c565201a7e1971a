"""Environment and YAML → one frozen `Settings`.

`model` declares every setting once, from `kinds`; `options` are tables read off it. `sources` and `yamlfile` read,
`candidates` looks at provider by provider, `assembly` puts it together, `explain` words what is wrong, `values` is
what comes of it, `load` does all this. `schema` prints what editors go by.
"""

from llm_unified.settings.load import inspect_settings, load_settings
from llm_unified.settings.values import (
    DeploymentSettings,
    ProviderSettings,
    Settings,
    fingerprint,
)

__all__ = [
    "DeploymentSettings",
    "ProviderSettings",
    "Settings",
    "fingerprint",
    "inspect_settings",
    "load_settings",
]
