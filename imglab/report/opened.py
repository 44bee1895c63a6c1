"""Runs as Python uses them: `imglab.run`, `imglab.open` and `imglab.runs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from PIL import Image
from torch import Tensor

from imglab.errors import InputError, Problem, nearest
from imglab.images.render import as_picture, grid_of
from imglab.model import GenerativeModel
from imglab.report.nearest import is_images
from imglab.report.notebook import Report
from imglab.report.table import streamed
from imglab.running.run import Run
from imglab.samples import Samples
from imglab.store.layout import count_finished
from imglab.store.listing import Status, is_run, runs_below, status_of
from imglab.store.pruned import check_present
from imglab.store.reader import RunFolder
from imglab.store.reading import BOOKKEEPING, is_number, metric_names, read_metrics
from imglab.store.sealed_config import read_sealed

if TYPE_CHECKING:
    from pandas import DataFrame

DRAWN = ("samples", "shown", "evaluation")
"""Stages of a generation that hold samples."""
GRID = 256
"""Images of a grid at most, unless more are asked for."""
DRAWABLE = (1, 3, 4)
"""Numbers of channels of which a picture can consist."""


class OpenedRun(RunFolder):
    """A run directory, finished or still being made; it is read anew at each question.

    As the last line of a notebook's cell it shows its page.
    """

    def __init__(self, root: Path | str) -> None:
        """Open the run directory `root`; InputError if it is none."""
        super().__init__(Path(root))
        if not is_run(self.root):
            raise InputError(_not_a_run(self.root))

    @property
    def name(self) -> str:
        """The name of its config."""
        return str(self.config["name"])

    @property
    def config(self) -> dict[str, Any]:
        """Its config, with every key spelled out."""
        tree: dict[str, Any] = read_sealed(self.root / "config.yaml").model_dump(mode="json")
        return tree

    @property
    def status(self) -> Status:
        """`running` while a process makes it, `finished`, or `stopped` before its end."""
        return status_of(self.root, self.config["generations"])

    def __len__(self) -> int:
        """Return how many generations are finished."""
        return count_finished(self.root)

    def model(self, g: int) -> GenerativeModel:
        """Return the fitted model of generation g; InputError if it has none, or not any more."""
        self._check_finished(g)
        return super().model(g)

    def metrics(self, g: int) -> dict[str, Any]:
        """Return the metrics of generation g; InputError if it is not finished."""
        self._check_finished(g)
        return super().metrics(g)

    def samples(self, g: int, stage: str = "samples") -> Samples:
        """Return what generation g drew, memory-mapped; InputError if it drew nothing of the sort.

        stage  `samples` for what is scored, `shown` for the same noise in every generation, or
               `evaluation` for what is scored where that is drawn apart
        """
        if stage not in DRAWN:
            raise InputError(Problem(f"stage {stage!r}", "holds no samples", nearest(stage, DRAWN)))
        self._check_finished(g)
        if not self.path(g, stage).exists():
            check_present(self.root, g, self._stages[stage].main)
            what = f"generation {g} has no {stage} samples"
            raise InputError(Problem(str(self.root), what, "samples(g) is what it drew"))
        return super().samples(g, stage)

    def features(self, g: int) -> Tensor:
        """Return the features of what generation g drew for the pool, float32 [N, D].

        Raises InputError if they were removed, or never taken: where `measure.samples` asks for a
        draw of its own to be scored, only curators look at them.
        """
        self._check_finished(g)
        if not self.path(g, "features").exists():
            check_present(self.root, g, self._stages["features"].main)
            what = f"generation {g} has no features"
            remedy = (
                "where measure.samples asks for another draw, they are taken for curation alone"
            )
            raise InputError(Problem(str(self.root), what, remedy))
        return super().features(g)

    def read(self, g: int, stage: str) -> Any:
        """Return what a stage of generation g returned; InputError if it is not finished."""
        self._check_finished(g)
        return super().read(g, stage)

    def rows(self) -> list[dict[str, Any]]:
        """Return the metrics of all finished generations, as in their metrics.json."""
        return read_metrics(self.root)

    def frame(self) -> DataFrame:
        """Return the metrics as a pandas table: a row for each generation, undefined is NaN.

        Each metric has a column, and one `<metric>_se` for its standard error where it has one;
        `frame().attrs["floor"]` holds the floors by metric, as mean and standard deviation.
        """
        import pandas

        rows = self.rows()
        frame = pandas.DataFrame([_numbers(row, rows) for row in rows])
        frame = frame.set_index("generation")
        frame.attrs["floor"] = rows[0]["floor"]
        return frame

    def grid(self, g: int, count: int = GRID, *, stage: str = "shown") -> Image.Image:
        """Return images that generation g drew, `count` at most, as one picture.

        stage  `shown` for the same noise in every generation, `samples` for what is scored

        Of other kinds of data it is the picture that the run drew; InputError if it drew none.
        """
        self._check_finished(g)
        data = self.samples(g, stage).data[:count]
        if is_images(data.numpy()):
            channels = data.shape[1]
            if channels not in DRAWABLE:  # of other numbers of channels the first one is shown
                channels = 1
            return as_picture(grid_of(data[:, :channels]))

        drawn = min(self._folder(g).glob("*.png"), default=None)
        if drawn is None:
            where = f"{self.root}@{g}"
            what = "has no images, and no picture was drawn of it"
            raise InputError(Problem(where, what, "run it with `pictures: each`, or use samples()"))
        return Image.open(drawn)

    def _check_finished(self, g: int) -> None:
        count = len(self)
        if not 0 <= g < count:
            finished = f"generations 0 to {count - 1} are finished" if count else "none is finished"
            raise InputError(Problem(str(self.root), f"has no finished generation {g}", finished))

    def __repr__(self) -> str:
        return f"<run {self.root}: {len(self)} of {self.config['generations']} generations>"

    def _repr_html_(self) -> str:
        return Report(self.root)._repr_html_()


class OpenedRuns(Sequence[OpenedRun]):
    """Several run directories; as the last line of a notebook's cell they show one page."""

    def __init__(self, runs: Sequence[OpenedRun], root: Path) -> None:
        """Hold runs that lie below the folder `root`."""
        self._runs = list(runs)
        self._root = root

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, at: int) -> OpenedRun: ...

    @overload
    def __getitem__(self, at: slice) -> OpenedRuns: ...

    def __getitem__(self, at: int | slice) -> OpenedRun | OpenedRuns:
        if isinstance(at, slice):
            return OpenedRuns(self._runs[at], self._root)
        return self._runs[at]

    def frame(self) -> DataFrame:
        """Return the metrics of all runs as one pandas table, by run and generation.

        Runs without a finished generation are left out; undefined is NaN.
        """
        import pandas

        frames = {self._label(run): run.frame() for run in self._runs if len(run)}
        if not frames:
            what = "holds no run with a finished generation"
            raise InputError(Problem(str(self._root), what, "run one first"))
        for frame in frames.values():
            frame.attrs.clear()
        table: DataFrame = pandas.concat(frames, names=["run"])
        return table

    def _label(self, run: OpenedRun) -> str:
        if run.root == self._root:
            return run.name
        return run.root.relative_to(self._root).as_posix()

    def __repr__(self) -> str:
        return f"<{len(self)} runs in {self._root}>"

    def _repr_html_(self) -> str:
        return Report(*(run.root for run in self._runs if len(run)))._repr_html_()


