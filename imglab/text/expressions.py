"""Regular expressions that a config brings, searched for no longer than a text is worth."""

from __future__ import annotations

import re
import time

import regex

from imglab.errors import InputError, Problem

SECONDS = 5.0
"""Processor time that the config's expressions may take, and as much again for every million
characters: some expressions would search for years."""


class Expression:
    """A regular expression of the config, which is given up if it takes too long."""

    def __init__(self, expression: str, key: str, example: str, size: int) -> None:
        """Compile it; InputError, at its key, if it is none. `size` of the text in characters.

        It is compiled only now: some take a tenth of a second, and a schema must be quick.
        """
        self._where = f"modality.source.{key}"
        self._expression = expression
        try:
            re.compile(expression)
            self._pattern = regex.compile(expression, cache_pattern=False)
        except (re.error, regex.error, RecursionError, OverflowError) as error:
            what = f"{expression!r} is not a regular expression: {error}"
            raise InputError(Problem(self._where, what, f"e.g. {example}")) from error
        self._end = time.process_time() + SECONDS * (1 + size / 10**6)

    def matches(self, text: str) -> bool:
        """Say whether it matches in a text; InputError once it has taken too long."""
        left = self._end - time.process_time()
        try:
            if left > 0:
                return self._pattern.search(text, timeout=left) is not None
            raise TimeoutError
        except TimeoutError as error:
            what = f"{self._expression!r} takes too long on this text: it backtracks"
            remedy = "avoid repetitions within repetitions, such as (a+)+"
            raise InputError(Problem(self._where, what, remedy)) from error
