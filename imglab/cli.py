"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imglab import processes
from imglab.errors import InputError, Problem, Stopped
from imglab.printable import printable
from imglab.signals import StopRequest, interrupted_by_signals
from imglab.streams import open_streams

if TYPE_CHECKING:
    from imglab.config import RunConfig
    from imglab.experiment import Run
    from imglab.side_by_side import SideBySide

app = typer.Typer(
    help="A laboratory for model collapse: train models, generation after generation, on what models generated.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DISK_FAILED = (errno.EIO, errno.ESTALE, errno.EBUSY, errno.ETIMEDOUT, errno.EFBIG, errno.EMFILE, errno.ENOLCK)
"""What a disk, or a network's file system, says when it does not do what it should."""

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="A config, e.g. configs/image_digits.yaml.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run directory. Default: runs/<config name>.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. model.steps=20. Repeatable.")
]
Workers = Annotated[int, typer.Option("--workers", metavar="N", min=1, help="Chains that run at the same time.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories, e.g. runs/image_digits.")]


@app.command()
def run(
    config: ConfigPath,
    out: Out = None,
    changes: Changes = None,
    workers: Workers = 1,
    live: Annotated[bool, typer.Option("--live", help="Serve the page of the run on 127.0.0.1 meanwhile.")] = False,
) -> None:
    """Run a chain, or go on where it stopped: the same command resumes an unfinished run.

    A config with `chains` runs each in its own directory, in turn or, with --workers, as separate processes.

    Example: imglab run configs/image_digits.yaml --out runs/first --set generations=3
    """
    from imglab.config import RunConfig, load_config

    checked = load_config(config, changes or [])  # before torch is imported: a wrong key is told in a moment
    if processes.launched() > 1 and (live or workers > 1 or not isinstance(checked, RunConfig)):
        what = "only a single chain can be run by several processes, without --live and --workers"
        raise InputError(Problem(str(config), what, "run it without the launcher"))
    from imglab.experiment import Run

    processes.begin()
    if isinstance(checked, RunConfig):
        if workers > 1:
            raise InputError(Problem("--workers", f"{config} holds one chain", "leave it out"))
        _tell_imports({"": checked})
        chain = Run(checked, out, where=str(config))
        with _live(chain.folder, live):
            _run_chain(chain)
        return
    from imglab.report.results import write_results
    from imglab.side_by_side import SideBySide

    _tell_imports({f"chains.{name}.": chain for name, chain in checked.chains.items()})
    chains = SideBySide(checked, out, where=str(config), workers=workers)
    with _live(chains.folder, live):
        if workers > 1:
            _run_apart(chains)
        else:
            chains.begin()
            for name, chain in chains.runs.items():
                typer.echo(f"chain {name}")
                _run_chain(chain)
    typer.echo("all chains are done")
    for path in write_results(chains.folder):
        typer.echo(f"  {path}")


def _tell_imports(configs: Mapping[str, RunConfig]) -> None:
    """Say which code of other packages a run imports, and so runs, before it does."""
    from imglab.config import plug_ins

    foreign = [f"{at}{key} ({kind})" for at, config in configs.items() for key, kind in plug_ins(config).items()]
    if foreign and processes.leads():
        typer.echo(printable(f"imports what the config names: {', '.join(foreign)}"))


def _run_chain(chain: Run) -> None:
    from imglab.console import RunConsole
    from imglab.report.results import write_results

    with _stoppable(chain.folder), StopRequest() as stop:
        if not processes.leads():
            for _ in stop.heeded(chain.events()):
                pass
            processes.wait()  # for the leader's figures: one that leaves early takes its connections with it
            return
        with RunConsole(chain) as console:
            for event in stop.heeded(chain.events()):
                console.show(event)
            console.end(write_results(chain.folder))
        processes.wait()


def _run_apart(chains: SideBySide) -> None:
    with _stoppable(chains.folder), interrupted_by_signals():
        codes = chains.run_apart(lambda name, line: typer.echo(f"{name}: {printable(line)}"))
    failed = {name: code for name, code in codes.items() if code}
    if failed:
        each = ", ".join(f"{name} (exit code {code})" for name, code in failed.items())
        typer.echo(f"not finished: {each}", err=True)
        raise typer.Exit(next(code if code in (1, 2, 3) else 1 for code in failed.values()))


