"""Has a model learnt the distribution or its samples? Two fits on disjoint halves of the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from imglab import seeds
from imglab.config.schema import RunConfig
from imglab.errors import InputError, Problem
from imglab.metrics.memorization import agreement, nearest_distances
from imglab.model import GenerativeModel
from imglab.progress import Progress, Stage
from imglab.running.build import Experiment, build
from imglab.samples import Samples, TrainingSet

FEWEST = 20
"""Real training samples that are worth halving."""


@dataclass(frozen=True)
class HalvesResult:
    """What two models made that were fitted to disjoint halves of the real training data.

    half            real samples that each was fitted to
    samples         that each drew, of the same noise
    corresponding   median cosine similarity of what both made of one noise, in [-1, 1]
    unrelated       the same of what they made of two
    nearer_own      share of the samples that lie nearer to the half that their model was fitted to
                    than to the other one, ties counted half; the mean of both models, so that it
                    does not matter if one half is denser
    nearer_own_se   its standard error where nothing is memorized
    """

    name: str
    half: int
    samples: int
    corresponding: float
    unrelated: float
    nearer_own: float
    nearer_own_se: float

    def as_json(self) -> dict[str, Any]:
        """Return JSON values by name."""
        return asdict(self)


def compare_halves(config: RunConfig, where: str, n: int) -> Stage[HalvesResult]:
    """Fit the config's model to each half of the real training data, and compare what they draw.

    n  samples that each model draws, under the same conditions and of the same noise

    Models that have learnt the distribution make nearly the same of one noise, and their samples
    are as near to one half as to the other. Those that have memorized do neither (Kadkhodaie et
    al. 2024, Generalization in diffusion models). Both are compared as data: pixels, or vectors.
    The first holds of models that turn noise into a sample smoothly, as diffusion models do, and
    not of those that draw along eigenvectors or choose among samples.
    Raises InputError for data that are no such numbers, for populations, and for too few samples.
    """
    experiment = build(config, where)
    model = _only_model(experiment, where)
    train = experiment.modality.real("train")
    _check_data(train, where)

    order = torch.randperm(len(train), generator=seeds.generator(config.seed, "halves"))
    size = len(train) // 2
    halves = [train[order[:size].sort().values], train[order[size : 2 * size].sort().values]]
    conditions = None
    if model.conditional:
        seed = seeds.derive(config.seed, "halves", "conditions")
        conditions = experiment.modality.conditions(TrainingSet.of(train), n, seed=seed)

    drawn = []
    for number, half in enumerate(halves):
        fitted = yield from model.fit(
            TrainingSet.of(half),
            start=model.pretrained,
            seed=seeds.derive(config.seed, "halves", "fit", number),
        )
        samples = yield from _draw(fitted, n, conditions, seed=config.seed)
        drawn.append(_vectors(samples))
    return _compared(config.name, [_vectors(half) for half in halves], drawn)


def _draw(
    fitted: GenerativeModel, n: int, conditions: Tensor | None, *, seed: int
) -> Stage[Samples]:
    parts = []
    noise = seeds.derive(seed, "halves", "noise")
    for part in fitted.draw(range(n), conditions=conditions, seed=noise):
        parts.append(part)
        yield Progress("draw", sum(map(len, parts)), n)
    return Samples.concatenate(parts)


def _compared(name: str, halves: list[Tensor], drawn: list[Tensor]) -> HalvesResult:
    of_noise = agreement(one=drawn[0], other=drawn[1])
    shares = []
    for learned, unseen, samples in zip(halves, halves[::-1], drawn, strict=True):
        to_own = nearest_distances(train=learned, synthetic=samples)
        to_other = nearest_distances(train=unseen, synthetic=samples)
        is_nearer = (to_own < to_other).double() + 0.5 * (to_own == to_other).double()
        shares.append(float(is_nearer.mean()))
    return HalvesResult(
        name=name,
        half=len(halves[0]),
        samples=len(drawn[0]),
        corresponding=of_noise.corresponding,
        unrelated=of_noise.unrelated,
        nearer_own=sum(shares) / len(shares),
        nearer_own_se=0.5 / sum(map(len, drawn)) ** 0.5,
    )


def _vectors(samples: Samples) -> Tensor:
    """Return the data as one vector for each sample, float32 [N, D]."""
    return samples.data.flatten(1).float()


def _only_model(experiment: Experiment, where: str) -> GenerativeModel:
    if len(experiment.models) > 1 or len(experiment.models[0].members) > 1:
        what = "is a population, halves are of one model"
        raise InputError(Problem(f"{where}: model", what, "give a config with one model"))
    return experiment.models[0]


def _check_data(train: Samples, where: str) -> None:
    """Raise InputError unless the data are numbers of which there are enough."""
    if not (train.data.dtype == torch.uint8 or train.data.is_floating_point()):
        what = "holds numbers of tokens or categories, whose distances say nothing"
        remedy = "halves are of images and of vectors; for text read `memorization`"
        raise InputError(Problem(f"{where}: modality", what, remedy))
    if len(train) < FEWEST:
        what = f"has {len(train)} training samples, halves need {FEWEST}"
        raise InputError(Problem(f"{where}: modality.n_train", what, f"at least {FEWEST}"))
