"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import errno
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from imglab.errors import InputError, Problem, Stopped

app = typer.Typer(
    help="A laboratory for model collapse: train models, generation after generation, on what models generated.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="A config, e.g. configs/image_digits.yaml.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run directory. Default: runs/<config name>.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. model.steps=20. Repeatable.")
]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories, e.g. runs/image_digits.")]


@app.command()
def run(config: ConfigPath, out: Out = None, changes: Changes = None) -> None:
    """Run a chain, or go on where it stopped: the same command resumes an unfinished run.

    Example: imglab run configs/image_digits.yaml --out runs/first --set generations=3
    """
    from imglab.config import load_config

    checked = load_config(config, changes or [])  # before torch is imported: a wrong key is told in a moment
    from imglab.console import RunConsole
    from imglab.experiment import Run
    from imglab.report.figures import draw_figures

    chain = Run(checked, out, where=str(config))
    with _interruptible(chain.folder), RunConsole(chain) as console:
        for event in chain.events():
            console.show(event)
        draw_figures(chain.folder)
        console.end()


@app.command()
def metrics(
    runs: Runs, as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False
) -> None:
    """Print the table of one or many runs, from their files.

    Example: imglab metrics runs/image_digits --json
    """
    from imglab.report.table import format_table
    from imglab.runs import read_metrics

    found = {str(folder): read_metrics(folder) for folder in runs}
    if as_json:
        typer.echo(json.dumps({"runs": [{"run": name, "generations": rows} for name, rows in found.items()]}, indent=1))
        return
    for name, rows in found.items():
        typer.echo(f"{name}\n{format_table(rows, _width())}\n")


@app.command()
def validate(config: ConfigPath, changes: Changes = None) -> None:
    """Check a config and its data: all errors at once, nothing run. Data that torchvision downloads are downloaded.

    Classes named as `module:Class` are not imported, so their keys are not checked.

    Example: imglab validate configs/image_digits.yaml --set model.steps=20
    """
    from imglab.config import load_config

    checked = load_config(config, changes or [])
    from imglab.experiment import check

    unchecked = check(checked, str(config))
    typer.echo(f"{config}: right" + (f"; not imported, so not checked: {', '.join(unchecked)}" if unchecked else ""))


@app.command("list")
def list_kinds() -> None:
    """List modalities, models, regimes, and the configs in configs/; plug-ins included.

    Example: imglab list
    """
    from imglab import plugins
    from imglab.config import REGIMES, read_yaml

    regimes = {section.model_fields["kind"].default: section.__doc__ or "" for section in REGIMES}
    shipped = {
        "modalities": {
            kind: _first_line(plugins.settings_class(kind, plugins.MODALITIES)) for kind in plugins.MODALITIES
        },
        "models": {kind: _first_line(plugins.settings_class(kind, plugins.MODELS)) for kind in plugins.MODELS},
        "regimes": {kind: text.splitlines()[0] for kind, text in regimes.items()},
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
            typer.echo(f"  {path!s:34} unreadable: {_printable(str(error))}")
            continue
        section = tree.get("modality") if isinstance(tree, dict) else None
        kind = section.get("kind") if isinstance(section, dict) else section
        typer.echo(f"  {path!s:34} {kind or ''}")


def main() -> None:
    """Run the program. Exit codes: 0 done, 2 wrong input, 3 stopped and resumable, 1 anything else."""
    try:
        app()
    except InputError as error:
        for problem in error.problems:
            print(f"error: {_printable(str(problem))}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            raise
        print(f"error: {_printable(str(error.filename))[:80]}...: {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from None
    except Stopped as stop:
        print(f"stopped: {_printable(str(stop))}", file=sys.stderr)
        raise SystemExit(3) from None


@contextmanager
def _interruptible(folder: Path) -> Iterator[None]:
    """Turn signals and a full disk into `Stopped`: what is finished stays, the same command goes on."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
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
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_line(section: type) -> str:
    return (section.__doc__ or "").splitlines()[0]


def _printable(text: str) -> str:
    """Show control characters as escapes, so that a file's name cannot drive the terminal."""
    return "".join(sign if sign.isprintable() or sign == "\n" else f"\\x{ord(sign):02x}" for sign in text)


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((120, 24)).columns
