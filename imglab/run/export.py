"""Samples of a generation as files that other programs read: PNGs in class folders, or texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from imglab.config.load import validate_config
from imglab.config.yaml import read_yaml
from imglab.errors import InputError, Problem, first_line
from imglab.modality import Exporter, Modality
from imglab.run.build import build_modality
from imglab.safe_text import printable
from imglab.samples import Samples
from imglab.store import files
from imglab.store.files import read_json
from imglab.store.layout import MANIFEST, generation_folder
from imglab.store.reader import RunFolder
from imglab.store.reading import parse_generation, read_environment
from imglab.store.verify import check_run

ALL = "all"
"""Folder of images that have no class: torchvision's `ImageFolder` wants one."""

LONGEST = 60
"""Characters of a class in a folder's name: of four bytes each, they and the number before them fit."""
TEXTS = "texts"
"""Folder of what is no image: `load_dataset` takes every file in a folder for a sample, the manifest too."""


def export(source: str, to: Path, *, accepted: bool = False) -> int:
    """Write the samples of `RUN@G` into the new folder `to` and return how many there are.

    Images lie in a folder for each class, which torchvision's `ImageFolder` reads, with a metadata.jsonl for
    `datasets.load_dataset("imagefolder")`; texts are .txt files in a folder `texts`, which is the `data_dir` of
    `load_dataset("text", sample_by="document")`.
    manifest.json says where they come from, with the sha256 and row of every file.

    accepted  only those that curation let through
    """
    run, g = parse_generation(source)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(
            Problem(str(to), "exists and is not an empty folder", "choose another --to")
        )
    check_run(run)
    modality = build_modality(
        validate_config(read_yaml(run / "config.yaml"), str(run / "config.yaml"))
    )
    stored, path = RunFolder(run), generation_folder(run, g) / "samples.safetensors"
    try:
        samples, rows = stored.samples(g), stored.accepted(g) if accepted else None
        chosen = torch.arange(len(samples)) if rows is None else rows
        _check(modality, samples, chosen)
    except (OSError, ValueError, TypeError, AttributeError, MemoryError, SafetensorError) as error:
        raise InputError(
            Problem(str(path), f"cannot be read: {first_line(error)}", "the file is damaged")
        ) from error
    described: dict[str, Any] = {
        "run": printable(run.resolve().name),
        "generation": g,
        "samples": len(chosen),
        "generation_manifest": read_json(generation_folder(run, g) / MANIFEST, ("self",))["self"],
        "data": read_environment(run)["data"],
    }
    files.make_folder(to.parent)
    files.write_atomically(to, lambda folder: _write(folder, modality, samples, chosen, described))
    return len(chosen)


def _check(modality: Modality, samples: Samples, chosen: torch.Tensor) -> None:
    """Raise ValueError where samples from a file are not of a modality, or rows not of them."""
    spec, condition = modality.spec, samples.condition
    if samples.data.dtype != spec.dtype or tuple(samples.data.shape[1:]) != tuple(spec.shape):
        raise ValueError("its samples are not of the kind of data in config.yaml")
    if condition is not None and condition.dtype != torch.int64:
        raise ValueError("its conditions are no whole numbers")
    known = (
        None if spec.conditions is None or condition is None or not condition.numel() else condition
    )
    if known is not None and not (known.min() >= 0 and known.max() < len(spec.conditions or ())):
        raise ValueError("it has samples of classes or prompts that the data do not have")
    if samples.data.dtype == torch.int64 and bool(
        ((samples.data < 0) | (samples.data >= 2**31)).any()
    ):
        raise ValueError("it has tokens that no tokenizer has")
    if chosen.dtype != torch.int64 or chosen.dim() != 1:
        raise ValueError("what was accepted is no list of rows")
    if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(samples)):
        raise ValueError("samples were accepted that are not there")


def _write(
    folder: Path,
    modality: Modality,
    samples: Samples,
    chosen: torch.Tensor,
    described: dict[str, Any],
) -> None:
    folder.mkdir()
    classes, condition = modality.spec.conditions, samples.condition
    groups: dict[str, torch.Tensor] = {TEXTS: chosen}
    if samples.data.dtype == torch.uint8:
        groups = {ALL: chosen}
        if classes is not None and condition is not None and not modality.spec.prompts:
            numbered = [(_folder_name(at, name), at) for at, name in enumerate(classes)]
            groups = {name: chosen[condition[chosen] == at] for name, at in numbered}
    listed: dict[str, dict[str, Any]] = {}
    for name, rows in groups.items():
        if not len(rows):
            continue
        (folder / name).mkdir(exist_ok=True)
        exporter = modality.ability(Exporter)
        if exporter is None:
            what = f"{type(modality).__name__} has no form in which samples are exported"
            raise InputError(Problem("export", what, "read samples.safetensors of the generation"))
        written = exporter.export(samples[rows], folder / name)
        for file, row in zip(written, rows.tolist(), strict=True):
            listed[f"{name}/{file}"] = {
                "row": row,
                "sha256": files.sha256_file(folder / name / file),
            }
    if TEXTS not in groups:
        lines = [
            json.dumps({"file_name": path, **_told(path, entry["row"], modality, samples)})
            for path, entry in listed.items()
        ]
        files.write_bytes(folder / "metadata.jsonl", ("\n".join(lines) + "\n").encode())
    files.write_json(folder / MANIFEST, {**described, "files": listed})


def _told(path: str, row: int, modality: Modality, samples: Samples) -> dict[str, str]:
    """Return what metadata.jsonl says of an image: its prompt, or its class."""
    if not modality.spec.prompts:
        return {"label": path.partition("/")[0]}
    if samples.condition is None or modality.spec.conditions is None:
        return {}
    return {"text": modality.spec.conditions[int(samples.condition[row])]}


def _folder_name(number: int, name: str) -> str:
    """Return a folder's name for a class: its own where that is one, in the order of the classes."""
    plain = "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in name[:LONGEST])
    return plain if plain == name and name.isdigit() else f"{number:03d}-{plain}"
