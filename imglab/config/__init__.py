"""YAML to a validated config. Never imports torch."""
