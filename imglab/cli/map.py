"""The command that maps where chains hold and where they collapse."""

from __future__ import annotations

from typing import Annotated

import typer

from imglab.cli.endings import show_result, teller
from imglab.cli.errors import stoppable
from imglab.cli.options import AsJson, Changes, ConfigPath, Out, RayAddress, Workers
from imglab.cli.run import announce_imports
from imglab.running.interrupt import interrupted_by_signals

Over = Annotated[
    str | None,
    typer.Option(
        "--over",
        metavar="KEYS",
        help="One to three keys with numbers, separated by commas: the first is searched, the "
        "others are columns and panels. Default: those under `over:` in the config.",
    ),
]


def map_chains(
    config: ConfigPath,
    over: Over = None,
    out: Out = None,
    changes: Changes = None,
    workers: Workers = 1,
    ray: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Map where chains hold and where they collapse, with an interval on the boundary.

    Along the first key each seed halves the range between an end that collapses and one that holds;
    values of the second key are added where the boundary bends most. A finished run beside the
    directory with the same config stands for a chain; the same command goes on where it stopped.

    Example: imglab map configs/map_gaussian.yaml --workers 2
    """
    from imglab.studies.mapping.config import load_map

    keys = tuple(key.strip() for key in (over or "").split(",") if key.strip())
    asked = load_map(config, keys, changes or [])

    # Only now torch is imported: a wrong key has been reported by now.
    from imglab.report.mapping import write_map
    from imglab.studies.mapping.run import RESULT, MapRun
    from imglab.studies.mapping.sentences import sentences

    announce_imports({"": asked.config(1.0, 0.0, 0.0, asked.seeds[0])})
    whole = MapRun(asked, out, workers, ray)

    tell = teller(silent=as_json)
    tell(f"{asked.name}: {', '.join(axis.key for axis in asked.axes)} -> {whole.folder}")
    if whole.data_line:
        tell(whole.data_line)
    with stoppable(whole.folder), interrupted_by_signals():
        result = whole.run(tell)
        pictures = write_map(whole.folder, result)
    paths = (whole.folder / RESULT, *pictures)
    show_result(result, sentences(result), paths, as_json=as_json)
