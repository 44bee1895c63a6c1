"""Many runs at a glance: how each stands, what it ended with, how its config differs. No torch."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imglab.config.merge import flattened
from imglab.config.yaml import read_yaml
from imglab.errors import InputError
from imglab.report.table import metric_label
from imglab.report.values import standard_error
from imglab.store.files import read_json
from imglab.store.layout import count_finished, generation_folder
from imglab.store.listing import folders_with, groups_below, is_being_written, runs_below
from imglab.store.reading import is_number, read_generation

NOT_COMPARED = ("name", "threads")
"""Keys of a config that change no result."""
MAP_FILES = ("map.json", "map.png")
"""What a map has once its page was written; the picture is on the page."""
VERDICTS = "claims.json"
COLUMNS = 5
"""Metrics of the table at most: those that most runs have among their headlines."""


@dataclass(frozen=True)
class Ending:
    """A metric of a run: its value in generation 0 and in the last one, and the latter's error."""

    first: float | None
    last: float | None
    error: float | None


@dataclass(frozen=True)
class Glance:
    """What the table says of a run.

    label     its place below the folder that is looked at
    status    `running` while a process writes it, `finished`, `stopped`, or `damaged`
    finished  finished generations, of `planned`
    gate      what the gate says of generation 0; empty: nothing
    measured  what two runs must share for comparable distances: extractor, reference, sizes
    size      bytes on the disk
    changed   when something of it was last written, in seconds since 1970
    settings  its config, by dotted key
    differs   the keys in which it differs from other runs of the same kinds, with their values
    note      why it could not be read
    """

    label: str
    folder: Path
    status: str = "damaged"
    finished: int = 0
    planned: int = 0
    gate: str = ""
    measured: tuple[Any, ...] = ()
    metrics: Mapping[str, Ending] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    changed: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    differs: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def kind(self, section: str) -> str:
        """Return the kind of a section of its config, such as `model`."""
        return str(self.settings.get(f"{section}.kind", ""))

    def as_json(self) -> dict[str, Any]:
        """Return all of it but the whole config, for `--json`."""
        return {
            "run": self.label,
            "status": self.status,
            "finished": self.finished,
            "generations": self.planned,
            **{section: self.kind(section) for section in ("modality", "model", "regime")},
            "generation0": self.gate or None,
            "metrics": {
                name: {"first": each.first, "last": each.last, "last_se": each.error}
                for name, each in self.metrics.items()
            },
            "bytes": self.size,
            "changed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.changed)),
            "differs": dict(self.differs),
            "note": self.note or None,
        }


@dataclass(frozen=True)
class Overview:
    """The runs below a folder, and the studies that hold some of them.

    groups  sweeps and side-by-side runs, `maps` those that have a page, and `claims` the folders of
            `imglab claims`, each by its place below the folder
    """

    root: Path
    runs: Sequence[Glance]
    groups: Mapping[str, Path]
    maps: Mapping[str, Path] = field(default_factory=dict)
    claims: Mapping[str, Path] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, str]:
        """The metrics of the table with their titles: the headlines that most runs share."""
        counts = Counter(name for run in self.runs for name in run.metrics)
        names = [name for name, _ in counts.most_common(COLUMNS)]

        titles: dict[str, set[str]] = {name: set() for name in names}
        for run in self.runs:
            for name in titles.keys() & run.labels.keys():
                titles[name].add(run.labels[name])
        return {name: _common_label(name, titles[name]) for name in names}

    @property
    def comparable(self) -> bool:
        """Whether all runs were measured in the same way, at the same sizes."""
        return len({run.measured for run in self.runs if run.measured}) <= 1


def overview(root: Path) -> Overview:
    """Look at all runs below a folder; InputError if there is no such folder.

    What cannot be read of one run is noted, and hides no other.
    """
    folders = runs_below(root)
    runs = [_glance(folder, _label(folder, root)) for folder in folders]

    def labelled(folders: Sequence[Path]) -> dict[str, Path]:
        return {_label(folder, root): folder for folder in folders}

    groups = labelled(groups_below(root))
    maps = labelled(folders_with(root, *MAP_FILES))
    claims = labelled(folders_with(root, VERDICTS))
    return Overview(root, _with_differences(runs), groups, maps, claims)


