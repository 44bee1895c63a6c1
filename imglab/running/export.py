"""Samples of a generation as files that other programs read: PNGs in class folders, or texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from imglab.errors import InputError, Problem
from imglab.modality import Exporter, Modality, Spec
from imglab.running.places import config_of, modality_of
from imglab.safe_text import printable
from imglab.samples import Samples
from imglab.store import files
from imglab.store.drawn import are_below, check_samples, reading
from imglab.store.faults import check_run
from imglab.store.files import read_json
from imglab.store.layout import MANIFEST, generation_folder
from imglab.store.reader import RunFolder
from imglab.store.reading import parse_generation, read_environment

ALL = "all"
"""Folder of images that have no class: torchvision's `ImageFolder` needs one."""

TEXTS = "texts"
"""Folder of texts. They cannot lie beside the manifest: `load_dataset` takes every file in a folder
for a sample."""

LONGEST = 60
"""Characters of a class that go into the name of its folder: even with four bytes for each, they
and the number before them are a valid file name."""


def export(source: str, to: Path, *, accepted: bool = False, changes: Sequence[str] = ()) -> int:
    """Write the samples of `RUN@G` into the new folder `to` and return how many there are.

    Images lie in a folder for each class, which torchvision's `ImageFolder` reads, with a
    metadata.jsonl for `datasets.load_dataset("imagefolder")`. Texts are .txt files in a folder
    `texts`, which is the `data_dir` of `load_dataset("text", sample_by="document")`.
    manifest.json says where they come from, with the sha256 and the row of every file.

    A folder that holds this very export, whole, stays as it is, so that a command which the disk
    stopped after its last file can be given again.

    accepted  export only the samples that curation accepted
    changes   say where the run's data lie now (`places.config_of`)
    """
    run, g = parse_generation(source)
    is_new = not to.exists() or (to.is_dir() and not any(to.iterdir()))
    if not is_new and not (to / MANIFEST).is_file():
        raise _taken(to)
    check_run(run)

    modality = modality_of(run, config_of(run, changes))
    exporter = modality.ability(Exporter)
    if exporter is None:
        what = f"{type(modality).__name__} has no form in which samples are exported"
        raise InputError(Problem("export", what, "read samples.safetensors of the generation"))

    samples, rows = _read(run, g, modality, accepted=accepted)
    described = _describe(run, g, len(rows))
    files_of_samples = _Files(modality.spec, exporter, samples)
    if is_new:
        files.make_folder(to.parent)
        files.write_atomically(to, lambda folder: files_of_samples.write(folder, rows, described))
        return len(rows)

    with TemporaryDirectory() as temporary:
        again = Path(temporary) / "export"
        files_of_samples.write(again, rows, described)
        if _hashes(again) != _hashes(to):
            raise _taken(to)
    return len(rows)


def _describe(run: Path, g: int, count: int) -> dict[str, Any]:
    """Return what the manifest of an export says of where its samples come from."""
    manifest = generation_folder(run, g) / MANIFEST
    return {
        "run": printable(run.resolve().name),
        "generation": g,
        "samples": count,
        "generation_manifest": read_json(manifest, ("self",))["self"],
        "data": read_environment(run)["data"],
    }


def _taken(to: Path) -> InputError:
    what = "exists and is not an empty folder"
    return InputError(Problem(str(to), what, "choose another --to"))


def _hashes(folder: Path) -> dict[Path, str]:
    """Return the sha256 of all files below a folder, by their paths in it."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): files.sha256_file(path) for path in paths}


def _read(run: Path, g: int, modality: Modality, *, accepted: bool) -> tuple[Samples, Tensor]:
    """Return the samples of generation g and the rows that are to be exported, int64 [M]."""
    samples = read_samples(run, g, modality)
    stored = RunFolder(run)

    rows = torch.arange(len(samples))
    if accepted:
        with reading(stored.path(g, "accepted")):
            curated = stored.accepted(g)
            if curated is not None:
                _check_rows(curated, len(samples))
                rows = curated
    return samples, rows


def read_samples(run: Path, g: int, modality: Modality, stage: str = "samples") -> Samples:
    """Return what generation g drew; InputError if they are damaged or of another kind of data.

    stage  `samples`, or `evaluation` for the draw that `measure.samples` asks for
    """
    stored = RunFolder(run)
    with reading(stored.path(g, stage)):
        samples = stored.samples(g, stage)
        check_samples(modality.spec, samples)
    return samples


def _check_rows(rows: Tensor, samples: int) -> None:
    """Raise ValueError unless the accepted rows in a file are rows of the samples."""
    if rows.dtype != torch.int64 or rows.dim() != 1:
        raise ValueError("the accepted samples are not a list of rows")
    if not are_below(samples, rows):
        raise ValueError("samples were accepted that do not exist")


@dataclass(frozen=True)
class _Files:
    """Writes samples as files in the layout of `export`."""

    spec: Spec
    exporter: Exporter
    samples: Samples

    def write(self, folder: Path, rows: Tensor, described: dict[str, Any]) -> None:
        """Write these rows, and a manifest with `described` and every file."""
        folder.mkdir()
        groups = self._groups(rows)
        listed: dict[str, dict[str, Any]] = {}
        for name, members in groups.items():
            if len(members):
                listed |= self._write_group(folder / name, members)

        if TEXTS not in groups:
            self._write_metadata(folder / "metadata.jsonl", listed)
        files.write_json(folder / MANIFEST, {**described, "files": listed})

    def _groups(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the folders that samples go into, and which rows go into each."""
        if self.samples.data.dtype != torch.uint8:
            return {TEXTS: rows}

        classes = self.spec.conditions
        condition = self.samples.condition
        if classes is None or condition is None or self.spec.prompts:
            return {ALL: rows}
        return {
            _folder_name(number, name): rows[condition[rows] == number]
            for number, name in enumerate(classes)
        }

    def _write_group(self, folder: Path, rows: Tensor) -> dict[str, dict[str, Any]]:
        """Export rows into a folder; return the files, by their path, with row and sha256."""
        folder.mkdir(exist_ok=True)
        names = self.exporter.export(self.samples[rows], folder)
        return {
            f"{folder.name}/{name}": {"row": row, "sha256": files.sha256_file(folder / name)}
            for name, row in zip(names, rows.tolist(), strict=True)
        }

    def _write_metadata(self, path: Path, listed: dict[str, dict[str, Any]]) -> None:
        lines = [
            json.dumps({"file_name": name, **self._caption(name, entry["row"])})
            for name, entry in listed.items()
        ]
        files.write_bytes(path, ("\n".join(lines) + "\n").encode())

    def _caption(self, name: str, row: int) -> dict[str, str]:
        """Return what metadata.jsonl says of an image: its prompt, or its class."""
        if not self.spec.prompts:
            return {"label": name.partition("/")[0]}

        prompts = self.spec.conditions
        condition = self.samples.condition
        if condition is None or prompts is None:
            return {}
        return {"text": prompts[int(condition[row])]}


def _folder_name(number: int, name: str) -> str:
    """Return the name of a class's folder: that of the class if it is a number, else numbered."""
    plain = "".join(
        letter if letter.isalnum() or letter in "-_" else "-" for letter in name[:LONGEST]
    )
    if plain == name and name.isdigit():
        return plain
    return f"{number:03d}-{plain}"
