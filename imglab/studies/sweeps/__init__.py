"""Sweeps: arms times seeds, each a run of its own, a real-only control, and what the seeds show."""
