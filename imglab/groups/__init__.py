"""Groups of real samples that are no classes, and how large each is."""

from imglab.groups.ability import Grouped, Groups

__all__ = ["Grouped", "Groups"]