def _label(folder: Path, root: Path) -> str:
    if folder == root:
        return folder.resolve().name
    return folder.relative_to(root).as_posix()


def _glance(folder: Path, label: str) -> Glance:
    size, changed = _size(folder)
    run = Glance(label, folder, size=size, changed=changed)
    try:
        return _read(run)
    except (
        InputError,
        OSError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:  # a stranger may have sent it
        return replace(run, note=str(error))


def _read(run: Glance) -> Glance:
    """Read a run's config, and its first and last generation."""
    folder = run.folder
    settings = dict(flattened(read_yaml(folder / "config.yaml")))
    planned = settings["generations"]
    count = count_finished(folder)
    run = replace(run, settings=settings, planned=int(planned), finished=count)

    status = "stopped"
    if count >= run.planned:
        status = "finished"
    if is_being_written(folder):
        status = "running"
    if not count:
        return replace(run, status=status)

    # Opening a run checks all of it; here the hash of its last generation will do.
    last = read_generation(folder, count - 1)
    first = read_json(generation_folder(folder, 0) / "metrics.json", ("extractor", "reference"))
    gate = first.get("generation0") or {}
    return replace(
        run,
        status=status,
        gate=gate.get("verdict", ""),
        measured=tuple(first.get(key) for key in ("extractor", "reference", "n_real")),
        metrics=dict(_endings(first, last)),
        labels={name: metric_label(name, first) for name in _headline(first)},
    )


def _headline(row: Mapping[str, Any]) -> list[str]:
    """Return the metrics that a person looks at first, of an older run the distance alone."""
    return list(row.get("headline") or ["fid"])


def _endings(first: Mapping[str, Any], last: Mapping[str, Any]) -> Iterator[tuple[str, Ending]]:
    for name in _headline(first):
        error = None
        if is_number(last.get(f"{name}_se")):
            error = standard_error(last, name)
        yield name, Ending(_number(first.get(name)), _number(last.get(name)), error)


def _number(value: Any) -> float | None:
    if is_number(value):
        return float(value)
    return None


def _size(folder: Path, seen: set[tuple[int, int]] | None = None) -> tuple[int, float]:
    """Return the bytes of all files in a folder and the time of the newest.

    Symbolic links count nothing, and several names of one file count once.

    seen  files that are counted already
    """
    seen = seen if seen is not None else set()
    size = 0
    changed = 0.0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    inner, newest = _size(Path(entry.path), seen)
                    size += inner
                else:
                    status = entry.stat(follow_symlinks=False)
                    newest = status.st_mtime
                    if (status.st_dev, status.st_ino) not in seen:
                        size += status.st_size
                    if status.st_nlink > 1:
                        seen.add((status.st_dev, status.st_ino))
                changed = max(changed, newest)
    except OSError:  # deleted meanwhile, or somebody else's
        return size, changed
    return size, changed


def _with_differences(runs: Sequence[Glance]) -> list[Glance]:
    """Give each run the values of the keys in which runs of the same kinds differ."""
    alike: dict[tuple[str, str], list[Glance]] = {}
    for run in runs:
        alike.setdefault(_kinds(run), []).append(run)
    varying = {kinds: _varying(group) for kinds, group in alike.items()}

    result = []
    for run in runs:
        differs = {key: run.settings.get(key) for key in varying[_kinds(run)]}
        result.append(replace(run, differs=differs))
    return result


def _varying(runs: Sequence[Glance]) -> list[str]:
    """Return the keys that do not have the same value in all of these runs."""
    keys = {key: None for run in runs for key in run.settings if key not in NOT_COMPARED}
    return [key for key in keys if len({repr(run.settings.get(key)) for run in runs}) > 1]


def _kinds(run: Glance) -> tuple[str, str]:
    return run.kind("modality"), run.kind("model")


def _common_label(name: str, labels: set[str]) -> str:
    """Return the title of a column: that of its runs, or a common one where extractors differ."""
    if len(labels) == 1:
        return labels.pop()
    if name == "fid":
        return "Fréchet distance"
    return name.replace("_", " ")