@app.command()
def sweep(
    config: ConfigPath,
    out: Out = None,
    changes: Changes = None,
    workers: Workers = 1,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="Run on this Ray cluster instead, e.g. auto.")
    ] = None,
) -> None:
    """Run arms x seeds and a real-only control, and say what the seeds can tell apart.

    Each is a run of its own, in DIR/<arm>/seed-<s>; the same command goes on where it stopped.

    Example: imglab sweep configs/sweep_digits.yaml --workers 2
    """
    from imglab.sweeps.config import load_sweep

    checked = load_sweep(config, changes or [])
    from imglab.report.results import write_results
    from imglab.sweeps.results import sentence, write_summary
    from imglab.sweeps.run import Sweep

    _tell_imports({f"arms.{name}.": arm for name, arm in checked.arms.items()})
    whole = Sweep(checked, out, where=str(config), workers=workers)
    typer.echo(f"{checked.name}: {len(checked.arms)} arms x {len(checked.seeds)} seeds -> {whole.folder}")
    with _stoppable(whole.folder), interrupted_by_signals():
        outcomes = whole.run(_Tally(), ray)
    failed = {name: outcome for name, outcome in outcomes.items() if outcome.code}
    for name, outcome in failed.items():
        typer.echo(f"{name}: {printable(outcome.message)}", err=True)
    if len(failed) < len(outcomes):
        for answer in write_summary(whole.folder)["contrasts"]:
            typer.echo(sentence(answer))
        for path in (whole.folder / "summary.json", *write_results(whole.folder)):
            typer.echo(path)
    if failed:
        raise typer.Exit(max((outcome.code for outcome in failed.values()), key=(3, 2, 1).index))


@app.command()
def claims(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Claims or families. Default: all.")
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="quick (two cores) or full (one GPU).")] = "quick",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where chains and verdicts are kept.")] = Path(
        "runs/claims"
    ),
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder of torchvision's data sets.")] = Path(
        "data"
    ),
    workers: Workers = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as one JSON object.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Only list the claims.")] = False,
) -> None:
    """Run claims of papers at a size that fits, and say pass, fail or blocked, with the numbers.

    A claim passes if the confidence interval of every quantity lies where the claim puts it. Chains that claims share
    run once; the same command goes on where it stopped.

    Example: imglab claims theory
    """
    from imglab.claims.catalog import Catalog
    from imglab.claims.table import format_claim, format_results

    if profile not in ("quick", "full"):
        raise InputError(Problem("--profile", f"{profile!r} is no profile", "quick or full"))
    catalog = Catalog()
    chosen = catalog.chosen(names or [])
    if listed:
        for claim in chosen:
            typer.echo(format_claim(claim))
        return
    from imglab.claims.run import ClaimsRun

    tally = (lambda done, total: None) if as_json else _Tally()
    with _stoppable(out), interrupted_by_signals():
        results = ClaimsRun(catalog, chosen, "full" if profile == "full" else "quick", out, data).run(workers, tally)
    if as_json:
        typer.echo(json.dumps({"profile": profile, "claims": [result.described() for result in results]}, indent=1))
    else:
        typer.echo(format_results(results))


class _Tally:
    """Prints how many generations are finished, when that changes."""

    def __init__(self) -> None:
        self._last = -1

    def __call__(self, done: int, total: int) -> None:
        if done != self._last:
            typer.echo(f"{done} of {total} generations finished")
        self._last = done


