"""Draws from K categories, of which the rare ones die first."""
