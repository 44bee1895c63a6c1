"""Chains of more than one model: populations that share a pool, and models that take turns."""
