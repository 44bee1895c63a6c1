"""Real data kept by name, with the extractor's weights, their features and floors."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from imglab.errors import InputError, Problem, nearest
from imglab.images.labelled import LabelledImages, SourceImages
from imglab.running.earlier_runs import CACHE, cache_folder
from imglab.store import files, hashes
from imglab.store.files import read_json
from imglab.studies.score.named import REFERENCE, Named
from imglab.studies.score.options import Options, ReadingOptions
from imglab.studies.score.sides import Side, reading
from imglab.text.corpus import Corpus

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DESCRIPTION = "reference.json"
IMAGES = "images.safetensors"
TEXTS = "texts.json"
SHARED = "shared"


def folder() -> Path:
    """Return where references lie, in the lab's cache; raise InputError if the user wants none."""
    cache = cache_folder()
    if cache is None:
        what = "it is set to nothing, so nothing is kept"
        raise InputError(Problem(CACHE, what, "set it to a folder, or unset it"))
    return cache / "references"


def listed() -> list[dict[str, Any]]:
    """Return the description of each stored reference, by name."""
    described = []
    for path in sorted(folder().glob(f"*/{DESCRIPTION}")):
        described.append({"name": path.parent.name, **read_json(path, ("real", "sizes"))})
    return described


def check_free(name: str) -> None:
    """Raise InputError unless a reference can be stored under this name."""
    if not NAME.fullmatch(name):
        what = f"{name!r} cannot be a name"
        raise InputError(Problem("--save-reference", what, "use letters, digits, - and _"))
    path = folder() / name
    if path.exists():
        what = f"there is a reference {name!r} already"
        remedy = f"choose another name, or remove {path}"
        raise InputError(Problem("--save-reference", what, remedy))


def save(name: str, side: Side, options: ReadingOptions, shared: Path) -> None:
    """Store the real side under a name: its data, how they were read, weights and features."""
    files.make_folder(folder())

    def write(path: Path) -> None:
        path.mkdir()
        sizes = _write_data(side, path)
        described = {"real": side.named.text, "sizes": sizes, "options": asdict(options)}
        files.write_json(path / DESCRIPTION, {**described, "files": list(side.files)})
        hashes.copy(shared, path / SHARED)
        hashes.complete(path)

    files.write_atomically(folder() / name, write)


def _write_data(side: Side, path: Path) -> list[int]:
    """Write images or texts; return the sizes of their parts."""
    if side.images is None:
        assert side.texts is not None
        parts = {"train": list(side.texts.train), "test": side.texts.test}
        files.write_json(path / TEXTS, parts)
        return [len(part) for part in parts.values() if part is not None]

    tensors: dict[str, Tensor] = {}
    images = {"train": side.images.train, "test": side.images.test}
    for name, part in images.items():
        if part is not None:
            tensors[name] = part.images.contiguous()
            if part.labels is not None:
                tensors[f"{name}_labels"] = part.labels
    metadata = {"classes": json.dumps(side.images.classes)}
    save_file(tensors, path / IMAGES, metadata)
    return [len(part) for part in images.values() if part is not None]


def load(named: Named, options: Options) -> tuple[Side, Options]:
    """Open a stored reference: the real side, and the options with which it was read."""
    path = _path(named.text)
    if options.of_reading.names:
        what = "the reference was stored with its own"
        remedy = "leave it out, or score the real data themselves"
        raise InputError(Problem(", ".join(options.of_reading.names), what, remedy))

    wrong = dict(hashes.faults(path)) | dict(hashes.faults(path / SHARED))
    if wrong:
        remedy = f"remove {path} and store it again"
        raise InputError(Problem(str(path / name), what, remedy) for name, what in wrong.items())

    described = read_json(path / DESCRIPTION, ("real", "options", "files"))
    with reading(path):
        stored = replace(options, of_reading=ReadingOptions(**described["options"]))
        side = _read_data(named, path, tuple(described["files"]))
    return side, stored


def shared_folder(text: str) -> Path:
    """Return the folder of a reference that holds weights, features and floors."""
    return _path(text) / SHARED


def _path(text: str) -> Path:
    name = text.removeprefix(REFERENCE)
    path = folder() / name
    if not NAME.fullmatch(name) or not (path / DESCRIPTION).is_file():
        what = f"there is no reference {name!r}"
        names = [each["name"] for each in listed()]
        remedy = nearest(name, names) or "store one with --save-reference NAME"
        raise InputError(Problem("REAL", what, remedy))
    return path


def _read_data(named: Named, path: Path, names: tuple[str, ...]) -> Side:
    if (path / TEXTS).exists():
        texts = read_json(path / TEXTS, ("train", "test"))
        return Side(named, texts=Corpus(texts["train"], texts["test"]), files=names)

    from safetensors import safe_open

    tensors = load_file(path / IMAGES)
    with safe_open(str(path / IMAGES), "pt") as file:
        classes = json.loads(file.metadata()["classes"])
    parts = [
        LabelledImages(tensors[name], tensors.get(f"{name}_labels"))
        for name in ("train", "test")
        if name in tensors
    ]
    test = parts[1] if len(parts) > 1 else None
    return Side(
        named,
        images=SourceImages(parts[0], test, None if classes is None else tuple(classes)),
        files=names,
    )
