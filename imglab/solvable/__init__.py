"""Kinds of data whose chains are solved exactly, and their closed forms."""
