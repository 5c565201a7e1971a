"""What happened: counters (`stats`), how providers are (`health`), and exporters
(`prometheus`, `opentelemetry`). Fed by the attempts that a service publishes.
"""
