"""Chains of several models: populations on one pool, models that take turns."""