@app.command()
def fork(
    source: Annotated[str, typer.Argument(metavar="RUN@G", help="A run directory and a finished generation of it.")],
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="Default: the run's own config.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The new run directory.")] = None,
    changes: Changes = None,
) -> None:
    """Carry on from a generation of a run under other rules. What is finished is shared, nothing computed again.

    Example: imglab fork runs/image_digits@4 --set 'regime={kind: mix, real_fraction: 1.0}' --set generations=10
    --out runs/healed
    """
    if out is None:
        raise InputError(Problem("--out", "a fork needs a directory of its own", "e.g. --out runs/healed"))
    from imglab.fork import fork as make_fork
    from imglab.fork import wanted_config

    _tell_imports({"": wanted_config(source, out, config, changes or [])})
    with _stoppable(out):
        run = make_fork(source, out, config, changes or [])
    _run_chain(run)


@app.command()
def metrics(
    runs: Runs, as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False
) -> None:
    """Print the table of one or many runs, from their files.

    Example: imglab metrics runs/image_digits --json
    """
    from imglab.report.table import format_table
    from imglab.runs import read_metrics, run_folders

    found = {str(folder): read_metrics(folder) for given in runs for folder in run_folders(given)}
    if as_json:
        typer.echo(json.dumps({"runs": [{"run": name, "generations": rows} for name, rows in found.items()]}, indent=1))
        return
    for name, rows in found.items():
        typer.echo(f"{printable(name)}\n{format_table(rows, _width())}\n")


@app.command()
def report(
    runs: Runs,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", help="Default: report.html in the first run directory.")
    ] = None,
) -> None:
    """Write one page that tells the story of one or many runs: self-contained, no network.

    Example: imglab report runs/image_digits runs/accumulate --out both.html
    """
    from imglab.report.build import write_report

    page = out or runs[0] / "report.html"
    with _stoppable(page.parent):
        beside = write_report(runs, page).beside
    typer.echo(f"{printable(str(page))} ({page.stat().st_size / 1e6:.1f} MB)")
    if beside:
        typer.echo(f"{page.parent / page.stem}_files ({len(beside)} pictures that are too much for one page)")


@app.command("export")
def export_samples(
    source: Annotated[str, typer.Argument(metavar="RUN@G", help="A run directory and a finished generation of it.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A new folder.")],
    accepted: Annotated[bool, typer.Option("--accepted", help="Only what curation let through.")] = False,
) -> None:
    """Write the samples of a generation as files: PNGs in a folder for each class, or texts; and a manifest.

    Example: imglab export runs/image_digits@3 --to digits_3
    """
    from imglab.export import export
    from imglab.run_config import read_sealed
    from imglab.runs import parse_generation

    _tell_imports({"": read_sealed(parse_generation(source)[0] / "config.yaml")})
    with _stoppable(to):
        count = export(source, to, accepted=accepted)
    typer.echo(f"{printable(str(to))} ({count} samples)")


@app.command()
def validate(config: ConfigPath, changes: Changes = None) -> None:
    """Check a config and its data: all errors at once, nothing run. Data that torchvision downloads are downloaded.

    Classes named as `module:Class` are not imported, so their keys are not checked.

    Example: imglab validate configs/image_digits.yaml --set model.steps=20
    """
    from imglab.config import RunConfig, load_config
    from imglab.sweeps.config import SweepConfig, load_sweep
    from imglab.yaml_files import read_yaml

    tree = read_yaml(config)
    is_sweep = isinstance(tree, dict) and "arms" in tree
    checked = (load_sweep if is_sweep else load_config)(config, changes or [])
    from imglab.experiment import check, check_each

    if isinstance(checked, RunConfig):
        unchecked = check(checked, str(config))
    elif isinstance(checked, SweepConfig):
        unchecked = check_each(checked.arms, str(config), "arms")
    else:
        unchecked = check_each(checked.chains, str(config), "chains")
    typer.echo(f"{config}: right" + (f"; not imported, so not checked: {', '.join(unchecked)}" if unchecked else ""))


@app.command()
def verify(
    runs: Runs,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set aside what is damaged, back to the last good generation.")
    ] = False,
) -> None:
    """Compare every file of one or many runs with what sealed it when it was written.

    With --repair a damaged generation and those after it are moved to RUN/damaged/, and `imglab run` makes them again.

    Example: imglab verify runs/image_digits
    """
    from imglab.verify import verify as verify_run

    problems: list[Problem] = []
    for given in runs:
        try:
            for line in verify_run(given, repair=repair):
                typer.echo(printable(line))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


