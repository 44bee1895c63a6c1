"""The command line: a file for each group of commands."""

from imglab.cli.app import main

__all__ = ["main"]
