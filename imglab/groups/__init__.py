"""Groups of real samples that are no classes: which they are, and how many samples of each."""

from imglab.groups.ability import Grouped, Groups

__all__ = ["Grouped", "Groups"]