@app.command("list")
def list_kinds() -> None:
    """List modalities, models, regimes, and the configs in configs/; plug-ins included.

    Example: imglab list
    """
    from imglab import plugins
    from imglab.sections import CURATIONS, REGIMES
    from imglab.yaml_files import read_yaml

    shipped = {
        "modalities": {
            kind: _first_line(plugins.settings_class(kind, plugins.MODALITIES)) for kind in plugins.MODALITIES
        },
        "models": {kind: _first_line(plugins.settings_class(kind, plugins.MODELS)) for kind in plugins.MODELS},
        **{
            title: {section.model_fields["kind"].default: _first_line(section) for section in sections}
            for title, sections in (("regimes", REGIMES), ("curators", CURATIONS))
        },
    }
    for title, kinds in shipped.items():
        added = {name: f"from {value}" for name, value in plugins.installed(f"imglab.{title}").items()}
        typer.echo(f"{title}:")
        for kind, text in {**kinds, **added}.items():
            typer.echo(f"  {kind:22} {text}")
    typer.echo("configs:")
    for path in sorted(Path("configs").rglob("*.yaml")):
        try:
            tree = read_yaml(path)
        except InputError as error:
            typer.echo(f"  {path!s:34} unreadable: {printable(str(error))}")
            continue
        typer.echo(f"  {path!s:34} {', '.join(_kinds(tree))}")


def main() -> None:
    """Run the program. Exit codes: 0 done, 2 wrong input, 3 stopped and resumable, 1 anything else."""
    open_streams()
    try:
        if processes.launched() > 1 and "run" not in sys.argv[1:2]:
            what = "a launcher has started several processes, which only `imglab run` shares out its work to"
            raise InputError(Problem(" ".join(sys.argv[1:2]) or "imglab", what, "start it without the launcher"))
        app()
    except SystemExit as ended:
        processes.end(done=not ended.code)
        raise
    except InputError as error:
        for problem in error.problems:
            print(f"{processes.prefix()}error: {printable(str(problem))}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            raise
        print(f"error: {printable(str(error.filename))[:80]}...: {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from None
    except Stopped as stop:
        print(f"{processes.prefix()}stopped: {printable(str(stop))}", file=sys.stderr)
        processes.end(done=False)
        raise SystemExit(3) from None


@contextmanager
def _live(folder: Path, wanted: bool) -> Iterator[None]:
    """Serve the page of a run while it goes on, if that is wanted."""
    if not wanted:
        yield
        return
    from imglab.report.live import LiveReport

    with LiveReport(folder) as server:
        typer.echo(f"live: {server.url}")
        yield


@contextmanager
def _stoppable(folder: Path) -> Iterator[None]:
    """Turn an interruption and a disk that fails into `Stopped`: what is finished stays, the same command goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"{folder} is unfinished; run the same command again to go on") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Stopped(f"the disk is full; free some space and run the same command again ({folder})") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            problem = Problem(
                str(error.filename or folder), f"cannot be written: {error.strerror}", "choose another --out"
            )
            raise InputError(problem) from None
        if error.errno in DISK_FAILED:
            what = f"{printable(str(error.filename or folder))}: {error.strerror}"
            raise Stopped(f"{what}; what was finished is kept, run the same command again to go on") from None
        if error.errno == errno.ENOENT and str(error.filename).startswith(str(folder)):
            problem = Problem(str(error.filename), "was removed while it was in use", "run the same command again")
            raise InputError(problem) from None
        raise


def _kinds(tree: Any) -> list[str]:
    """Return the modalities that a config names, of one chain or of several."""
    if not isinstance(tree, dict):
        return []
    chains = tree.get("chains")
    if isinstance(chains, dict):
        return [kind for chain in chains.values() for kind in _kinds(chain)]
    section = tree.get("modality")
    kind = section.get("kind") if isinstance(section, dict) else section
    return [kind] if isinstance(kind, str) else []


def _first_line(section: type) -> str:
    return (section.__doc__ or "").splitlines()[0]


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((120, 24)).columns
