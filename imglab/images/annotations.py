"""Classes of objects in images, from the boxes that tools of detection write."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab.failures import raise_if_unavailable
from imglab.images.captions_beside import CaptionFiles, are_boxes
from imglab.reading import partners
from imglab.reading.listed_classes import ListedClasses, class_names_in, with_names
from imglab.reading.names import Names
from imglab.reading.parts import names_of

BOXES = (".txt", ".xml")
"""Suffixes of files with the boxes of one image, in lower case."""

FIRST = 50
"""Files by which it is seen whether they hold boxes."""

MOST_BYTES = 1 << 25
"""Size of a file with the boxes of all images."""

NAME = re.compile(r"<name>([^<]*)</name>")
"""The first one in an object of Pascal VOC is its class; others are those of its parts."""


def annotated_classes(
    root: Path, images: Sequence[Path], others: Collection[Path], files: CaptionFiles
) -> list[ListedClasses]:
    """Return the classes of the objects in each image, by the kind of files that name them."""
    listed = []
    numbers = class_names_in(others)
    for suffix in BOXES:
        paths = [path for path in others if path.suffix.lower() == suffix]
        for name, of_images in _families(root, images, paths).items():
            classes = _of_boxes(of_images, suffix, files)
            if classes:
                named = with_names(classes, numbers)
                listed.append(ListedClasses(name, named, tuple(of_images.values())))
    stems = {image.with_suffix("") for image in images}
    of_all = [
        path
        for path in others
        if path.suffix.lower() == ".json" and path.with_suffix("") not in stems
    ]
    coco = _of_coco(root, images, of_all)
    return [*listed, *coco]


def _families(
    root: Path, images: Sequence[Path], paths: Sequence[Path]
) -> dict[str, dict[Path, Path]]:
    """Return files that belong to images, by where they lie: beside them, or in another folder."""
    by_name = {path.with_suffix(""): path for path in paths}
    beside = {image: by_name.get(image.with_suffix("")) for image in images}
    families = {f"{name}/": pairs for name, pairs in partners(root, images, paths).items() if name}
    same = {image: path for image, path in beside.items() if path is not None}
    if same:
        families[f"{next(iter(same.values())).suffix} beside the images"] = same
    return families


def _of_boxes(
    of_images: Mapping[Path, Path], suffix: str, files: CaptionFiles
) -> dict[Path, set[str]]:
    """Return the classes of boxes by the image; none where most of the files hold no boxes."""
    paths = list(of_images.values())
    first = files.beginnings(paths[:FIRST])
    is_calibration = any(re.match(r"\S+:\s", text) for text in first)  # as that of KITTI
    if suffix == ".txt" and (is_calibration or not are_boxes(first)):
        return {}
    classes = {}
    for image, path in of_images.items():
        text = next(iter(files.beginnings([path])), "")
        if suffix == ".xml":
            classes[image] = set(_classes_of_xml(text))
        else:
            classes[image] = {_class_of_line(line) for line in text.splitlines() if line.strip()}
    return classes


def _classes_of_xml(text: str) -> Iterator[str]:
    for each in text.split("<object>")[1:]:
        name = NAME.search(each.partition("</object>")[0])
        if name is not None:
            yield html.unescape(name[1].strip())


def _class_of_line(line: str) -> str:
    """Return the class of a box: what stands before its numbers, or a name behind them."""
    cells = line.split()
    names = [cell for cell in cells if not re.fullmatch(r"[-+\d.e]+", cell)]
    return [*names, *cells][0]


def _of_coco(root: Path, images: Sequence[Path], paths: Sequence[Path]) -> list[ListedClasses]:
    """Return the classes in files of the form of COCO, those of all files together."""
    classes: dict[Path, set[str]] = {}
    read = []
    names = Names(root, images)
    for path in paths:
        tree = _json(path)
        try:
            of_file = _of_tree(tree, names)
        except (KeyError, TypeError, AttributeError):
            continue
        if any(of_file.values()):
            read.append(path)
            for image, labels in of_file.items():
                classes.setdefault(image, set()).update(labels)
    if not read:
        return []
    name = names_of([Path(name) for name in dict.fromkeys(path.name for path in read)])
    return [ListedClasses(name, classes, tuple(read))]


def _json(path: Path) -> Any:
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        content = path.read_bytes()
        if b'"categories"' not in content:
            return None
        return json.loads(content)
    except (OSError, ValueError, MemoryError, RecursionError) as error:
        raise_if_unavailable(error, path)
        return None


def _of_tree(tree: Any, names: Names) -> dict[Path, set[str]]:
    """Return the categories of the annotations of each image."""
    categories = {each["id"]: str(each["name"]) for each in tree["categories"]}
    files = {each["id"]: names.find(str(each["file_name"])) for each in tree["images"]}
    classes: dict[Path, set[str]] = {path: set() for path in files.values() if path is not None}
    for each in tree["annotations"]:
        path = files.get(each["image_id"])
        if path is not None:
            classes[path].add(categories[each["category_id"]])
    return classes