def open(folder: Path | str) -> OpenedRun:
    """Open a run directory, finished or being made; InputError if it is none.

    Example: `imglab.open("runs/image_digits").frame()`
    """
    return OpenedRun(folder)


def runs(folder: Path | str) -> OpenedRuns:
    """Open all run directories below a folder, those of sweeps and claims, too.

    Example: `imglab.runs("runs/").frame()`
    """
    root = Path(folder)
    return OpenedRuns([OpenedRun(run) for run in runs_below(root)], root)


def run(
    config: str | Path | Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    /,
    *,
    out: Path | str | None = None,
    show: bool = True,
    **keys: Any,
) -> OpenedRun:
    """Run a chain to its end, or the rest of it, and return the run, opened to read.

    config   the name of a preset, the path of a config file, or a config as a mapping
    changes  values by dotted key, e.g. `{"model.width": 32}`
    out      the run directory; default: runs/<name>
    show     whether the metrics of each generation are printed as it is finished
    keys     values of keys, e.g. `regime="accumulate", generations=3`

    Raises InputError with every problem of the config.
    Example: `imglab.run("digits", regime="accumulate", generations=3, out="runs/digits_kept")`
    """
    values = {**(changes or {}), **keys}
    if not isinstance(config, str | PathLike | Mapping):
        remedy = "give the name of a preset, the path of a config file, or a mapping"
        raise InputError(Problem("config", f"{config!r} is not a config", remedy))
    if isinstance(config, Mapping):
        chain = Run.from_dict(config, out, values)
    else:
        chain = Run.from_file(config, out, values)

    first: dict[str, Any] | None = None
    for generation in chain.generations():
        header, line = streamed(generation.metrics, first=first)
        if show and first is None:
            print(header)
        if show:
            print(line, flush=True)
        first = first or generation.metrics
    return OpenedRun(chain.folder)


def _not_a_run(folder: Path) -> Problem:
    if folder.is_dir() and runs_below(folder):
        return Problem(str(folder), "holds several runs", f"use imglab.runs({str(folder)!r})")
    return Problem(str(folder), "is not a run directory: it has no config.yaml of a run")


def _numbers(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the numbers of a generation: its metrics, their errors and the sizes."""
    names = metric_names(rows)
    errors = [f"{name}_se" for name in names if any(f"{name}_se" in each for each in rows)]
    columns = ["generation", *names, *errors, *sorted(BOOKKEEPING - {"generation"})]
    values = {name: row.get(name) for name in columns if name in names or name in row}
    return {name: value if is_number(value) else float("nan") for name, value in values.items()}
