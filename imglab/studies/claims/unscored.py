"""Chains of solvable models, of which only the models' own metrics are kept, many to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from imglab.config.load import validate_config
from imglab.config.schema import RunConfig
from imglab.config.yaml import parse_yaml
from imglab.errors import InputError, Stopped
from imglab.loop import run_chain
from imglab.measure import Measure
from imglab.measures import Features, Measures
from imglab.modality import Split
from imglab.progress import Stage
from imglab.running.build import build
from imglab.running.interrupt import STOPPED
from imglab.samples import Samples
from imglab.store import files
from imglab.store.reading import is_number
from imglab.studies.claims.stored import STORED_KEYS, Stored
from imglab.studies.jobs import Job, Outcome

Rows = Sequence[Mapping[str, Any]]
"""The metrics of a chain's generations, from 0 on."""


class Unscored(Measure):
    """Compares no distributions: only what data and model measure themselves is asked for."""

    def prepare(self, n_synthetic: int | None = None) -> Stage[None]:
        """Do nothing: no features of real data are asked for."""
        yield from ()

    def real(self, split: Split) -> Tensor:
        """Return the data as features; curators ask for them."""
        return self.modality.real(split).data.float()

    def features(self, samples: Samples) -> Stage[Features]:
        """Return the data as features."""
        yield from ()
        return Features(samples.data, "data")

    def scores(self, samples: Samples, features: Tensor) -> Stage[Measures]:
        """Return nothing."""
        yield from ()
        return Measures()

    def of_accepted(
        self, samples: Samples, features: Tensor, accepted: Tensor, scores: Measures
    ) -> Stage[Measures]:
        """Return nothing."""
        yield from ()
        return Measures()


def unscored_job(texts: Mapping[int, str], path: Path, generations: Sequence[int]) -> Job:
    """Return the job of running chains into the file `path`.

    texts        the config of each chain as YAML, by its seed
    generations  those whose metrics are kept
    """
    return Job(_run, (dict(texts), path, list(generations)))


def _run(texts: Mapping[int, str], path: Path, generations: Sequence[int]) -> Outcome:
    def config_of(seed: int) -> RunConfig:
        return validate_config(parse_yaml(texts[seed], str(path)), str(path))

    try:
        run_unscored(config_of, list(texts), generations, path)
    except InputError as error:
        return Outcome(2, str(error))
    except Stopped as stopped:
        return Outcome(STOPPED, str(stopped))
    return Outcome(0)


def run_unscored(
    config_of: Callable[[int], RunConfig],
    seeds: Sequence[int],
    generations: Sequence[int],
    path: Path | None = None,
) -> Stored:
    """Run the chains of these seeds and return their metrics in some generations.

    path  a file in which they are kept; chains that are in it do not run again
    """
    stored = Stored.empty(generations)
    if path is not None and path.exists():
        stored = Stored(files.read_json(path, STORED_KEYS))

    missing = [seed for seed in seeds if seed not in stored.seeds]
    for seed in missing:
        rows = _metrics(config_of(seed), seed)
        stored.add(seed, [dict(_flat(rows[g])) for g in generations])

    if missing and path is not None:
        files.make_folder(path.parent)
        files.write_json(path, stored.tree)
    return stored


def _metrics(config: RunConfig, seed: int) -> Rows:
    """Run a chain and return the metrics of all its generations."""
    experiment = build(config, "claims")

    # Nobody looks at these chains: one shown sample is the least.
    chain = run_chain(
        experiment.modality,
        experiment.models,
        experiment.regime,
        generations=config.generations,
        samples=experiment.drawn,
        start=config.start,
        curator=experiment.curator,
        remedies=experiment.remedies,
        shown=1,
        seed=seed,
        measure=Unscored(experiment.modality),
    )
    return [generation.metrics for generation in chain]


def _flat(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a generation's metrics, those of tables by dotted names."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif is_number(value):
            yield prefix + name, float(value)
