"""Scaling: how an error falls with size, on real, synthetic and mixed data."""
