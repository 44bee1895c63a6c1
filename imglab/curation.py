"""Curation: which of the samples that a generation drew go on to the pool.

A curator is a function of the samples and their `Context` that returns the indices of the accepted
samples, int64 [M], ascending, none twice. It stands between model and pool: metrics are taken of
all samples drawn, and again of those accepted. Feng et al. 2024 ("Beyond model collapse",
2406.07515) show that verified selection can avoid the collapse.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from imglab import seeds
from imglab.constructors import renamed_arguments
from imglab.errors import InputError, Problem, Stopped
from imglab.failures import raise_if_unavailable
from imglab.metrics import nearest_distances
from imglab.metrics.neighbours import kth_squared_distance
from imglab.metrics.points import in_one_frame
from imglab.modality import Exporter, Judge, Modality, WatermarkDetector
from imglab.model import Density, GenerativeModel, HasAbilities
from imglab.samples import Samples, hash_samples
from imglab.store import files
from imglab.store.files import read_signed

Ability = TypeVar("Ability")

BLOCK = 512
"""Samples that are compared with each other at a time."""

MARKS = "marks.csv"
NAMES = ".names.json"
YES = {"1", "yes", "y", "keep"}
NO = {"0", "no", "n", "drop"}

CALIBRATION_SAMPLES = 4096
"""At most so many real samples set the threshold of the watermark detector."""


@renamed_arguments(first="generation0", desk="annotations")
@dataclass(frozen=True)
class Context:
    """What a curator may know beside the samples.

    features     of the samples, float32 [N, D]
    real         features of the real training set, float32 [M, D]
    modality     the kind of data
    generation0  the model of generation 0
    generation   the number of the generation that drew the samples
    seed         of this curation: the same samples and seed give the same choice
    annotations  folder where a person is asked, or None where there is none
    """

    features: Tensor
    real: Tensor
    modality: Modality
    generation0: GenerativeModel
    generation: int
    seed: int
    annotations: Path | None = None

    @property
    def first(self) -> GenerativeModel:
        """The name of `generation0` in version 0.1."""
        return self.generation0

    @property
    def desk(self) -> Path | None:
        """The name of `annotations` in version 0.1."""
        return self.annotations


class Curator(Protocol):
    """Chooses the samples that are accepted."""

    def __call__(self, samples: Samples, context: Context) -> Tensor:  # noqa: D102
        ...


def kept_size(drawn: int, keep: float) -> int:
    """Return how many samples a share `keep` of `drawn` is, rounded to the nearest."""
    return round(drawn * keep)


def drawn_size(samples: int, keep: float) -> int:
    """Return how many samples must be drawn for a share `keep` of them to be `samples`."""
    return round(samples / keep)


def random(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep a share at random: the control of every other curator."""
    order = torch.randperm(len(samples), generator=seeds.generator(context.seed))
    return order[: kept_size(len(samples), keep)].sort().values


