"""The files of each stage of a generation: what they are called, how written and how read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from imglab.measures import Continuation, Features, Measures, NearestReal, RealShown
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.store import files, model_folder
from imglab.store.layout import FORMAT_VERSION
from imglab.store.linked_copies import link_alike, other_models
from imglab.store.model_card import Origin

PER_SAMPLE = "per_sample.safetensors"
WORDS = "exhibit.json"
REAL_WORDS = "real.json"


@dataclass(frozen=True)
class StageFiles:
    """The files in a generation's folder that hold the result of one stage.

    main    the file or folder that every result has; it is written last
    write   writes a result, given the path of `main`, the result, the number of the generation and
            the chain that it belongs to
    read    returns the result, given the path of `main`
    beside  a second file, which some results need; it is written first
    """

    main: str
    write: Callable[[Path, Any, int, Origin | None], None]
    read: Callable[[Path], Any]
    beside: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The files and folders that a result may have."""
        if self.beside is None:
            return (self.main,)
        return (self.main, self.beside)


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file, all of it or nothing."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    files.write_atomically(path, lambda temporary: save_file(contiguous, temporary, metadata))


def load_tensors(path: Path, *names: str) -> dict[str, Tensor]:
    """Return the tensors in a safetensors file, memory-mapped.

    ValueError if one of `names` is missing, or a tensor is a single number without rows.
    """
    tensors = load_file(path)
    for name in names:
        if name not in tensors:
            raise ValueError(f"it has no tensor {name!r}")
    for name, tensor in tensors.items():
        if tensor.dim() == 0:
            raise ValueError(f"its tensor {name!r} has no rows")
    return tensors


def _write_model(path: Path, model: GenerativeModel, g: int, origin: Origin | None) -> None:
    # A run that was killed before the folder was listed left it behind, and no file replaces it.
    if path.exists():
        files.remove(path)

    def save(folder: Path) -> None:
        model_folder.save_model(model, folder)
        if origin is not None:
            origin.sign(folder, g)
        link_alike(folder, other_models(path))

    files.write_atomically(path, save)


def _write_samples(path: Path, samples: Samples, g: int, origin: Origin | None) -> None:
    columns = vars(samples.stamped(g))
    save_tensors(path, {name: column for name, column in columns.items() if column is not None})


def _read_samples(path: Path) -> Samples:
    columns = load_tensors(path, "data", "origin", "source")
    return Samples(
        data=columns["data"],
        condition=columns.get("condition"),
        origin=columns["origin"],
        source=columns["source"],
    )


def _write_nearest(path: Path, nearest: NearestReal, g: int, origin: Origin | None) -> None:
    if any(nearest.words.values()):
        files.write_json(path.with_name(WORDS), nearest.words)

    columns = {
        "index": nearest.index,
        "distance": nearest.distance,
        "rows": nearest.rows,
        "real": nearest.real,
    }
    save_tensors(path, columns)


def _read_nearest(path: Path) -> NearestReal:
    words = {}
    if path.with_name(WORDS).exists():
        words = files.read_json(path.with_name(WORDS), ())
    return NearestReal(**load_file(path), words=words)


def _write_real(path: Path, real: RealShown, g: int, origin: Origin | None) -> None:
    if real.words:
        files.write_json(path.with_name(REAL_WORDS), list(real.words))
    save_tensors(path, {"data": real.data})


def _read_real(path: Path) -> RealShown:
    words = None
    if path.with_name(REAL_WORDS).exists():
        words = json.loads(path.with_name(REAL_WORDS).read_text())
    return RealShown(load_tensors(path, "data")["data"], words)


def _write_continuation(path: Path, panel: Continuation, g: int, origin: Origin | None) -> None:
    files.write_json(path, asdict(panel))


def _read_continuation(path: Path) -> Continuation:
    keys = tuple(field.name for field in fields(Continuation))
    content = files.read_json(path, keys)
    return Continuation(**{key: content[key] for key in keys})


def _write_features(path: Path, features: Features, g: int, origin: Origin | None) -> None:
    save_tensors(path, {"features": features.values}, {"extractor": features.extractor})


def _read_features(path: Path) -> Features:
    features = load_tensors(path, "features")["features"]
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    return Features(features, metadata.get("extractor", ""))


def _write_accepted(path: Path, accepted: Tensor, g: int, origin: Origin | None) -> None:
    save_tensors(path, {"accepted": accepted})


def _read_accepted(path: Path) -> Tensor | None:
    """Return the indices of the accepted samples, int64 [M]; None: nothing was curated."""
    if not path.exists():
        return None
    return load_tensors(path, "accepted")["accepted"]


def _write_metrics(path: Path, measures: Measures, g: int, origin: Origin | None) -> None:
    if measures.per_sample:
        save_tensors(path.with_name(PER_SAMPLE), measures.per_sample)
    files.write_json(path, dict(measures.values))


def _read_metrics(path: Path) -> Measures:
    per_sample = {}
    if path.with_name(PER_SAMPLE).exists():
        per_sample = load_file(path.with_name(PER_SAMPLE))
    return Measures(files.read_json(path, ()), per_sample=per_sample)


def _add_accepted(path: Path, accepted: Tensor, g: int, origin: Origin | None) -> None:
    save_tensors(path, {**load_file(path), "accepted": accepted})


def _read_added_accepted(path: Path) -> Tensor | None:
    with safe_open(path, framework="pt") as file:
        # The file is not a mapping: it has no `in`.
        if "accepted" not in file.keys():  # noqa: SIM118
            return None
        accepted: Tensor = file.get_tensor("accepted")
    return accepted


STAGES: Mapping[str, StageFiles] = {
    "model": StageFiles("model", _write_model, model_folder.load_model),
    "samples": StageFiles("samples.safetensors", _write_samples, _read_samples),
    "shown": StageFiles("shown.safetensors", _write_samples, _read_samples),
    "evaluation": StageFiles("evaluation.safetensors", _write_samples, _read_samples),
    "exhibit": StageFiles("exhibit.safetensors", _write_nearest, _read_nearest, beside=WORDS),
    "real": StageFiles("real.safetensors", _write_real, _read_real, beside=REAL_WORDS),
    "panel": StageFiles("panel.json", _write_continuation, _read_continuation),
    "features": StageFiles("features.safetensors", _write_features, _read_features),
    "accepted": StageFiles("accepted.safetensors", _write_accepted, _read_accepted),
    "metrics": StageFiles("metrics.json", _write_metrics, _read_metrics, beside=PER_SAMPLE),
}
"""The stages of a generation and their files."""

FORMAT_2: Mapping[str, StageFiles] = {
    **STAGES,
    "accepted": StageFiles("samples.safetensors", _add_accepted, _read_added_accepted),
}
"""The same in a run of format 2, in which the accepted rows are added to the samples.

A run that began with format 2 goes on with it: its environment.json, whose hash is in every
manifest, names the format, and the version that began the run can still open it.
"""

FORMATS = {2: FORMAT_2, 3: STAGES, FORMAT_VERSION: STAGES}
"""The files of the stages, by the format of the run."""
