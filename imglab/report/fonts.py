"""Fonts for the names in figures: what is installed, and what to write where none has a letter."""

from __future__ import annotations

from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.text import Text

from imglab.safe_text import one_line

DEFAULT = "DejaVu Sans"
"""The font that matplotlib brings along."""

PICTURES = ("Emoji", "LastResort", "Last Resort")
"""Fonts of pictures in colour, which matplotlib cannot draw, or of boxes."""


def can_be_drawn(name: str) -> bool:
    """Say whether some installed font has every character of a name."""
    return all(_family(character) is not None for character in one_line(name))


def legible(name: str, number: int) -> str:
    """Return a name as a figure shows it: itself or, where no font has its letters, its number.

    number  of the name among those of its table, from 1
    """
    if can_be_drawn(name):
        return one_line(name)
    return f"no. {number}"


def fit_fonts(figure: Figure) -> None:
    """Give each text of a figure the fonts that have its letters; escape what no font has."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        content = text.get_text()
        if content.isascii():
            continue

        families = {character: _family(character) for character in content}
        for character, family in families.items():
            if family is None:
                content = content.replace(character, ascii(character)[1:-1])
        others = dict.fromkeys(family for family in families.values() if family)
        if list(others) not in ([], [DEFAULT]):
            text.set_fontfamily([DEFAULT, *(family for family in others if family != DEFAULT)])
        text.set_text(content)


@cache
def _family(character: str) -> str | None:
    """Return the family of an installed font that has a character, matplotlib's own first."""
    if character in "\n\u200c\u200d":
        return DEFAULT
    for family, path in _fonts():
        try:
            if get_font(path).get_char_index(ord(character)):
                return family
        except (OSError, RuntimeError):  # a file that is no font, or one that FreeType cannot read
            continue
    return None


@cache
def _fonts() -> list[tuple[str, str]]:
    """Return family and path of one upright font of each installed family, the default first."""
    upright = {
        entry.name: entry.fname
        for entry in fontManager.ttflist
        if entry.style == "normal" and entry.weight in (400, "normal", "regular")
    }
    families = [name for name in upright if not any(word in name for word in PICTURES)]
    return [(name, upright[name]) for name in sorted(families, key=lambda name: name != DEFAULT)]
