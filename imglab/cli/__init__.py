"""The command line: a file for each group of commands."""

from imglab.cli.app import main, program

__all__ = ["main", "program"]
