"""The command that says what is in a person's data before a run reads them."""

from __future__ import annotations

import json
import shlex
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imglab.cli.options import AsJson
from imglab.errors import InputError, Problem
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.reading.inspection import Inspection

FORMS = "give a folder of images or texts, an .npz archive, or a text file"

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", "")
"""Suffixes of packed folders."""

ARRAYS = (".npy", ".pt", ".pth", ".h5", ".hdf5", ".mat", ".pkl", ".pickle", ".tfrecord", ".mdb")
"""Suffixes of files of arrays that are not read."""

MAY_BE_TEXT = (".raw", ".pdf", ".ps", ".ai")
"""Suffixes of pictures that are those of texts, too, or of which the reader of texts says more."""

MOST_KINDS = 4
"""Kinds of files that are named where none is read."""


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

    suffix = path.suffix.lower()
    if suffix == ".npz":
        from imglab.images.inspection import inspect_npz

        return inspect_npz(data)
    if (zipfile.is_zipfile(path) and suffix in ARCHIVES) or tarfile.is_tarfile(path):
        what = "is a packed folder, which a run does not read"
        raise InputError(Problem(data, what, f"unpack it, and inspect the folder: {_unpack(path)}"))
    _refuse_other_kinds(path, data)

    # Any other file may be a text; if it is not, the reader says what it is.
    from imglab.text.inspection import inspect_texts

    return inspect_texts(data)


def _refuse_other_kinds(path: Path, data: str) -> None:
    """Raise InputError for a single picture, and for arrays of another form than .npz."""
    from imglab.images.image_formats import NO_READER, is_image

    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        remedy = f"numpy.savez('{path.stem}.npz', images=..., labels=...)"
        raise InputError(Problem(data, "is a file of arrays, of which only .npz is read", remedy))
    if is_image(path) or (suffix in NO_READER and suffix not in MAY_BE_TEXT):
        what = "is a single picture or film"
        raise InputError(Problem(data, what, "give the folder that holds the images"))


def _unpack(path: Path) -> str:
    packed = shlex.quote(str(path))
    folder = shlex.quote(path.stem)
    if zipfile.is_zipfile(path):
        return f"unzip {packed} -d {folder}"
    return f"mkdir {folder} && tar -xf {packed} -C {folder}"


def _of_folder(path: Path, data: str) -> Inspection:
    """Inspect a folder as what most of its files are; captions lie beside images."""
    from imglab.images.image_formats import NO_READER, is_image
    from imglab.reading import by_suffix, kind_of_files, list_tree
    from imglab.text.gate import is_also_text, is_text

    tree = list_tree(path, data)
    files = tree.files

    def is_any_text(file: Path) -> bool:
        return is_text(file) or is_also_text(file)

    kind = kind_of_files(files, is_image, is_any_text)
    if kind == "images":
        from imglab.images.inspection import inspect_images

        return inspect_images(data)
    if kind == "texts":
        from imglab.text.inspection import inspect_texts

        return inspect_texts(data)

    images = sum(map(is_image, files))
    texts = sum(map(is_any_text, files))
    if images:
        what = f"holds {images:,} images and {texts:,} texts, which is not clear"
        remedy = "give the folder of the one or of the other; where both lie in one, a config with "
        remedy += "kind: folder reads the images, and one with kind: files the texts"
        raise InputError(Problem(data, what, remedy))
    what = "holds no image and no text"
    if not files:
        others = "it is empty"
        if tree.hidden:
            others = f"all {len(tree.hidden):,} files in it are hidden or of systems"
        raise InputError(Problem(data, f"{what}: {others}", FORMS))
    others = ", ".join(map(str, by_suffix(files, NO_READER)[:MOST_KINDS]))
    raise InputError(Problem(data, f"{what}, but {others}", _remedy_for(files)))


def _remedy_for(files: Sequence[Path]) -> str:
    """Say what makes data of files that are neither images nor texts."""
    suffixes = {path.suffix.lower() for path in files}
    if ".npz" in suffixes:
        return "give the path of the .npz archive itself"
    if suffixes & set(ARRAYS):
        return "store the arrays by numpy.savez('NEW.npz', images=..., labels=...)"
    if suffixes & set(ARCHIVES[:-1]):
        return "unpack the files, and inspect the folder again"
    return f"{FORMS}; rename plain texts to NAME.txt, and convert images, e.g. to PNG"
