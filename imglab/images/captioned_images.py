"""The images of a folder, as rows of captions name them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from imglab.reading import Layout
from imglab.reading.names import NUMBERED


def _plain(name: str) -> str:
    """Return a name as all ways to write it have it: in one case, its accents composed."""
    return unicodedata.normalize("NFC", name).casefold()


class NoImage(ValueError):
    """A row names an image that the folder does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no image {name!r}")
        self.name = name


class CaptionedImages:
    """The images of a folder, as rows name them."""

    def __init__(self, layout: Layout) -> None:
        self.root = layout.tree.root
        others = set(layout.others)
        self._paths = {path for path in layout.tree.files if path not in others}
        self._by_name: dict[str, list[Path]] = {}
        for path in self._paths:
            for name in {_plain(path.name), _plain(path.stem)}:
                self._by_name.setdefault(name, []).append(path)

    def find(self, folder: Path, name: str) -> Path:
        """Return the image of this name; NoImage where there is none, ValueError for several.

        Windows writes backslashes. Where the path is not that of an image, the only image of this
        name in the whole folder is meant, in any case and with its suffix or without.
        """
        for spelling in (name, name.replace("\\", "/")):
            parts = Path(spelling).parts
            if Path(spelling).is_absolute() or ".." in parts or spelling[1:3] == ":/":
                what = f"{name!r} leads out of the folder"
                raise ValueError(f"{what}; write it as seen from the folder of the captions")
            if folder / spelling in self._paths:
                return folder / spelling

        name = NUMBERED.sub("", name)
        same_name = self._by_name.get(_plain(Path(name.replace("\\", "/")).name), [])
        if not same_name:
            raise NoImage(name)
        if len(same_name) > 1:
            what = f"there are {len(same_name)} images {same_name[0].name!r}; give its folder"
            raise ValueError(what)
        return same_name[0]
