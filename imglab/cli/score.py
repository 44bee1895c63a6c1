"""The command that scores one set of samples against another."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imglab.cli.errors import stoppable
from imglab.cli.options import AsJson
from imglab.errors import InputError, Problem
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.studies.score.options import Options
    from imglab.studies.score.score import Comparison, Score

SCORES = Path("scores")


RealSide = Annotated[
    str | None,
    typer.Argument(
        metavar="REAL",
        help="A folder or file of images or text, hub:NAME[:SPLIT], RUN, RUN@G, or reference:NAME.",
    ),
]
SyntheticSide = Annotated[
    str | None,
    typer.Argument(
        metavar="SYNTHETIC", help="A folder or file of images or text, hub:NAME[:SPLIT], or RUN@G."
    ),
]
ScoresFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Default: scores/<real>__<synthetic>."),
]
ExtractorKind = Annotated[
    str | None,
    typer.Option(
        "--extractor",
        metavar="KIND[:NAME]",
        help="What turns samples into features, e.g. inception, dinov2:NAME.",
    ),
]
SampleCount = Annotated[
    int | None,
    typer.Option("--samples", metavar="N", min=1, help="Synthetic samples that are scored."),
]
Size = Annotated[
    int | None,
    typer.Option("--size", metavar="PIXELS", help="Resize the images of both sides."),
]
ColourName = Annotated[
    str, typer.Option("--colour", metavar="COLOUR", help="keep, grey or rgb: convert both sides.")
]
SplitName = Annotated[
    str, typer.Option("--split", metavar="SPLIT", help="Part of REAL to compare with: test, train.")
]
Column = Annotated[
    str | None, typer.Option("--column", metavar="NAME", help="Column of a table. Default: text.")
]
Block = Annotated[
    int | None, typer.Option("--block", metavar="TOKENS", help="Length of a text sample.")
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", metavar="N", min=1, help="Samples whose features are taken at a time."
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="DEVICE", help="E.g. cpu or cuda:1.")
]
Reference = Annotated[
    str | None,
    typer.Option(
        "--save-reference",
        metavar="NAME",
        help="Keep REAL and its statistics; later it is reference:NAME.",
    ),
]
Listed = Annotated[bool, typer.Option("--list-references", help="Only list what is kept.")]


def score(
    real: RealSide = None,
    synthetic: SyntheticSide = None,
    out: ScoresFolder = None,
    as_json: AsJson = False,
    extractor: ExtractorKind = None,
    samples: SampleCount = None,
    size: Size = None,
    colour: ColourName = "keep",
    split: SplitName = "test",
    column: Column = None,
    block: Block = None,
    batch_size: BatchSize = None,
    device: Device = None,
    reference: Reference = None,
    listed: Listed = False,
) -> None:
    """Score synthetic samples against real ones: every metric with its floor, and a page.

    Both sides are folders or files of images or text, hub data sets, or generations of runs. The
    synthetic side is compared with a part of REAL that is held out.

    Example: imglab score photos/ generated/ --size 64
    """
    from imglab.studies.score.options import Options, ReadingOptions

    if listed:
        _list_references(as_json)
        return
    sides = _both(real, synthetic)

    of_reading = ReadingOptions(
        extractor=extractor, size=size, colour=colour, column=column, block=block
    )
    options = Options(
        of_reading, samples=samples, split=split, batch_size=batch_size, reference=reference
    )
    _choose_device(device)
    _score(*sides, options, out, as_json)


def _both(real: str | None, synthetic: str | None) -> tuple[str, str]:
    """Return both sides; InputError where one is missing."""
    if real is None or synthetic is None:
        what = "two sets are compared"
        raise InputError(Problem("score", what, "imglab score REAL SYNTHETIC"))
    return real, synthetic


def _score(real: str, synthetic: str, options: Options, out: Path | None, as_json: bool) -> None:
    from imglab.report.score_page import PAGE, check_out, write_score
    from imglab.report.score_text import format_score
    from imglab.studies.score.score import Comparison

    comparison = Comparison.of(real, synthetic, options)
    sides = (comparison.real.side.named, comparison.synthetic.named)
    folder = out or SCORES / "__".join(_plain(side.name) for side in sides)
    check_out(folder, [side.place for side in sides])

    with stoppable(folder):
        row = write_score(_finished(comparison), folder)
    if as_json:
        typer.echo(json.dumps(row, indent=1))
        return
    typer.echo(printable(comparison.title))
    typer.echo(printable(format_score(row)))
    typer.echo(printable(f"\n{folder / PAGE}"))


def _finished(comparison: Comparison) -> Score:
    """Do the work, and show on a terminal how far it is."""
    work = comparison.score()
    is_terminal = sys.stderr.isatty()
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            if is_terminal:
                print("\r\033[K", end="", file=sys.stderr)
            result: Score = end.value
            return result
        if is_terminal:
            line = f"\r\033[K{progress.stage} {progress.seen:,} of {progress.total:,}"
            print(line, end="", file=sys.stderr, flush=True)


def _list_references(as_json: bool) -> None:
    from imglab.studies.score import references

    stored = references.listed()
    if as_json:
        typer.echo(json.dumps({"folder": str(references.folder()), "references": stored}, indent=1))
        return
    typer.echo(printable(str(references.folder())))
    for each in stored:
        sizes = " + ".join(f"{size:,}" for size in each["sizes"])
        typer.echo(printable(f"  reference:{each['name']}  {sizes} samples of {each['real']}"))


def _choose_device(name: str | None) -> None:
    """Let accelerate place networks on this device; InputError where there is no such device."""
    if name is None:
        return
    import torch

    try:
        torch.zeros(1, device=torch.device(name))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        what = f"there is no device {name!r}"
        raise InputError(Problem("--device", what, f"one of: {', '.join(devices)}")) from error
    os.environ["ACCELERATE_TORCH_DEVICE"] = name


def _plain(name: str) -> str:
    """Return a name that a folder can have."""
    return re.sub(r"[^\w.@-]+", "-", name)[:60].strip("-.") or "samples"
