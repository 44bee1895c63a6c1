"""The version of imglab."""

__version__ = "0.1.0"
