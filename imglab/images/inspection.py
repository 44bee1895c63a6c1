"""What there is to say of a person's images before a run reads them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imglab.images.caption_rows import (
    NAMES,
    OTHER_NAMES,
    columns_of_captions,
)
from imglab.images.captions import TABLES, renamed
from imglab.images.captions_beside import CaptionFiles, are_boxes, texts_of_images
from imglab.images.data import load_real_images
from imglab.images.folders import read_captioned_folder, read_folder
from imglab.images.image_files import UNREADABLE, opened
from imglab.images.image_formats import formats_of, is_image
from imglab.images.labelled import SourceImages
from imglab.images.npz import read_npz
from imglab.images.settings import ImageSettings
from imglab.images.source_settings import CaptionedFolderSource, FolderSource, NpzSource
from imglab.reading import Tree, annotations_of, list_tree
from imglab.reading.inspection import Inspection, add_columns, duplicates, groups
from imglab.reading.summary import EXAMPLES
from imglab.store.files import sha256_file

USUAL_SIZE = 64
"""Side that is proposed for images of several sizes, unless they are smaller."""

LARGEST_SIZE = 1024
STEP = 4
"""What divides the sides that all networks take."""

ANY_NUMBER = 10**9
MOST_BYTES = 1 << 24
"""Size of a table of another name that is opened to see whether it holds captions."""

MOST_COLUMNS = 6
"""Columns of a table without captions that are named."""


def inspect_npz(path: str) -> Inspection:
    """Inspect an archive; InputError where it holds no images."""
    source = read_npz(NpzSource(path=path))
    rows = [image for part in _parts(source) for image in part.images]
    digests = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in rows]
    names = [f"image {number}" for number in range(len(rows))]
    shape = " x ".join(map(str, source.train.images.shape[1:]))
    facts = {
        "size": f"{shape} (channels, height, width)",
        "duplicates": duplicates(names, digests, len(source.train)),
    }
    return _inspection(source, {"kind": "npz", "path": path}, None, facts)


def inspect_images(path: str) -> Inspection:
    """Inspect a folder of images, with captions if it has them; InputError if nothing is usable."""
    tree = list_tree(Path(path), path)
    sizes, orientations = _headers([each for each in tree.files if is_image(each)])
    size = _size(sizes)

    # Broken files are left out here, and counted, so that one look shows all.
    keys: dict[str, Any] = {"kind": "folder", "path": path}
    files = CaptionFiles()
    tables, other_tables = _tables(tree, files)
    if tables or _has_texts(tree, files):
        keys["kind"] = "captioned_folder"
        captioned = CaptionedFolderSource.model_validate({**keys, "tolerate": ANY_NUMBER})
        source = read_captioned_folder(captioned, size, files=files)
    else:
        folder = FolderSource.model_validate({**keys, "tolerate": ANY_NUMBER})
        source = read_folder(folder, size)

    unusable = sum(each.count for each in source.left_out if each.what in ("broken", "images"))
    unusable += sum(each.rows for each in source.left_out)  # of images that are missing
    if unusable:
        keys["tolerate"] = unusable
    names = [str(each.relative_to(path)) for each in source.paths]
    digests = [sha256_file(each) for each in source.paths]
    facts: dict[str, Any] = {
        "sizes": _sizes_fact(sizes),
        "orientation": f"{orientations:,} are to be turned upright",
        "duplicates": duplicates(names, digests, len(source.train)),
    }
    if other_tables:
        facts["no_captions"] = other_tables
    add_columns(facts, keys, "the captions", source.columns, "caption")
    by_name = groups(source.paths)
    if by_name is not None and source.test is None:
        facts["groups"] = by_name
    return _inspection(source, keys, size, facts)


def _inspection(
    source: SourceImages, keys: dict[str, Any], size: int | None, facts: dict[str, Any]
) -> Inspection:
    modality: dict[str, Any] = {"kind": "image", "source": keys}
    if size is not None:
        modality["size"] = size
    settings = ImageSettings.model_validate({**modality, "extractor": "pixels"})
    summary = load_real_images(settings, source).summary
    return Inspection(summary, facts, {"modality": modality, "model": {"kind": "diffusion"}})


def _parts(source: SourceImages) -> list[Any]:
    if source.test is None:
        return [source.train]
    return [source.train, source.test]


def _headers(paths: Sequence[Path]) -> tuple[Counter[tuple[int, int]], int]:
    """Return how many images have which width and height, and how many lie on a side.

    Unreadable ones are left to the reader.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    turned = 0
    for path in paths:
        try:
            if not path.is_file():
                continue
            with opened(path, USUAL_SIZE, formats_of(path)) as picture:
                sizes[picture.image.size] += 1
                turned += picture.is_turned
        except UNREADABLE:
            continue
    return sizes, turned


def _size(sizes: Counter[tuple[int, int]]) -> int | None:
    """Return the side to which images are resized; None where they suit all models as they are."""
    sides = {side for size in sizes for side in size}
    if not sides:
        return None
    if len(sides) == 1 and min(sides) % STEP == 0 and min(sides) <= LARGEST_SIZE:
        return None
    return max(STEP, min(USUAL_SIZE, min(sides)) // STEP * STEP)


def _sizes_fact(sizes: Counter[tuple[int, int]]) -> dict[str, Any]:
    common = [f"{width} x {height} ({count:,})" for (width, height), count in sizes.most_common(3)]
    line = ", ".join(common)
    if len(sizes) > 3:
        line = f"{len(sizes):,} different ones, most often {line}"
    return {"line": line, "different": len(sizes)}


def _tables(tree: Tree, files: CaptionFiles) -> tuple[bool, str]:
    """Say whether a folder has a file of captions, and what those hold that only seem to be.

    A file with rows that cannot be read is one of captions: what is wrong with it is then said.
    """
    others = []
    for path in tree.files:
        if path.name.lower() not in (*NAMES, *OTHER_NAMES):
            if _may_hold_captions(path, files):
                others.append(f"{path.name} may hold some: {renamed(path)}, beside its images")
            continue
        has_captions, columns = columns_of_captions(path, files.rows)
        if has_captions:
            return True, ""
        others.append(f"{path.name} has {', '.join(columns[:MOST_COLUMNS]) or 'another form'}")
    return False, "; ".join(others[:EXAMPLES])


def _may_hold_captions(path: Path, files: CaptionFiles) -> bool:
    """Say whether a table of another name, unless it is a large one, has rows with captions."""
    if path.name.lower() == "metadata.parquet":
        return True
    if path.suffix.lower() not in TABLES or path.suffix.lower() == ".parquet":
        return False
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return False
    has_captions, columns = columns_of_captions(path, files.rows)
    return has_captions and bool(columns)


def _has_texts(tree: Tree, files: CaptionFiles) -> bool:
    """Say whether most images have a text, which is a caption unless it holds boxes."""
    pictures = [path for path in tree.files if is_image(path)]
    masks = annotations_of(pictures)
    images = [path for path in pictures if path not in masks]
    others = [path for path in tree.files if not is_image(path)]
    of_images = texts_of_images(tree.root, images, others, files)
    if 2 * len(of_images) <= len(images):
        return False

    # Whoever reads a text as a caption says why it cannot be read.
    paths = list(of_images.values())
    texts = files.beginnings(paths)
    return len(texts) < len(paths) or not are_boxes(texts)
