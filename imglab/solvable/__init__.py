"""Chains that are solved exactly, and their closed forms."""
