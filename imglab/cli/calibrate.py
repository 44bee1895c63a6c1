"""The command that calibrates metrics by known damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from imglab.cli.errors import stoppable
from imglab.cli.options import AsJson, Changes, ConfigPath
from imglab.cli.run import announce_imports
from imglab.errors import InputError, Problem
from imglab.running.interrupt import interrupted_by_signals
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.config.schema import RunConfig
    from imglab.progress import Progress

Result = TypeVar("Result")


Folder = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="Directory. Default: runs/calibration_<config name>."
    ),
]


Extractors = Annotated[
    list[str] | None,
    typer.Option(
        "--extractor",
        metavar="KIND",
        help="Compare extractors on the same damage. Repeatable. Default: the config's own.",
    ),
]


Compared = Annotated[
    int | None,
    typer.Option(
        "--samples",
        metavar="N",
        min=1,
        help="Samples compared. Default: a third of the held-out ones, at most 500.",
    ),
]


Splits = Annotated[
    int, typer.Option("--splits", metavar="N", min=20, help="Splits behind each floor.")
]


Repeats = Annotated[
    int, typer.Option("--repeats", metavar="N", min=1, help="Repeats of each damage.")
]


def calibrate(
    config: ConfigPath,
    out: Folder = None,
    changes: Changes = None,
    extractors: Extractors = None,
    samples: Compared = None,
    splits: Splits = 200,
    repeats: Repeats = 8,
    as_json: AsJson = False,
) -> None:
    """Damage real held-out data in known ways, and say how every metric reacts.

    Nothing is trained but the extractor. Each damage is done in five strengths, and reactions are
    counted in units of the spread between undamaged sets. Sets of `modality.synthetic`, images of
    another kind say, are mixed in too.

    Example: imglab calibrate configs/image_digits.yaml --extractor classifier --extractor pixels
    """
    checked = _configs(config, changes or [], extractors)

    # Only now torch is imported: a wrong key has been reported by now.
    from imglab.report.figures import png
    from imglab.store import files
    from imglab.studies.calibration.figure import calibration_figure
    from imglab.studies.calibration.run import PICTURE, Calibration, Sizes

    if not as_json:
        announce_imports({f"extractor {number}: ": each for number, each in enumerate(checked, 1)})
    sizes = Sizes(samples, splits, repeats)
    calibration = Calibration(checked, out, where=str(config), sizes=sizes)
    folder = calibration.folder
    with stoppable(folder), interrupted_by_signals():
        result = watched(calibration.run(), silent=as_json)
        files.write_bytes(folder / PICTURE, png(calibration_figure(result)))

    if as_json:
        typer.echo(json.dumps(result, indent=1))
    else:
        _show(result, folder)


def _configs(path: Path, changes: list[str], extractors: list[str] | None) -> list[RunConfig]:
    """Return the config, once for each extractor; InputError unless it holds one chain."""
    from imglab.config.load import load_config
    from imglab.config.schema import RunConfig

    configs: list[RunConfig] = []
    choices = [[f"modality.extractor={extractor}"] for extractor in extractors or []]
    for choice in choices or [[]]:
        config = load_config(path, [*changes, *choice])
        if not isinstance(config, RunConfig):
            what = "holds several chains, a calibration is of one kind of data"
            raise InputError(Problem(str(path), what, "give a config with one chain"))
        configs.append(config)
    return configs


def watched(stage: Generator[Progress, None, Result], *, silent: bool) -> Result:
    """Run a stage to its end and return its result, with a line for each part that begins."""
    last = ""
    while True:
        try:
            progress = next(stage)
        except StopIteration as end:
            result: Result = end.value
            return result

        if progress.stage != last and not silent:
            typer.echo(progress.stage)
        last = progress.stage


def _show(result: dict[str, Any], folder: Path) -> None:
    """Print the table of a calibration, and where its files are."""
    from imglab.studies.calibration.run import PICTURE, TABLE
    from imglab.studies.calibration.table import RESULT, format_calibration

    width = shutil.get_terminal_size((120, 24)).columns
    typer.echo(f"\n{printable(format_calibration(result, width))}\n")
    for name in (RESULT, TABLE, PICTURE):
        typer.echo(printable(str(folder / name)))
