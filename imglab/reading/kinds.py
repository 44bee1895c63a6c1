"""Which kind of data a folder holds, where its files are of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

Kind = Literal["images", "texts"]


def kind_of_files(
    files: Sequence[Path], is_image: Callable[[Path], bool], is_text: Callable[[Path], bool]
) -> Kind | None:
    """Return what the files of a folder are; None where that is not clear.

    Captions, tables and a note lie beside images: a folder with images holds images, unless most of
    its files are texts of other names than they have.
    """
    images = sum(map(is_image, files))
    texts = sum(map(is_text, files))
    if 0 < images * 2 < texts:
        names = {path.with_suffix("") for path in files if is_image(path)}
        texts = sum(is_text(path) and path.with_suffix("") not in names for path in files)
    if images and images * 2 >= texts:
        return "images"
    if texts and not images:
        return "texts"
    return None
