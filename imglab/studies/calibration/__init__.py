"""Calibration: what every metric says of known damage done to real data."""
