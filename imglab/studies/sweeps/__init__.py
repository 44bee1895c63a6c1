"""Sweeps: arms times seeds, each a run of its own, with a real-only control and what the seeds can tell apart."""
