"""What a page tells of: arms, each a chain or the seeds of one, read from their directories. No torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from imglab.config.load import validate_config
from imglab.config.merge import flattened
from imglab.config.schema import RunConfig
from imglab.config.yaml import read_yaml
from imglab.errors import InputError, Problem
from imglab.solvable.theory.predict import predict
from imglab.store.files import read_json
from imglab.store.groups import chains_of
from imglab.store.layout import FORK, MANIFEST, SWEEP, count_finished, finished, generation_folder
from imglab.store.links import check_links
from imglab.store.reading import is_number, read_environment, read_generation, read_metrics

Rows = Sequence[Mapping[str, Any]]
Bands = Mapping[str, Mapping[str, Sequence[float | None]]]


@dataclass(frozen=True)
class Arm:
    """A chain on a page, or one arm of a sweep, of which the first seed is shown and all are measured.

    rows   metrics of the finished generations; none: nothing is finished yet
    seeds  how many chains the bands are made of
    bands  metric -> mean, low, high of each generation, over the seeds of a sweep
    note   what could not be read, if anything
    """

    name: str
    folder: Path
    rows: Rows
    seeds: int = 1
    bands: Bands = field(default_factory=dict)
    note: str = ""

    @cached_property
    def config(self) -> RunConfig:
        """The resolved config."""
        path = self.folder / "config.yaml"
        return validate_config(read_yaml(path), str(path))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The resolved config, as dotted keys."""
        return dict(flattened(self.config.model_dump(mode="json")))

    @property
    def planned(self) -> int:
        """Generations that the chain is to have."""
        return self.config.generations

    @property
    def finished(self) -> bool:
        """Say whether all generations are there."""
        return len(self.rows) >= self.planned

    @property
    def kind(self) -> str:
        """The kind of data."""
        return str(getattr(self.config.modality, "kind", ""))

    @property
    def measured_with(self) -> tuple[Any, ...]:
        """What two arms must share for their numbers to be compared: data, extractor, reference, sizes."""
        first = self.rows[0]
        told = tuple(first.get(key) for key in ("extractor", "reference", "n_real", "n_synthetic"))
        return (self.kind, self.environment()["data"].get(first.get("reference")), *told)

    @cached_property
    def theory(self) -> Mapping[str, Sequence[float | None]]:
        """What theory expects of each metric in generations 0, 1, ...; of a fork, whose rules changed, nothing."""
        return expected(self.folder, self.config, self.rows)

    def series(self, metric: str) -> list[tuple[int, float, float, float]]:
        """Return (generation, value, low, high) of a metric where it is defined.

        Low and high are one standard error away, or the 95% band over the seeds of a sweep.
        """
        if self.bands:
            columns = [self.bands.get(metric, {}).get(key, ()) for key in ("mean", "low", "high")]
            found = [(g, *values) for g, values in enumerate(zip(*columns, strict=True))]
            return [
                (g, value, value if low is None else low, value if high is None else high)
                for g, value, low, high in found
                if value is not None
            ]
        known = [row for row in self.rows if is_number(row.get(metric))]
        errors = [
            row[f"{metric}_se"] if is_number(row.get(f"{metric}_se")) else 0.0 for row in known
        ]
        return [
            (row["generation"], row[metric], row[metric] - error, row[metric] + error)
            for row, error in zip(known, errors, strict=True)
        ]

    def environment(self) -> dict[str, Any]:
        """What the chain was made with."""
        return read_environment(self.folder)

    def manifest(self, g: int) -> dict[str, Any]:
        """Return the manifest of generation g."""
        return read_json(generation_folder(self.folder, g) / MANIFEST, ("files", "self"))

    def seconds(self) -> dict[int, dict[str, float]]:
        """Return how long each stage of each generation took, from events.jsonl; torn lines are passed over."""
        found: dict[int, dict[str, float]] = {}
        path = self.folder / "events.jsonl"
        for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if (
                isinstance(event, dict)
                and is_number(event.get("seconds"))
                and type(event.get("generation")) is int
            ):
                stages = found.setdefault(event["generation"], {})
                stages[str(event.get("stage"))] = float(event["seconds"])
        return found


