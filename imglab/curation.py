"""Curation: which of the samples that a generation drew go on to the pool.

A curator is a function of the samples and their `Context` that returns the indices of those accepted, int64 [M],
ascending, none twice. It stands between model and pool: metrics are taken of all samples drawn, and again of those
accepted. Feng et al. 2024 ("Beyond model collapse", 2406.07515) show that verified selection can avoid the collapse.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from imglab import seeds
from imglab.errors import InputError, Problem, Stopped
from imglab.metrics import nearest_distances
from imglab.metrics.neighbours import in_one_frame, kth_squared_distance
from imglab.modality import Modality
from imglab.model import GenerativeModel
from imglab.samples import Samples, hash_samples
from imglab.store import files
from imglab.store.files import read_signed

BLOCK = 512
MARKS, NAMES = "marks.csv", ".names.json"
YES, NO = {"1", "yes", "y", "keep"}, {"0", "no", "n", "drop"}
CALIBRATED = 4096
"""Real samples whose watermark scores set the detector's threshold, at most."""


@dataclass(frozen=True)
class Context:
    """What a curator may know beside the samples.

    features    of the samples, float32 [N, D]
    real        of the real training set, float32 [M, D]
    modality    the kind of data
    first       generation 0's model
    generation  which one drew
    seed        of this curation: the same samples and seed give the same choice
    desk        folder where a person is asked, or None where there is none
    """

    features: Tensor
    real: Tensor
    modality: Modality
    first: GenerativeModel
    generation: int
    seed: int
    desk: Path | None = None


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
    """Keep the share of which the modality's classifier is most sure."""
    return _best(context.modality.confidence(samples), keep)


def oracle(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep the share nearest to real training samples, by features: a verifier that knows the truth."""
    return _best(-nearest_distances(train=context.real, synthetic=context.features), keep)


def density(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep the share most likely under generation 0's model; of text: of lowest perplexity."""
    return _best(context.first.log_density(samples), keep)


def diversity(samples: Samples, context: Context, *, keep: float) -> Tensor:
    """Keep a share that is spread as far as possible: each next one farthest from those kept (Gonzalez 1985)."""
    features, size = context.features.double(), kept_size(len(samples), keep)
    if not size:
        return torch.empty(0, dtype=torch.int64)
    chosen = [int((features - features.mean(0)).square().sum(1).argmin())]
    nearest = (features - features[chosen[0]]).square().sum(1)
    nearest[chosen[0]] = -1  # so that it is not chosen again where all are equal
    for _ in range(size - 1):
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (features - features[chosen[-1]]).square().sum(1))
        nearest[chosen[-1]] = -1
    return torch.tensor(chosen).sort().values


def duplicates(samples: Samples, context: Context, *, distance: float) -> Tensor:
    """Drop each sample that is nearer to an earlier, accepted one than `distance`.

    In units of the real training set's median distance to the nearest other sample; 0 drops exact repeats only.
    """
    if len(context.real) < 2:
        raise InputError(
            Problem("curate.distance", "its unit needs two real training samples", "add some")
        )
    (real,) = in_one_frame(context.real)
    unit = (
        float(kth_squared_distance(real, (1,))[0][real.inverse].median().sqrt()) / real.frame.scale
    )
    features, radius = context.features.double(), distance * unit
    accepted: list[int] = []
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK]
        free = (
            ~_near(block, features[accepted], radius).any(1)
            if accepted
            else torch.ones(len(block)).bool()
        )
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

    Its threshold lets it find the mark in a share `false_positive_rate` of the real training set; beyond that, each
    verdict is turned round with probability `error_rate`.
    """
    found, real = context.modality.watermark_scores, context.modality.real("train")
    rows = torch.randperm(len(real), generator=seeds.generator("watermark", "calibration"))[
        :CALIBRATED
    ]
    threshold = found(real[rows.sort().values], key=key).quantile(1 - false_positive_rate)
    wrong = torch.rand(len(samples), generator=seeds.generator(context.seed)) < error_rate
    return ((found(samples, key=key) <= threshold) ^ wrong).nonzero().flatten()


def human(samples: Samples, context: Context) -> Tensor:
    """Ask a person: export the samples and a list to mark, stop, and go on when all are marked."""
    if context.desk is None:
        raise InputError(
            Problem("curate.kind", "`human` needs a run directory", "run it with --out")
        )
    path = context.desk / MARKS
    if not path.exists():
        context.desk.mkdir(parents=True, exist_ok=True)
        names = context.modality.export(samples, context.desk)
        files.write_signed(context.desk / NAMES, {"names": names, "samples": hash_samples(samples)})
        files.write_bytes(path, _csv([("file", "keep"), *((name, "") for name in names)]))
    asked = read_signed(context.desk / NAMES, ("names", "samples"))
    if asked["samples"] != hash_samples(samples):
        what = (
            "has marks of other samples: the generation was made again, and differs in the last bit"
        )
        raise InputError(
            Problem(str(context.desk), what, "move it away, and mark those that are drawn now")
        )
    rows = _marks(path, asked["names"])
    open_ = sum(not mark for mark in rows)
    if open_:
        raise Stopped(
            f"waiting for marks: {open_} of {len(rows)} samples of generation {context.generation} are not marked; "
            f"write 1 (keep) or 0 (drop) beside each in {path} and run the same command again"
        )
    kept = [at for at, mark in enumerate(rows) if mark in YES]
    if not kept:  # now, while the marks can still be changed
        raise InputError(
            Problem(
                str(path),
                "keeps no sample, so that nothing is left to train on",
                "mark some with 1",
            )
        )
    return torch.tensor(kept, dtype=torch.int64)


def _best(scores: Tensor, keep: float) -> Tensor:
    """Return the indices of the highest scores; what has none is the worst, and of equals the first are best."""
    order = scores.double().nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
    return order[: kept_size(len(scores), keep)].sort().values


def _near(one: Tensor, two: Tensor, radius: float) -> Tensor:
    distance = torch.cdist(one, two, compute_mode="donot_use_mm_for_euclid_dist")
    return (distance == 0) if radius == 0 else distance < radius


def _marks(path: Path, names: list[str]) -> list[str]:
    """Read the marks, in the order of the samples' file names; InputError where one is none, or a line is missing."""
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            Problem(str(path), f"cannot be read: {error}", "remove it to get a new one")
        ) from error
    remedy = "one line for each file; remove the list to get a new one"
    found: dict[str, str] = {}
    for line, row in enumerate(rows[1:], 2):
        if not row:
            continue
        name, mark = row[0].strip(), row[1].strip().lower() if len(row) > 1 else ""
        if mark and mark not in YES | NO:
            raise InputError(
                Problem(f"{path}, line {line}", f"{mark!r} is no mark", "1 (keep) or 0 (drop)")
            )
        if name in found or name not in names:
            what = (
                f"{name!r} stands there twice" if name in found else f"{name!r} is no sample's file"
            )
            raise InputError(Problem(f"{path}, line {line}", what, remedy))
        found[name] = mark
    if len(found) < len(names):
        missing = next(name for name in names if name not in found)
        raise InputError(
            Problem(
                str(path),
                f"marks {len(found)} of {len(names)} samples: {missing} is missing",
                remedy,
            )
        )
    return [found[name] for name in names]


def _csv(rows: list[tuple[str, str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()
