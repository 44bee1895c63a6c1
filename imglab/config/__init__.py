"""From YAML to a validated config. Nothing here imports torch."""
