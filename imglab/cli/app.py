"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from imglab import distributed
from imglab.cli import calibrate, judge, look, run, score, share, studies, view
from imglab.cli.claims import claims
from imglab.cli.decompose import decompose
from imglab.cli.errors import complain, stoppable
from imglab.cli.explain import explain
from imglab.cli.get import get
from imglab.cli.halves import halves
from imglab.cli.imports import sleep_between_tasks
from imglab.cli.inspect import inspect
from imglab.cli.map import map_chains
from imglab.cli.mix import mix
from imglab.cli.new import new
from imglab.cli.options import in_home
from imglab.cli.prune import prune
from imglab.cli.scale import scale
from imglab.cli.stdio import open_stdio, seal_off
from imglab.distributed.launcher import forget_stray
from imglab.errors import InputError, Problem, Stopped
from imglab.running.interrupt import STOPPED, end_without_teardown, interrupted_by_signals
from imglab.version import __version__


class _Commands(TyperGroup):
    """All commands, each of which ends in the lab's own words when the system fails."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Typer itself would answer some failures, silently."""
        with stoppable(), interrupted_by_signals():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="A laboratory for model collapse: train models, generation after generation, "
    "on what models generated.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:
    """Print the version and end, where it was asked for."""
    if asked:
        typer.echo(f"imglab {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options that need no command."""


app.command()(new)
app.command(cls=run.RunCommand)(run.run)
app.command()(studies.sweep)
app.command()(claims)
app.command()(calibrate.calibrate)
app.command()(halves)
app.command()(decompose)
app.command()(mix)
app.command("map")(map_chains)
app.command()(scale)
app.command()(run.fork)
app.command()(look.metrics)
app.command()(judge.judge)
app.command()(look.report)
app.command()(view.view)
app.command("ls")(view.list_runs)
app.command()(view.compare)
app.command("export")(look.export_samples)
app.command()(share.push)
app.command()(share.pull)
app.command()(inspect)
app.command()(score.score)
app.command()(look.validate)
app.command()(look.verify)
app.command()(prune)
app.command("list")(look.list_kinds)
app.command()(look.show)
app.command()(explain)
app.command()(get)


def program() -> None:
    """Be the command `imglab`: what is stopped ends at once."""
    try:
        main()
    except SystemExit as ended:
        if ended.code == STOPPED:
            end_without_teardown(STOPPED)
        raise


def main() -> None:
    """Run the program in this process.

    Exit codes: 0 done, 2 wrong input, 3 stopped and resumable, 1 anything else. With IMGLAB_DEBUG=1
    the tracebacks of an error and of its causes follow its message.
    """
    open_stdio()
    seal_off()
    sleep_between_tasks()
    stray = forget_stray()
    if stray:
        print(f"note: {stray}", file=sys.stderr)
    sys.argv[1:] = map(in_home, sys.argv[1:])

    try:
        with stoppable():
            _check_platform()
            _check_launcher()
            app()
    except SystemExit as ended:
        distributed.end(done=not ended.code)
        raise

    # Wrong input: a line for each problem.
    except InputError as error:
        complain([f"error: {problem}" for problem in error.problems], error)
        raise SystemExit(2) from error

    except Stopped as stop:
        complain([f"stopped: {stop}"], stop)
        distributed.end(done=False)
        raise SystemExit(STOPPED) from stop


def _check_platform() -> None:
    """Raise InputError on Windows, whose files keep other promises.

    A run directory needs folders that can be synced, names that differ by their case, and files
    that can be replaced while others read them.
    """
    if sys.platform in ("win32", "cygwin", "msys"):
        what = "Windows is not supported: runs are written for the file systems of Linux and macOS"
        raise InputError(Problem("imglab", what, "use the Windows Subsystem for Linux (WSL 2)"))


def _check_launcher() -> None:
    """Raise InputError if a launcher has started several processes for a command that uses one."""
    command = sys.argv[1:2]
    if distributed.launched() > 1 and "run" not in command:
        what = "a launcher has started several processes, but only `imglab run` can use them"
        place = " ".join(command) or "imglab"
        raise InputError(Problem(place, what, "start it without the launcher"))
