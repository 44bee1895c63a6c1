"""Commands that run chains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imglab import distributed
from imglab.errors import InputError, Problem
from imglab.run.interrupt import StopRequest, interrupted_by_signals
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.config.schema import RunConfig
    from imglab.run.run import Run
    from imglab.studies.side_by_side import SideBySide
from imglab.cli.errors import stoppable
from imglab.cli.options import Changes, ConfigPath, Out, Workers


def run(
    config: ConfigPath,
    out: Out = None,
    changes: Changes = None,
    workers: Workers = 1,
    live: Annotated[
        bool, typer.Option("--live", help="Serve the page of the run on 127.0.0.1 meanwhile.")
    ] = False,
) -> None:
    """Run a chain, or go on where it stopped: the same command resumes an unfinished run.

    A config with `chains` runs each in its own directory, in turn or, with --workers, as separate processes.

    Example: imglab run configs/image_digits.yaml --out runs/first --set generations=3
    """
    from imglab.config.load import load_config
    from imglab.config.schema import RunConfig

    checked = load_config(
        config, changes or []
    )  # before torch is imported: a wrong key is told in a moment
    if distributed.launched() > 1 and (live or workers > 1 or not isinstance(checked, RunConfig)):
        what = "only a single chain can be run by several processes, without --live and --workers"
        raise InputError(Problem(str(config), what, "run it without the launcher"))
    from imglab.run.run import Run

    distributed.begin()
    if isinstance(checked, RunConfig):
        if workers > 1:
            raise InputError(Problem("--workers", f"{config} holds one chain", "leave it out"))
        announce_imports({"": checked})
        chain = Run(checked, out, where=str(config))
        with _live(chain.folder, live):
            _run_chain(chain)
        return
    from imglab.report.results import write_results
    from imglab.studies.side_by_side import SideBySide

    announce_imports({f"chains.{name}.": chain for name, chain in checked.chains.items()})
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


def announce_imports(configs: Mapping[str, RunConfig]) -> None:
    """Say which code of other packages a run imports, and so runs, before it does."""
    from imglab.config.load import plug_ins

    foreign = [
        f"{at}{key} ({kind})"
        for at, config in configs.items()
        for key, kind in plug_ins(config).items()
    ]
    if foreign and distributed.is_main():
        typer.echo(printable(f"imports what the config names: {', '.join(foreign)}"))


def _run_chain(chain: Run) -> None:
    from imglab.cli.progress import RunConsole
    from imglab.report.results import write_results

    with stoppable(chain.folder), StopRequest() as stop:
        if not distributed.is_main():
            for _ in stop.heeded(chain.events()):
                pass
            distributed.barrier()  # for the leader's figures: one that leaves early takes its connections with it
            return
        with RunConsole(chain) as console:
            for event in stop.heeded(chain.events()):
                console.show(event)
            console.end(write_results(chain.folder))
        distributed.barrier()


def _run_apart(chains: SideBySide) -> None:
    with stoppable(chains.folder), interrupted_by_signals():
        codes = chains.run_apart(lambda name, line: typer.echo(f"{name}: {printable(line)}"))
    failed = {name: code for name, code in codes.items() if code}
    if failed:
        each = ", ".join(f"{name} (exit code {code})" for name, code in failed.items())
        typer.echo(f"not finished: {each}", err=True)
        raise typer.Exit(next(code if code in (1, 2, 3) else 1 for code in failed.values()))


def fork(
    source: Annotated[
        str,
        typer.Argument(metavar="RUN@G", help="A run directory and a finished generation of it."),
    ],
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="Default: the run's own config.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The new run directory.")
    ] = None,
    changes: Changes = None,
) -> None:
    """Carry on from a generation of a run under other rules. What is finished is shared, nothing computed again.

    Example: imglab fork runs/image_digits@4 --set 'regime={kind: mix, real_fraction: 1.0}' --set generations=10
    --out runs/healed
    """
    if out is None:
        raise InputError(
            Problem("--out", "a fork needs a directory of its own", "e.g. --out runs/healed")
        )
    from imglab.run.fork import fork as make_fork
    from imglab.run.fork import wanted_config

    announce_imports({"": wanted_config(source, out, config, changes or [])})
    with stoppable(out):
        run = make_fork(source, out, config, changes or [])
    _run_chain(run)


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
