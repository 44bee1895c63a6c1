"""People's folders: which files are meant, as what, and what was left out.

It is read without torch. Images, captions and texts are listed here, and nowhere else: `list_tree`
passes over what systems leave behind, `read_layout` finds splits and classes, and `Summary` says
what was found.
"""

from imglab.reading.class_folders import annotations_of, composed
from imglab.reading.kinds import kind_of_files
from imglab.reading.layout import read_layout
from imglab.reading.partners import partners
from imglab.reading.parts import Layout, Part
from imglab.reading.problems import Failure, as_problems
from imglab.reading.row_splits import (
    divided,
    note_on_others,
    split_column,
    split_columns,
    split_of_cell,
)
from imglab.reading.split_files import split_by_files
from imglab.reading.splits import split_role
from imglab.reading.summary import LeftOut, Summary, by_suffix
from imglab.reading.tables import DELIMITERS, Columns, delimiter_of, has_words, without_hint
from imglab.reading.tree import Tree, is_system, list_tree

__all__ = [
    "DELIMITERS",
    "Columns",
    "Failure",
    "Layout",
    "LeftOut",
    "Part",
    "Summary",
    "Tree",
    "annotations_of",
    "as_problems",
    "by_suffix",
    "composed",
    "delimiter_of",
    "divided",
    "has_words",
    "is_system",
    "kind_of_files",
    "list_tree",
    "note_on_others",
    "partners",
    "read_layout",
    "split_by_files",
    "split_column",
    "split_columns",
    "split_of_cell",
    "split_role",
    "without_hint",
]
