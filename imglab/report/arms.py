"""The arms of a page, each a chain or the seeds of one, read from their directories. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from imglab.config.load import validate_config
from imglab.config.merge import flattened
from imglab.config.schema import RunConfig
from imglab.config.yaml import read_yaml
from imglab.errors import InputError, Problem
from imglab.report.overview import NOT_COMPARED
from imglab.report.values import Rows, defined_rows, standard_error
from imglab.solvable.theory.predict import predict
from imglab.store.event_log import read_events
from imglab.store.files import read_json
from imglab.store.groups import chains_of
from imglab.store.layout import FORK, MANIFEST, SWEEP, count_finished, finished, generation_folder
from imglab.store.links import check_links
from imglab.store.reading import is_number, read_environment, read_generation, read_metrics

Bands = Mapping[str, Mapping[str, Sequence[float | None]]]
"""For each metric: mean, low and high of each generation."""


@dataclass(frozen=True)
class Arm:
    """A chain on a page, or one arm of a sweep: all of its seeds are measured, the first is shown.

    rows   metrics of the finished generations; empty: none is finished yet
    seeds  number of chains from which the bands are computed
    bands  metric -> mean, low and high of each generation, over the seeds of a sweep
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
        """Number of generations that the chain will have."""
        return self.config.generations

    @property
    def finished(self) -> bool:
        """Whether all generations are finished."""
        return len(self.rows) >= self.planned

    @property
    def kind(self) -> str:
        """The kind of data."""
        return str(getattr(self.config.modality, "kind", ""))

    @property
    def measured_with(self) -> tuple[Any, ...]:
        """What two arms must share for comparable numbers: data, extractor, reference, sizes."""
        first = self.rows[0]
        data = self.environment()["data"].get(first.get("reference"))
        keys = ("extractor", "reference", "n_real", "n_synthetic")
        return (self.kind, data, *(first.get(key) for key in keys))

    @cached_property
    def theory(self) -> Mapping[str, Sequence[float | None]]:
        """What theory expects of each metric in generations 0, 1, ...; see `expected`."""
        return expected(self.folder, self.config, self.rows)

    def series(self, metric: str) -> list[tuple[int, float, float, float]]:
        """Return (generation, value, low, high) of a metric where it is defined.

        Low and high are one standard error away, or the 95% band over the seeds of a sweep.
        """
        if self.bands:
            return list(self._band(metric))

        points = []
        for row in defined_rows(self.rows, metric):
            value = row[metric]
            error = standard_error(row, metric)
            points.append((row["generation"], value, value - error, value + error))
        return points

    def _band(self, metric: str) -> Iterator[tuple[int, float, float, float]]:
        """Yield the points of a sweep; a single seed has no band, so its ends are the value."""
        band = self.bands.get(metric, {})
        columns = [band.get(key, ()) for key in ("mean", "low", "high")]
        for g, (value, low, high) in enumerate(zip(*columns, strict=True)):
            if value is None:
                continue

            if low is None:
                low = value
            if high is None:
                high = value
            yield g, value, low, high

    def environment(self) -> dict[str, Any]:
        """Return environment.json: data, packages and machine of the chain."""
        return read_environment(self.folder)

    def manifest(self, g: int) -> dict[str, Any]:
        """Return the manifest of generation g."""
        return read_json(generation_folder(self.folder, g) / MANIFEST, ("files", "self"))

    def seconds(self) -> dict[int, dict[str, float]]:
        """Return how long each stage of each generation took, from events.jsonl."""
        path = self.folder / "events.jsonl"
        if not path.exists():
            return {}

        seconds: dict[int, dict[str, float]] = {}
        for event in read_events(path):
            if _is_stage(event):
                stages = seconds.setdefault(event["generation"], {})
                stages[str(event.get("stage"))] = float(event["seconds"])
        return seconds


