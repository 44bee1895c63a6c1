"""Commands that show what is in configs and in run directories."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imglab.cli.errors import stoppable
from imglab.cli.imports import importing
from imglab.cli.options import AsJson, Changes, ConfigPath, Runs
from imglab.cli.run import announce_imports
from imglab.errors import InputError, ProblemCollector
from imglab.safe_text import one_line, printable

if TYPE_CHECKING:
    from imglab.config.schema import RunConfig
    from imglab.running.build import Experiment

ReportPage = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE.html",
        help="Default: report.html in the run directory; comparison.html above several.",
    ),
]
CalibrationFolder = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="DIR",
        help="Also show what these metrics react to, from a directory of `imglab calibrate`.",
    ),
]


def metrics(
    runs: Runs,
    as_json: AsJson = False,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Answer eight definitions of model collapse instead."),
    ] = False,
) -> None:
    """Print the table of one or many runs, or of all runs of a folder, from their files.

    Example: imglab metrics runs/image_digits --json
    """
    from imglab.report.profile import format_profile, measured, profile_of
    from imglab.report.table import format_table
    from imglab.store.listing import begun_runs
    from imglab.store.reading import read_metrics

    # What is damaged hides nothing else.
    tables = {}
    collector = ProblemCollector()
    for folder in [folder for path in runs for folder in begun_runs(path)]:
        try:
            tables[folder] = read_metrics(folder)
        except InputError as error:
            collector.add_error(error)

    if as_json and tables:
        listed = [measured(folder, rows) for folder, rows in tables.items()]
        typer.echo(json.dumps({"runs": listed}, indent=1))
    else:
        width = shutil.get_terminal_size((120, 24)).columns
        for folder, rows in tables.items():
            table = format_table(rows, width)
            if profile:
                table = format_profile(profile_of(folder, rows), width)
            typer.echo(f"{printable(str(folder))}\n{table}\n")
    collector.finish()


def report(runs: Runs, out: ReportPage = None, calibration: CalibrationFolder = None) -> None:
    """Write one page that tells the story of one or many runs; it needs no network.

    A folder stands for all runs in it. A page of several runs never takes the place of the page
    that one of them has.

    Example: imglab report runs/image_digits runs/accumulate --out both.html
    """
    from imglab.report.build import write_report
    from imglab.report.claims import is_claims_folder, write_claims
    from imglab.report.page_place import page_place
    from imglab.store.listing import reported_below

    if len(runs) == 1 and is_claims_folder(runs[0]):
        with stoppable(runs[0]):
            typer.echo(printable(str(write_claims(runs[0], out))))
        return

    parts = [part for path in runs for part in reported_below(path)]
    page = page_place(runs, parts, out)
    with stoppable(page.parent):
        beside = write_report(parts, page, calibration=calibration).beside

    typer.echo(f"{printable(str(page))} ({page.stat().st_size / 1e6:.1f} MB)")
    if beside:
        folder = page.parent / f"{page.stem}_files"
        typer.echo(f"{folder} ({len(beside)} pictures that are too large for one page)")


def export_samples(
    source: Annotated[
        str,
        typer.Argument(metavar="RUN@G", help="A run directory and a finished generation of it."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A new folder.")],
    accepted: Annotated[
        bool, typer.Option("--accepted", help="Only samples that curation accepted.")
    ] = False,
    changes: Changes = None,
) -> None:
    """Write the samples of a generation as files, with a manifest.

    Images become PNGs in a folder for each class; text becomes text files. Of the config only
    places can be set, for data that have moved: modality.source.path=FOLDER.

    Example: imglab export runs/image_digits@3 --to digits_3
    """
    from imglab.running.export import export
    from imglab.store.reading import parse_generation
    from imglab.store.sealed_config import read_sealed

    announce_imports({"": read_sealed(parse_generation(source)[0] / "config.yaml")})
    with stoppable(to):
        count = export(source, to, accepted=accepted, changes=changes or [])
    typer.echo(f"{printable(str(to))} ({count} samples)")


def validate(config: ConfigPath, changes: Changes = None) -> None:
    """Check a config and its data; report all errors at once and run nothing.

    Says what was found, what a run would do, and what it would take if an earlier one has shown it.
    Data that torchvision downloads are downloaded. Classes named as `module:Class` are not
    imported, so their keys are not checked.

    Example: imglab validate configs/image_digits.yaml --set model.steps=20
    """
    from imglab.running.memory import check_memory

    configs, key = _chains_in(config, changes or [])
    prefix = f"{key}.{{}}." if key else "{}"
    check_memory({prefix.format(name): each for name, each in configs.items()}, str(config))

    # Only now torch is imported: a wrong key has been reported by now.
    with importing():
        from imglab.cli.cost import description
        from imglab.cli.heartbeat import signs_of_life
        from imglab.running.build import check, check_each

    # Chains that say the same say it once.
    lines: dict[str, None] = {}

    def described(experiment: Experiment) -> None:
        lines.update(dict.fromkeys(description(experiment)))

    with signs_of_life("opening the data"):
        if key:
            unchecked = check_each(configs, str(config), key, described)
        else:
            unchecked = check(configs[""], str(config), described)

    verdict = f"{config}: valid"
    if unchecked:
        verdict += f"; not imported, so not checked: {', '.join(unchecked)}"
    typer.echo(verdict)
    for line in lines:
        typer.echo(printable(line))


def _chains_in(path: Path, changes: Sequence[str]) -> tuple[Mapping[str, RunConfig], str]:
    """Return the chains that a config file holds, by name, and the key that they stand under.

    A file of one chain has no such key; the chain's name is then empty.
    """
    from imglab.config.load import load_config
    from imglab.config.presets import read_config
    from imglab.config.schema import RunConfig

    tree = read_config(path)
    if isinstance(tree, dict) and "sizes" in tree:
        from imglab.studies.scaling.config import load_scaling

        return load_scaling(path, changes=changes).sweep.arms, "cells"
    if isinstance(tree, dict) and "arms" in tree:
        from imglab.studies.sweeps.config import load_sweep

        return load_sweep(path, changes).arms, "arms"
    if isinstance(tree, dict) and "factors" in tree:
        from imglab.studies.decomposition.config import load_decomposition

        return load_decomposition(path, changes).sweep.arms, "cells"
    if isinstance(tree, dict) and "over" in tree:
        from imglab.studies.mapping.config import load_map

        return load_map(path, (), changes).corners(), "corners"

    loaded = load_config(path, changes)
    if isinstance(loaded, RunConfig):
        return {"": loaded}, ""
    return loaded.chains, "chains"


def verify(
    runs: Runs,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Set aside what is damaged, back to the last good generation."
        ),
    ] = False,
) -> None:
    """Compare every file of one or many runs with the hash recorded when it was written.

    With --repair, a damaged generation and those after it are moved to RUN/damaged/, and
    `imglab run` makes them again.

    Example: imglab verify runs/image_digits
    """
    from imglab.store.verify import verify as verify_run

    collector = ProblemCollector()
    for path in runs:
        try:
            for line in verify_run(path, repair=repair):
                typer.echo(printable(line))
        except InputError as error:
            collector.add_error(error)
    collector.finish()


def list_kinds() -> None:
    """List modalities, models, regimes, curators and remedies, plug-ins included, and presets.

    Example: imglab list
    """
    from imglab.config import kinds
    from imglab.config.presets import list_presets, question_of

    for title, descriptions in _shipped().items():
        typer.echo(f"{title}:")
        plug_ins = kinds.installed(f"imglab.{title}")
        added = {name: f"from {value}" for name, value in plug_ins.items()}
        for kind, text in {**descriptions, **added}.items():
            typer.echo(f"  {one_line(kind):22} {one_line(text)}")

    typer.echo("presets:")
    for name, preset in list_presets().items():
        typer.echo(f"  {name:22} {question_of(preset)}")


def show(config: ConfigPath) -> None:
    """Print a config as it stands in its file, comments included: a start for one's own.

    Example: imglab show digits > mine.yaml
    """
    from imglab.config.presets import find_config
    from imglab.config.yaml import read_yaml

    file = find_config(config)
    read_yaml(file)
    typer.echo(printable(file.read_text(encoding="utf-8")), nl=False)


def _shipped() -> Mapping[str, Mapping[str, str]]:
    """Return the kinds that ship, each with one line, by what they are kinds of."""
    from imglab.config import kinds
    from imglab.config.curation_sections import CURATIONS
    from imglab.config.remedy_sections import REMEDIES
    from imglab.config.sections import REGIMES

    shipped = {
        "modalities": [kinds.settings_class(kind, kinds.MODALITIES) for kind in kinds.MODALITIES],
        "models": [kinds.settings_class(kind, kinds.MODELS) for kind in kinds.MODELS],
        "regimes": REGIMES,
        "curators": CURATIONS,
        "remedies": REMEDIES,
    }
    return {
        title: {section.model_fields["kind"].default: _first_line(section) for section in sections}
        for title, sections in shipped.items()
    }


def _first_line(section: type) -> str:
    return (section.__doc__ or "").splitlines()[0]
