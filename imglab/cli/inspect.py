"""The command that says what is in a person's data before a run reads them."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imglab.cli.options import AsJson
from imglab.errors import InputError, Problem
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.reading.inspection import Inspection

FORMS = "give a folder of images or texts, an .npz archive, or a text file"


def inspect(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder or a file of images or texts.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say what is in your data: classes, splits, duplicates, and what would be left out.

    A config that reads them follows.

    Example: imglab inspect photos/ --json
    """
    inspection = inspection_of(Path(data), data)
    if as_json:
        typer.echo(json.dumps({"data": data, **inspection.as_json()}, indent=1))
        return

    from yaml import safe_dump

    for line in inspection.lines():
        typer.echo(printable(line))
    config = safe_dump(dict(inspection.config), sort_keys=False, allow_unicode=True)
    typer.echo(f"\nA config that reads them:\n\n{printable(config)}", nl=False)


def inspection_of(path: Path, data: str) -> Inspection:
    """Inspect what a path names; InputError where nothing in it is usable."""
    if path.is_dir():
        return _of_folder(path, data)
    if not path.is_file():
        raise InputError(Problem(data, "there is no such file or folder", FORMS))

    from imglab.text.gate import is_text

    suffix = path.suffix.lower()
    if suffix == ".npz":
        from imglab.images.inspection import inspect_npz

        return inspect_npz(data)
    if zipfile.is_zipfile(path) or tarfile.is_tarfile(path):
        what = "is a packed folder, which a run does not read"
        raise InputError(Problem(data, what, f"unpack it, and inspect the folder: {_unpack(path)}"))
    if suffix == ".md" or is_text(path):
        from imglab.text.inspection import inspect_texts

        return inspect_texts(data)
    raise InputError(Problem(data, "is not a kind of file that is read", FORMS))


def _unpack(path: Path) -> str:
    if zipfile.is_zipfile(path):
        return f"unzip {path} -d {path.stem}"
    return f"mkdir {path.stem} && tar -xf {path} -C {path.stem}"


def _of_folder(path: Path, data: str) -> Inspection:
    """Inspect a folder as what most of its files are; captions lie beside images."""
    from imglab.images.image_formats import NO_READER, is_image
    from imglab.reading import kind_of_files, list_tree
    from imglab.text.gate import is_text

    files = list_tree(path, data).files
    kind = kind_of_files(files, is_image, is_text)
    if kind == "images":
        from imglab.images.inspection import inspect_images

        return inspect_images(data)
    if kind == "texts":
        from imglab.text.inspection import inspect_texts

        return inspect_texts(data)

    images = sum(map(is_image, files))
    texts = sum(map(is_text, files))
    what = f"holds {images:,} images and {texts:,} texts, which is not clear"
    if not images:
        unread = sum(each.suffix.lower() in NO_READER for each in files)
        what = f"holds no image and no text; {len(files):,} files were looked at"
        if unread:
            what += f", {unread:,} of them images of a form that has no reader"
    raise InputError(Problem(data, what, FORMS))
