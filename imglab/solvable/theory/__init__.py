"""The closed forms, and what they predict for a config."""
