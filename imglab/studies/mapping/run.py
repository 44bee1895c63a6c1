"""A map in its directory: DIR/cells/<hash of a config>/, each a run like any other."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem
from imglab.measure.gate import thresholds
from imglab.running.build import build
from imglab.running.resume import RUNS, check_folder
from imglab.store import files
from imglab.store.layout import count_finished
from imglab.store.reading import read_metrics
from imglab.studies.chains import chain_job, threads_per_worker
from imglab.studies.first_generations import NO_THRESHOLDS
from imglab.studies.jobs import Job
from imglab.studies.mapping.columns import Cell, Column, between, in_numbers, next_column
from imglab.studies.mapping.config import MapConfig, evenly
from imglab.studies.mapping.corners import check_corners
from imglab.studies.mapping.judge import exact_boundary, judge_cell, why_poor
from imglab.studies.mapping.shared import FinishedRuns, cell_hash
from imglab.studies.mixing.criterion import CONTROL, GATE, Criterion, Rows
from imglab.studies.mixing.rounds import run_round
from imglab.studies.ray import check_ray
from imglab.studies.sweeps.warning_config import Event

RESULT = "map.json"
ASKED = ("question", "columns")
FIRST_COLUMNS = 3
"""Columns before the map looks where the boundary bends."""

Key = tuple[float, float]
"""Positions of a column: along the third axis, and along the second."""


@dataclass(frozen=True)
class _Place:
    """A chain of the map, as the positions of its axes and its seed."""

    level: float
    column: float
    position: float
    seed: int
    control: bool = False


@dataclass
class MapRun:
    """All chains of a map. Making one checks the data and the directory, and writes nothing.

    out  the directory; default: runs/<name>
    ray  address of a Ray cluster to run on
    """

    asked: MapConfig
    out: Path | None = None
    workers: int = 1
    ray: str | None = None
    _columns: dict[Key, Column] = field(default_factory=dict)
    _folders: dict[_Place, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        asked = self.asked
        self.folder = self.out or RUNS / asked.name
        check_folder(self.folder, RESULT, "does not hold a map")
        path = self.folder / RESULT
        if path.is_file() and files.read_signed(path, ASKED)["question"] != self.question:
            what = "holds a map of another question"
            raise InputError(Problem(str(self.folder), what, "choose another --out"))
        if self.ray is not None:
            check_ray(self.ray)

        experiment = build(asked.config(1.0, 0.0, 0.0, asked.seeds[0]), asked.where)
        check_corners(asked, experiment.config, experiment.modality)
        self.data_line = experiment.modality.data_line
        gate = thresholds(experiment.config.measure, experiment.modality)
        self._gate = (gate, experiment.modality.trusted)
        self._criterion: Criterion | Event
        if isinstance(asked.criterion, Event):
            self._criterion = asked.criterion
        else:
            if not gate and asked.criterion in (GATE, CONTROL):
                remedy = "give measure.gate, or an event with `metric` and `threshold`"
                raise InputError(Problem(f"{asked.where}: criterion", NO_THRESHOLDS, remedy))
            self._criterion = Criterion(asked.criterion, *self._gate)
        self._finished = FinishedRuns(self.folder.parent, self.folder)

    @property
    def question(self) -> dict[str, Any]:
        """Return what identifies the question, by which a directory is known again."""
        asked = self.asked
        criterion: str | dict[str, Any]
        if isinstance(asked.criterion, Event):
            criterion = asked.criterion.model_dump()
        else:
            criterion = asked.criterion
        return {
            "config": hashlib.sha256(files.json_bytes({"tree": asked.tree})).hexdigest(),
            "axes": [axis.described() for axis in asked.axes],
            "criterion": criterion,
            "generations": asked.tree["generations"],
            "seeds": list(asked.seeds),
            "halvings": asked.halvings,
            "columns": asked.columns,
            "new_data": asked.new_data,
        }

    def run(self, tell: Callable[[str], None]) -> dict[str, Any]:
        """Search, or go on searching; return what `map.json` holds.

        `tell` is given a line for each chain that is judged. Raises InputError where a chain cannot
        run, and Stopped where it was stopped.
        """
        files.make_folder(self.folder)
        self._write(finished=False)
        for key in self._first_columns():
            self._open(key)

        while True:
            wanted = list(self._wanted())
            if not wanted and not self._open_next():
                break
            self._run_round(wanted)
            for place in wanted:
                self._judge(place, tell)
            self._write(finished=False)
        return self._write(finished=True)

    def _first_columns(self) -> Iterator[Key]:
        """Yield the columns that a map begins with: one where there is no second axis."""
        asked = self.asked
        positions = [0.0]
        if len(asked.axes) > 1:
            positions = evenly(len(asked.axes[1].values) or min(FIRST_COLUMNS, asked.columns))
        for level in asked.levels:
            for column in positions:
                yield level, column

    def _open(self, key: Key) -> None:
        self._columns[key] = Column(self.asked.seeds, self.asked.halvings)

    def _open_next(self) -> bool:
        """Open the next column of each level; say whether there is one."""
        asked = self.asked
        if len(asked.axes) == 1 or asked.axes[1].values:
            return False

        opened = False
        for level in asked.levels:
            answers = {at: each.answer() for (of, at), each in self._columns.items() if of == level}
            column = next_column(answers, asked.axes[1].number)
            if len(answers) < asked.columns and column is not None:
                self._open((level, column))
                opened = True
        return opened

    def _wanted(self) -> Iterator[_Place]:
        for (level, column), state in self._columns.items():
            for position, seed in state.wanted():
                yield _Place(level, column, position, seed)

    def _run_round(self, wanted: list[_Place]) -> None:
        """Run the chains of these places to their ends, and those on real data alone beside them.

        A place that has the config of a finished run takes its folder.
        """
        places = list(wanted)
        if self.asked.needs_controls:
            for place in wanted:
                places += [_control(place, seed) for seed in self.asked.seeds]

        threads = 1
        if self.ray is None:
            threads = threads_per_worker(self.workers)
        jobs: dict[str, Job] = {}
        for place in places:
            config = self.asked.config(
                place.position, place.column, place.level, place.seed, control=place.control
            )
            name = cell_hash(config)
            folder = self.folder / "cells" / name
            if count_finished(folder) < config.generations:
                other = self._finished.run_of(config, self.asked.where)
                if other is None:
                    jobs[name] = chain_job(config, folder, threads, self.folder / ".cache")
                folder = other or folder
            self._folders[place] = folder
        run_round(jobs, self.workers, self.ray)

    def _judge(self, place: _Place, tell: Callable[[str], None]) -> None:
        """Read a finished chain, and note whether it holds."""
        rows = read_metrics(self._folders[place])
        controls: list[Rows] = [rows]
        if self.asked.needs_controls:
            seeds = [place.seed, *(seed for seed in self.asked.seeds if seed != place.seed)]
            folders = [self._folders[_control(place, seed)] for seed in seeds]
            controls = [read_metrics(folder) for folder in folders]

        # All seeds of a column try the end that should hold first.
        ends = [replace(place, position=1.0, seed=seed) for seed in self.asked.seeds]
        of_column = [read_metrics(self._folders[end])[0] for end in ends]
        poor = why_poor(rows[0], of_column, *self._gate)
        cell = judge_cell(self._criterion, place.position, place.seed, rows, controls, poor)
        self._columns[place.level, place.column].cells.append(cell)
        tell(f"{self._named(place)}, seed {place.seed}: {_word(cell)}{_why(cell)}")

    def _named(self, place: _Place) -> str:
        positions = (place.position, place.column, place.level)
        pairs = zip(self.asked.axes, positions, strict=False)
        return ", ".join(f"{axis.key} {axis.number(at):g}" for axis, at in pairs)

    def _write(self, *, finished: bool) -> dict[str, Any]:
        """Write map.json and return what it holds."""
        asked = self.asked
        columns = [self._described(key, finished) for key in sorted(self._columns)]
        gate: dict[str, float] = {}
        if isinstance(self._criterion, Criterion):
            gate = dict(self._criterion.thresholds)
        answer = {
            "name": asked.name,
            "question": self.question,
            "finished": finished,
            "data": self.data_line,
            "thresholds": gate,
            "columns": columns,
        }
        files.write_signed(self.folder / RESULT, answer)
        return answer

    def _described(self, key: Key, finished: bool) -> dict[str, Any]:
        """Return a column as JSON: where it is, its chains, and once it is finished its answer."""
        level, column = key
        axes = self.asked.axes
        state = self._columns[key]
        described: dict[str, Any] = {
            "at": [axis.number(at) for axis, at in zip(axes[1:], (column, level), strict=False)],
            "cells": [self._cell(key, cell) for cell in state.cells],
        }
        if finished or not state.wanted():
            described |= in_numbers(state.answer(), axes[0])
        exact = None
        if finished:
            exact = exact_boundary(self.asked, column, level)
        if exact is not None and exact["position"] is not None:
            exact["number"] = between(axes[0], exact["position"])
        return {**described, "exact": exact}

    def _cell(self, key: Key, cell: Cell) -> dict[str, Any]:
        """Return a chain as JSON; the path of its run is relative to the folder of the map."""
        folder = self._folders[_Place(*key, cell.position, cell.seed)]
        number = self.asked.axes[0].number(cell.position)
        run = Path(os.path.relpath(folder, self.folder)).as_posix()
        return {**asdict(cell), "holds": cell.shown, "number": number, "run": run}


def _control(place: _Place, seed: int) -> _Place:
    """Return the chain on real data alone beside a chain."""
    return _Place(place.level, place.column, place.position, seed, control=True)


def _word(cell: Cell) -> str:
    if cell.blocked and cell.shown is None:
        return "blocked"
    return {True: "holds", False: "collapses", None: "cannot be decided"}[cell.shown]


def _why(cell: Cell) -> str:
    if not cell.reason:
        return ""
    return f" ({cell.reason})"