def expected(folder: Path, config: RunConfig, rows: Rows) -> dict[str, list[float | None]]:
    """Return what theory expects of the chain in `folder`, whose first generation had the whole real set."""
    return (
        predict(config, rows[0]["n_train"], len(rows))
        if rows and not (folder / FORK).exists()
        else {}
    )


def read_arms(folders: Sequence[Path]) -> list[Arm]:
    """Return the arms that these directories hold: of runs, side-by-side runs and sweeps.

    InputError where one is none of these, or where no generation at all is finished.
    """
    arms = [arm for folder in folders for arm in _arms_of(folder)]
    if not any(arm.rows for arm in arms):
        damaged = [
            Problem(str(arm.folder), arm.note, "imglab verify tells more")
            for arm in arms
            if arm.note
        ]
        if damaged:
            raise InputError(damaged)
        where = ", ".join(map(str, folders))
        raise InputError(
            Problem(where, "has no finished generation yet", "run it first, or use `run --live`")
        )
    return _with_names_of_their_own(arms)


def differences(arms: Sequence[Arm]) -> dict[str, list[Any]]:
    """Return the keys of the configs in which arms differ, with each arm's value; names and threads left out."""
    keys = {key: None for arm in arms for key in arm.settings if key not in ("name", "threads")}
    found = {key: [arm.settings.get(key) for arm in arms] for key in keys}
    return {
        key: values for key, values in found.items() if any(value != values[0] for value in values)
    }


def comparable(arms: Sequence[Arm]) -> list[list[Arm]]:
    """Group the arms that have generations by what they were measured with."""
    groups: dict[tuple[Any, ...], list[Arm]] = {}
    for arm in arms:
        if arm.rows:
            groups.setdefault(arm.measured_with, []).append(arm)
    return list(groups.values())


def _arms_of(folder: Path) -> list[Arm]:
    check_links(folder)
    if (folder / SWEEP).is_file():
        return _arms_of_sweep(folder)
    chains = chains_of(folder)
    if chains is None:
        return [_arm(folder, folder.resolve().name)]
    return [
        _arm(folder / name, name) for name in chains if (folder / name / "config.yaml").is_file()
    ]


def _arm(folder: Path, name: str) -> Arm:
    """Read a chain as far as its files can be read; what stops it is noted."""
    if not (folder / "config.yaml").is_file():
        read_metrics(folder)  # says what this folder is not
    rows: list[dict[str, Any]] = []
    try:
        if finished(folder, 0):
            read_environment(folder)
        for g in range(count_finished(folder)):
            rows.append(read_generation(folder, g))
    except InputError as error:
        return Arm(name, folder, rows, note=str(error))
    return Arm(name, folder, rows)


def _arms_of_sweep(folder: Path) -> list[Arm]:
    from imglab.studies.sweeps.results import read_sweep, summarise

    sweep = read_sweep(folder)
    bands = summarise(sweep, [])["bands"]
    found = []
    for name, seeds in sweep.items():
        first = min(seeds)
        run = folder / name / f"seed-{first}"
        found.append(
            Arm(name, run, seeds[first], len(seeds), bands[name] if len(seeds) > 1 else {})
        )
    return found


def _with_names_of_their_own(arms: Sequence[Arm]) -> list[Arm]:
    often = Counter(arm.name for arm in arms)
    renamed = [Arm(str(arm.folder), *_rest(arm)) if often[arm.name] > 1 else arm for arm in arms]
    seen: Counter[str] = Counter()
    found = []
    for arm in renamed:
        seen[arm.name] += 1
        found.append(
            Arm(f"{arm.name} ({seen[arm.name]})", *_rest(arm)) if seen[arm.name] > 1 else arm
        )
    return found


def _rest(arm: Arm) -> tuple[Path, Rows, int, Bands, str]:
    return arm.folder, arm.rows, arm.seeds, arm.bands, arm.note
