"""The command that asks further networks about a finished run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imglab.cli.errors import stoppable
from imglab.cli.options import AsJson, Changes
from imglab.errors import InputError

if TYPE_CHECKING:
    from imglab.images.extractor_settings import JudgeChoice

DEFAULT = ["lenet", "small"]
"""Networks that judge where none is named: neither is the network of the default extractor."""
NETWORKS = ("standard", "small", "lenet")
SEED = 1
"""Seed of a network that is named by its name alone: the extractor's default is 0."""
MISSING = "-"


def judge(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a finished run.")],
    judges: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            metavar="KIND",
            help="An extractor, e.g. dinov2 or '{kind: classifier, seed: 3}', or a network, e.g. "
            "lenet. Repeatable. Default: lenet and small.",
        ),
    ] = None,
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Score a finished run's images with further networks, and say whether they agree.

    Each judge's FID, precision and recall of each generation go to RUN/judges.json. Of the config
    only places can be set, for data that have moved: modality.source.path=FOLDER.

    Example: imglab judge runs/image_digits --judge lenet --judge dinov2
    """
    sections = parse_judges(judges or DEFAULT)

    # Only now torch is imported: a wrong judge has been reported by now.
    from imglab.running.judge import judge as judge_run

    with stoppable(run):
        result = judge_run(run, sections, changes or [])
    if as_json:
        typer.echo(json.dumps(result, indent=1))
    else:
        typer.echo(format_judges(result))


def parse_judges(texts: Sequence[str]) -> list[JudgeChoice]:
    """Return the extractors that words or sections in YAML name; InputError holds all problems."""
    from pydantic import ValidationError

    from imglab.config.problems import problems_of
    from imglab.config.yaml import parse_yaml
    from imglab.images.settings import ImageSettings

    sections: list[Any] = []
    for text in texts:
        section = parse_yaml(text, "--judge")
        if section in NETWORKS:
            section = {"kind": "classifier", "network": section, "seed": SEED}
        sections.append(section)

    tree = {"judges": sections}
    try:
        return ImageSettings.model_validate(tree).judges
    except ValidationError as error:
        raise InputError(problems_of("--judge", tree, ImageSettings, error)) from error


def format_judges(result: dict[str, Any]) -> str:
    """Return a table with the FID of the run's extractor and of each judge, and the agreement."""
    judges = list(result["agreement"])
    lines = [["generation", "FID", *judges]]
    for row in result["generations"]:
        scores = [row["fid"], *(row["fid_by_judge"][judge] for judge in judges)]
        lines.append([str(row["generation"]), *map(_number, scores)])
    lines.append(["agreement", "", *(_number(result["agreement"][judge]) for judge in judges)])

    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*table, "agreement: Spearman's correlation with the run's FID"])


def _number(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.3g}"
