"""Commands that run chains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from imglab import distributed
from imglab.cli.errors import stoppable
from imglab.cli.imports import importing
from imglab.cli.options import Changes, ConfigPath, Out, Workers
from imglab.errors import InputError, Problem
from imglab.running.interrupt import STOPPED, StopRequest, interrupted_by_signals
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.config.schema import RunConfig, SideBySideConfig
    from imglab.running.cost import RunCost
    from imglab.running.run import Run
    from imglab.studies.side_by_side import SideBySide

LIVE_PORT = "--live-port"

Live = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Serve the page of the run on 127.0.0.1 meanwhile; --live PORT chooses the port.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what the run will cost, from a short probe; run nothing."),
]
CostsAsJson = Annotated[
    bool, typer.Option("--json", help="With --dry-run: print it as one JSON object.")
]


def run(
    config: ConfigPath,
    out: Out = None,
    changes: Changes = None,
    workers: Workers = 1,
    live: Live = False,
    dry_run: DryRun = False,
    as_json: CostsAsJson = False,
    port: Annotated[int, typer.Option(LIVE_PORT, hidden=True, min=0, max=65535)] = 0,
) -> None:
    """Run a chain, or go on where it stopped: the same command resumes an unfinished run.

    A config with `chains` runs each in its own directory: in turn or, with --workers, as separate
    processes. With --dry-run the command prints what the stages will take of time, memory and disk,
    from an earlier run on this machine or from a probe of some seconds.

    Example: imglab run configs/image_digits.yaml --out runs/first --set generations=3
    """
    from imglab.config.load import load_config
    from imglab.config.schema import RunConfig

    # The config is checked before torch is imported, so that a wrong key is reported at once.
    checked = load_config(config, changes or [])
    single = isinstance(checked, RunConfig)
    _check_sizes(checked, str(config))
    _check_options(config, single, live or workers > 1, workers, as_json and not dry_run)
    if dry_run:
        _show_costs(checked, out, str(config), as_json)
        return

    distributed.begin()
    if isinstance(checked, RunConfig):
        _run_one(checked, out, str(config), _port(live, port))
    else:
        _run_several(checked, out, str(config), workers, _port(live, port))


def _check_sizes(checked: RunConfig | SideBySideConfig, where: str) -> None:
    from imglab.config.schema import by_prefix
    from imglab.running.memory import check_memory

    check_memory(by_prefix(checked), where)


def _check_options(
    config: Path, single: bool, several: bool, workers: int, json_alone: bool
) -> None:
    """Raise InputError for options that do not go together."""
    if distributed.launched() > 1 and (several or not single):
        what = "several processes can run only a single chain, without --live and --workers"
        raise InputError(Problem(str(config), what, "run it without the launcher"))
    if workers > 1 and single:
        raise InputError(Problem("--workers", f"{config} holds one chain", "leave it out"))
    if json_alone:
        raise InputError(Problem("--json", "is for --dry-run", "see `imglab metrics RUN --json`"))


def _port(live: bool, port: int) -> int | None:
    """Return the port of the live page, 0 for any; None where there is no such page."""
    if live:
        return port
    return None


def _show_costs(
    checked: RunConfig | SideBySideConfig, out: Path | None, where: str, as_json: bool
) -> None:
    """Print what the chains of a config will cost."""
    from imglab.cli.cost import show_costs
    from imglab.config.schema import SideBySideConfig, by_prefix
    from imglab.running.resume import RUNS

    announce_imports(by_prefix(checked))
    configs: Mapping[str, RunConfig]
    if isinstance(checked, SideBySideConfig):
        configs = checked.chains
    else:
        configs = {"": checked}
    show_costs(configs, out or RUNS / checked.name, where, as_json=as_json)


class RunCommand(TyperCommand):
    """The command `run`, whose option `--live` may be followed by a port."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn `--live PORT` and `--live=PORT` into two options."""
        parts: list[str] = []
        for at, arg in enumerate(args):
            follows = at > 0 and args[at - 1] == "--live"
            if arg.startswith("--live="):
                parts += ["--live", LIVE_PORT, arg.partition("=")[2]]
            elif follows and arg.isdecimal():
                parts += [LIVE_PORT, arg]
            else:
                parts.append(arg)
        return super().parse_args(ctx, parts)


