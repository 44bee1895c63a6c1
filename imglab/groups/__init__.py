"""Groups of real samples that are no classes, and how many samples each has."""

from imglab.groups.ability import Grouped, Groups

__all__ = ["Grouped", "Groups"]