def expected(folder: Path, config: RunConfig, rows: Rows) -> dict[str, list[float | None]]:
    """Return what theory expects of each metric in generations 0, 1, ... of the chain in `folder`.

    The closed forms assume that generation 0 had the whole real set and that the rules never
    changed, so nothing is expected of a fork.
    """
    if not rows or (folder / FORK).exists():
        return {}
    return predict(config, rows[0]["n_train"], len(rows))


def read_arms(folders: Sequence[Path]) -> list[Arm]:
    """Return the arms that these directories of runs, side-by-side runs and sweeps hold.

    InputError says that one is none of these, or that no generation at all is finished.
    """
    arms = [arm for folder in folders for arm in _arms_of(folder)]
    if any(arm.rows for arm in arms):
        return _with_unique_names(arms)

    unreadable = [arm for arm in arms if arm.note]
    if unreadable:
        remedy = "`imglab verify` names all damaged files"
        raise InputError([Problem(str(arm.folder), arm.note, remedy) for arm in unreadable])
    where = ", ".join(map(str, folders))
    what = "has no finished generation yet"
    raise InputError(Problem(where, what, "run it first, or use `run --live`"))


def differences(arms: Sequence[Arm]) -> dict[str, list[Any]]:
    """Return the config keys in which arms differ, with each arm's value; None: it has none."""
    keys = {key: None for arm in arms for key in arm.settings if key not in NOT_COMPARED}
    values = {key: [arm.settings.get(key) for arm in arms] for key in keys}
    return {
        key: of_arms
        for key, of_arms in values.items()
        if any(value != of_arms[0] for value in of_arms)
    }


def comparable(arms: Sequence[Arm]) -> list[list[Arm]]:
    """Group the arms that have finished generations by what they were measured with."""
    groups: dict[tuple[Any, ...], list[Arm]] = {}
    for arm in arms:
        if arm.rows:
            groups.setdefault(arm.measured_with, []).append(arm)
    return list(groups.values())


def _is_stage(event: Mapping[str, Any]) -> bool:
    """Say whether an event tells how long a stage of a generation took."""
    return is_number(event.get("seconds")) and type(event.get("generation")) is int


def _arms_of(folder: Path) -> list[Arm]:
    check_links(folder)
    if (folder / SWEEP).is_file():
        return _arms_of_sweep(folder)

    chains = chains_of(folder)
    if chains is None:
        return [_arm(folder, folder.resolve().name)]
    begun = [name for name in chains if (folder / name / "config.yaml").is_file()]
    return [_arm(folder / name, name) for name in begun]


def _arm(folder: Path, name: str) -> Arm:
    """Read a chain as far as its files can be read; what stops the reading is noted."""
    if not (folder / "config.yaml").is_file():
        read_metrics(folder)  # raises an error that says what this folder is not

    rows: list[dict[str, Any]] = []
    note = ""
    try:
        if finished(folder, 0):
            read_environment(folder)
        for g in range(count_finished(folder)):
            rows.append(read_generation(folder, g))
    except InputError as error:
        note = str(error)

    return Arm(name, folder, rows, note=note)


def _arms_of_sweep(folder: Path) -> list[Arm]:
    # This imports scipy, which takes longer than to build the page of a run.
    from imglab.studies.sweeps.results import read_sweep, summarise

    sweep = read_sweep(folder)
    bands = summarise(sweep, [])["bands"]

    arms = []
    for name, seeds in sweep.items():
        first = min(seeds)
        arm = Arm(name, folder / name / f"seed-{first}", seeds[first], len(seeds))
        if len(seeds) > 1:
            arm = replace(arm, bands=bands[name])
        arms.append(arm)
    return arms


def _with_unique_names(arms: Sequence[Arm]) -> list[Arm]:
    """Name arms of one name by their folders, and number those that are in the same folder."""
    count = Counter(arm.name for arm in arms)
    seen: Counter[str] = Counter()

    renamed = []
    for arm in arms:
        name = arm.name
        if count[name] > 1:
            name = str(arm.folder)

        seen[name] += 1
        if seen[name] > 1:
            name = f"{name} ({seen[name]})"
        renamed.append(replace(arm, name=name))
    return renamed
