"""How what lies in a run directory shows itself in a notebook, without knowing the report.

Jupyter and other front ends ask the last value of a cell for `_repr_html_`. A run, a generation and
their like answer with a page or a table that only the report can make, and the report lies above
them. So they inherit `HasView`, which finds the view by the name of the class, and the package's
`__init__`, which lies above everything, says once where all views are. They are loaded when the
first one is asked for: nothing of the report is imported before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

View = Callable[[Any], str]
"""Makes the HTML that shows a value."""

_load: Callable[[], Mapping[str, View]] = dict


def provide_views(load: Callable[[], Mapping[str, View]]) -> None:
    """Let `load` give all views, by the names of their classes, when the first one is needed."""
    global _load
    _load = load


class HasView:
    """A base class for what a notebook shows as HTML."""

    def _repr_html_(self) -> str | None:
        """Return the view of the class or of its nearest base class.

        None if there is no view: then a notebook shows the value's `repr`.
        """
        views = _load()
        for kind in type(self).__mro__:
            if kind.__name__ in views:
                return views[kind.__name__](self)
        return None
