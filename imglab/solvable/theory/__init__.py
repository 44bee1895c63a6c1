"""Closed forms that chains are checked against."""