def _run_one(config: RunConfig, out: Path | None, where: str, live: int | None) -> None:
    with importing():
        from imglab.cli.cost import expecting
        from imglab.cli.heartbeat import signs_of_life
        from imglab.running.run import Run

    announce_imports({"": config})
    with signs_of_life("opening the data"):
        chain = Run(config, out, where=where)
    with expecting(chain, config, where) as cost, _live(chain.folder, live):
        _run_chain(chain, cost)


def _run_several(
    config: SideBySideConfig, out: Path | None, where: str, workers: int, live: int | None
) -> None:
    with importing():
        from imglab.cli.heartbeat import signs_of_life
        from imglab.config.schema import by_prefix
        from imglab.report.results import write_results
        from imglab.studies.side_by_side import SideBySide

    announce_imports(by_prefix(config))
    with signs_of_life("opening the data"):
        chains = SideBySide(config, out, where=where, workers=workers)
    with _live(chains.folder, live):
        if workers > 1:
            _run_apart(chains)
        else:
            _run_in_turn(chains, config, where)

    typer.echo("all chains are done")
    for path in write_results(chains.folder):
        typer.echo(f"  {path}")


def announce_imports(configs: Mapping[str, RunConfig]) -> None:
    """Say which code of other packages a run will import, and so run, before it does.

    configs  by what stands before their keys in the config file
    """
    from imglab.config.load import plug_ins

    imports = [
        f"{prefix}{key} ({kind})"
        for prefix, config in configs.items()
        for key, kind in plug_ins(config).items()
    ]
    if imports and distributed.is_main():
        typer.echo(printable(f"imports what the config names: {', '.join(imports)}"))


def _run_chain(chain: Run, cost: RunCost | None = None) -> None:
    """Run a chain under the eyes of the user; of several processes, only the main one shows it.

    cost  what it is expected to take
    """
    with importing():
        from imglab.cli.progress import RunConsole
        from imglab.progress import report
        from imglab.report.results import write_results

    with stoppable(chain.folder), StopRequest() as stop:
        events = stop.heeded(chain.events())

        if distributed.is_main():
            with RunConsole(chain, cost) as console:
                for event in events:
                    console.show(event)
                report("figures and page")
                console.end(write_results(chain.folder))
        else:
            for _ in events:
                pass

        # The main process still draws figures: one that left now would cut its connections.
        distributed.barrier()


def _run_in_turn(chains: SideBySide, config: SideBySideConfig, where: str) -> None:
    from imglab.cli.cost import expecting

    chains.begin()
    for name, chain in chains.runs.items():
        typer.echo(f"chain {name}")
        with expecting(chain, config.chains[name], where) as cost:
            _run_chain(chain, cost)


def _run_apart(chains: SideBySide) -> None:
    with stoppable(chains.folder), interrupted_by_signals():
        codes = chains.run_apart(lambda name, line: typer.echo(f"{name}: {printable(line)}"))

    failed = {name: code for name, code in codes.items() if code}
    if failed:
        each = ", ".join(f"{name} (exit code {code})" for name, code in failed.items())
        typer.echo(f"not finished: {each}", err=True)
        raise typer.Exit(_code_of_all(next(iter(failed.values()))))


def _code_of_all(first: int) -> int:
    """Return the exit code of a command whose first unfinished chain ended with the code `first`.

    A chain that a signal has killed, a code below 0, goes on by the same command.
    """
    if first < 0:
        return STOPPED
    if first in (1, 2, 3):
        return first
    return 1


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
    """Go on from a generation of a run under other rules; what is finished is shared.

    Example: imglab fork runs/image_digits@4 --set 'regime={kind: mix, real_fraction: 1.0}'
    --set generations=10 --out runs/healed
    """
    if out is None:
        problem = Problem("--out", "a fork needs its own directory", "e.g. --out runs/healed")
        raise InputError(problem)
    from imglab.running.fork import fork as make_fork
    from imglab.running.fork import wanted_config

    announce_imports({"": wanted_config(source, out, config, changes or [])})
    with stoppable(out):
        chain = make_fork(source, out, config, changes or [])
    _run_chain(chain)


@contextmanager
def _live(folder: Path, port: int | None) -> Iterator[None]:
    """Serve the page of a run while it goes on, if there is a port for it; 0: any that is free."""
    if port is None:
        yield
        return
    from imglab.report.live import LiveReport

    with LiveReport(folder, port) as server:
        typer.echo(f"live: {server.url}")
        yield