def confidence(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep the share of which the modality's judge is most sure."""
    judge = _required(context.modality, Judge)
    return _best(judge.confidence(samples), keep)


def oracle(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep the share nearest to real training samples, by features: it knows the truth."""
    return _best(-nearest_distances(train=context.real, synthetic=context.features), keep)


def density(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep the share most likely under generation 0's model; for text, of lowest perplexity."""
    return _best(_required(context.generation0, Density).log_density(samples), keep)


def diversity(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep a share that is spread as far as possible (Gonzalez 1985).

    Each next sample is the one farthest from those chosen before.
    """
    features = context.features.double()
    size = kept_size(len(samples), keep)
    if not size:
        return torch.empty(0, dtype=torch.int64)

    # Begin with the sample nearest to the mean. A chosen one gets distance -1, so that it is not
    # chosen again where all samples are equal.
    chosen = [int((features - features.mean(0)).square().sum(1).argmin())]
    distance = (features - features[chosen[0]]).square().sum(1)
    distance[chosen[0]] = -1

    for _ in range(size - 1):
        chosen.append(int(distance.argmax()))
        distance_to_last = (features - features[chosen[-1]]).square().sum(1)
        distance = torch.minimum(distance, distance_to_last)
        distance[chosen[-1]] = -1
    return torch.tensor(chosen).sort().values


def duplicates(samples: Samples, context: Context, *, distance: float) -> Tensor:
    """Drop each sample that is nearer to an earlier, accepted one than `distance`.

    The unit is the real training set's median distance to the nearest other sample; 0 drops exact
    repeats only.
    """
    if len(context.real) < 2:
        what = "its unit needs two real training samples"
        raise InputError(Problem("curate.distance", what, "add some"))

    (real,) = in_one_frame(context.real)
    nearest = kth_squared_distance(real, (1,))[0][real.inverse]
    unit = float(nearest.median().sqrt()) / real.frame.scale

    features = context.features.double()
    radius = distance * unit
    accepted: list[int] = []
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK]
        free = torch.ones(len(block)).bool()
        if accepted:
            free = ~_near(block, features[accepted], radius).any(1)

        # Within the block each accepted sample takes those after it that are too near.
        near = _near(block, block, radius)
        for row in range(len(block)):
            if free[row]:
                accepted.append(start + row)
                free[row + 1 :] &= ~near[row, row + 1 :]
    return torch.tensor(accepted)


def drop_watermarked(
    samples: Samples, context: Context, *, key: int, false_positive_rate: float, error_rate: float
) -> Tensor:
    """Drop samples in which the detector finds the watermark of `key`.

    false_positive_rate  share of the real training set in which it finds the mark: its threshold
    error_rate           probability that a verdict is turned round
    """
    detector = _required(context.modality, WatermarkDetector)

    # Set the threshold on real samples, which carry no mark.
    real = context.modality.real("train")
    order = torch.randperm(len(real), generator=seeds.generator("watermark", "calibration"))
    rows = order[:CALIBRATION_SAMPLES].sort().values
    scores = detector.watermark_scores(real[rows], key=key)
    threshold = scores.quantile(1 - false_positive_rate)

    is_unmarked = detector.watermark_scores(samples, key=key) <= threshold
    is_wrong = torch.rand(len(samples), generator=seeds.generator(context.seed)) < error_rate
    return (is_unmarked ^ is_wrong).nonzero().flatten()


def human(samples: Samples, context: Context) -> Tensor:
    """Ask a person: export the samples and a list to mark, stop, and go on when all are marked."""
    folder = context.annotations
    if folder is None:
        what = "`human` needs a run directory"
        raise InputError(Problem("curate.kind", what, "run it with --out"))

    path = folder / MARKS
    if not path.exists():
        _ask(samples, context, folder)
    asked = read_signed(folder / NAMES, ("names", "samples"))
    if asked["samples"] != hash_samples(samples):
        what = "holds marks of other samples: the generation was made again and differs"
        remedy = "move it away, and mark the samples that are drawn now"
        raise InputError(Problem(str(folder), what, remedy))

    marks = _read_marks(path, asked["names"])
    unmarked = marks.count("")
    if unmarked:
        raise Stopped(
            f"waiting for marks: {unmarked} of {len(marks)} samples of generation "
            f"{context.generation} are not marked; write 1 (keep) or 0 (drop) beside each in "
            f"{path} and run the same command again"
        )

    accepted = [row for row, mark in enumerate(marks) if mark in YES]
    if not accepted:  # said now, while the marks can still be changed
        what = "keeps no sample, so that nothing is left to train on"
        raise InputError(Problem(str(path), what, "mark some with 1"))
    return torch.tensor(accepted, dtype=torch.int64)


def _required(owner: HasAbilities, ability: type[Ability]) -> Ability:
    """Return what provides an ability; InputError where there is none."""
    provider = owner.ability(ability)
    if provider is None:
        what = f"{type(owner).__name__} does not have what this curator needs"
        raise InputError(Problem("curate.kind", f"{what}: {ability.__doc__}", "choose another"))
    return provider


def _best(scores: Tensor, keep: float) -> Tensor:
    """Return the indices of the highest scores; NaN is the worst, and of equals the first wins."""
    order = scores.double().nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
    return order[: kept_size(len(scores), keep)].sort().values


def _near(one: Tensor, two: Tensor, radius: float) -> Tensor:
    """Say which rows [N, D] and [M, D] are near each other, bool [N, M]."""
    distance = torch.cdist(one, two, compute_mode="donot_use_mm_for_euclid_dist")
    if radius == 0:
        return distance == 0
    return distance < radius


def _ask(samples: Samples, context: Context, folder: Path) -> None:
    """Export the samples into `folder`, beside a list on which a person marks them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = _required(context.modality, Exporter).export(samples, folder)
    files.write_signed(folder / NAMES, {"names": names, "samples": hash_samples(samples)})

    buffer = io.StringIO()
    rows = [("file", "keep"), *((name, "") for name in names)]
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    files.write_bytes(folder / MARKS, buffer.getvalue().encode())


def _read_marks(path: Path, names: Sequence[str]) -> list[str]:
    """Return the marks in the order of the samples' file names; "" where there is none yet.

    Raises InputError where the list cannot be read, a mark is unknown or a line is missing.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, ValueError, csv.Error) as error:
        raise_if_unavailable(error, path)
        problem = Problem(str(path), f"cannot be read: {error}", "remove it to get a new one")
        raise InputError(problem) from error

    remedy = "one line for each file; remove the list to get a new one"
    marks: dict[str, str] = {}
    for line, row in enumerate(rows[1:], 2):
        if not row:
            continue
        where = f"{path}, line {line}"
        name = row[0].strip()
        mark = "".join(row[1:2]).strip().lower()

        if mark and mark not in YES | NO:
            what = f"{mark!r} is not a mark"
            raise InputError(Problem(where, what, "1 (keep) or 0 (drop)"))
        if name in marks:
            raise InputError(Problem(where, f"names {name!r} twice", remedy))
        if name not in names:
            raise InputError(Problem(where, f"{name!r} is not the file of a sample", remedy))
        marks[name] = mark

    missing = [name for name in names if name not in marks]
    if missing:
        what = f"marks {len(marks)} of {len(names)} samples: {missing[0]} is missing"
        raise InputError(Problem(str(path), what, remedy))
    return [marks[name] for name in names]
