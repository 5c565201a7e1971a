"""The pool: which deployments exist, whose turn it is, which of them cool down, here and in the fleet.

`deployments` makes them of the settings, `turns` orders them, `breaker` is the state of one endpoint or one
credential, `lease` is one attempt's claim on a deployment, `rotation` hands leases out, `fleet` shares
cooldowns over Redis.
"""
