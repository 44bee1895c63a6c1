"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import errno
import sys

import typer

from imglab import distributed
from imglab.cli import look, run, studies
from imglab.cli.stdio import open_stdio
from imglab.errors import InputError, Problem, Stopped
from imglab.safe_text import printable

app = typer.Typer(
    help="A laboratory for model collapse: train models, generation after generation, on what models generated.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run.run)
app.command()(studies.sweep)
app.command()(studies.claims)
app.command()(run.fork)
app.command()(look.metrics)
app.command()(look.report)
app.command("export")(look.export_samples)
app.command()(look.validate)
app.command()(look.verify)
app.command("list")(look.list_kinds)


def main() -> None:
    """Run the program. Exit codes: 0 done, 2 wrong input, 3 stopped and resumable, 1 anything else."""
    open_stdio()
    try:
        if distributed.launched() > 1 and "run" not in sys.argv[1:2]:
            what = "a launcher has started several processes, which only `imglab run` shares out its work to"
            raise InputError(
                Problem(" ".join(sys.argv[1:2]) or "imglab", what, "start it without the launcher")
            )
        app()
    except SystemExit as ended:
        distributed.end(done=not ended.code)
        raise
    except InputError as error:
        for problem in error.problems:
            print(f"{distributed.prefix()}error: {printable(str(problem))}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            raise
        print(f"error: {printable(str(error.filename))[:80]}...: {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from None
    except Stopped as stop:
        print(f"{distributed.prefix()}stopped: {printable(str(stop))}", file=sys.stderr)
        distributed.end(done=False)
        raise SystemExit(3) from None
