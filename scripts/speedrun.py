"""How good an image model gets in a fixed number of seconds of computing.

    python scripts/speedrun.py                                    # every row, on 5,000 digits
    python scripts/speedrun.py image edm --seconds 60 --seeds 3
    python scripts/speedrun.py image --seconds 30,60,120 --picture curves.png
    python scripts/speedrun.py --data cifar10.npz --out cifar10.json

Each row trains for as many CPU-seconds of one thread as the others (on a GPU: seconds), draws, and
is scored against held-out images: the excess of the Fréchet distance over its floor, in standard
deviations of the floor, recall and precision, and the variance ratio. Several times give a curve;
each fit is planned for its own, since the learning rate falls to zero at its end. Rows of peers
need `pip install smalldiffusion`, and IMGLAB_TRAIN_UNCONDITIONAL=PATH of diffusers' example
train_unconditional.py; without them they are left out, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

from benchmark_tools import commit, processor
from speedrun_curves import draw_curves
from speedrun_peers import PEERS
from speedrun_rows import OURS, Scores, SpeedRun

COLUMNS = ("excess_fid", "recall", "precision", "variance_ratio", "images", "fit_s", "draw_s")


Results: TypeAlias = dict[str, dict[float, list[Scores]]]
"""The scores of each seed, by row and by seconds of a fit."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of: {', '.join([*OURS, *PEERS])}")
    parser.add_argument(
        "--seconds", type=seconds_of, default=[100.0], help="computing time of a fit, or several"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--drawn", type=int, default=2000, help="images drawn and scored")
    parser.add_argument(
        "--data", default="mnist5k", help="mnist5k, an .npz file, or a torchvision folder/NAME"
    )
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file as well")
    parser.add_argument("--picture", type=Path, help="write the curves to this PNG file as well")
    arguments = parser.parse_args()

    names = arguments.rows or [*OURS, *PEERS]
    unknown = [name for name in names if name not in {**OURS, **PEERS}]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join([*OURS, *PEERS])}")

    speed_run = SpeedRun(arguments.data, arguments.drawn)
    description = described(arguments, speed_run)
    results: Results = {}
    for name, seconds, seed in product(names, arguments.seconds, range(arguments.seeds)):
        run_row = PEERS.get(name) or OURS[name]
        scores = run_row(speed_run.of(seconds), seed)
        results.setdefault(name, {}).setdefault(seconds, []).append(scores)
        print(name, seconds, seed, json.dumps(scores), file=sys.stderr, flush=True)
        if arguments.out is not None:
            tree = {"described": description, "rows": results}
            arguments.out.write_text(json.dumps(tree, indent=1))

    print(table(results, description))
    if arguments.picture is not None:
        draw_curves(medians(results, "excess_fid"), description["device"], arguments.picture)


def seconds_of(text: str) -> list[float]:
    """Return the times of a list such as 30,60,120, the shortest first."""
    return sorted(float(part) for part in text.split(","))


def described(arguments: argparse.Namespace, speed_run: SpeedRun) -> dict[str, Any]:
    """Return what the figures depend on: the machine, the versions, the commit and the floors."""
    return {
        "data": arguments.data,
        "seeds": arguments.seeds,
        "drawn": arguments.drawn,
        "device": speed_run.device_name,
        "machine": processor(),
        "threads": 1,
        "versions": {name: version(name) for name in ("torch", "diffusers")},
        "commit": commit(),
        "floor": speed_run.floor,
    }


def table(results: Results, description: Mapping[str, Any]) -> str:
    """Return the table as Markdown: medians over the seeds."""
    fid, recall = description["floor"]["fid"], description["floor"]["recall"]
    versions = ", ".join(f"{name} {number}" for name, number in description["versions"].items())
    lines = [
        f"{description['data']}: {description['seeds']} seed(s), {description['drawn']:,} drawn; "
        f"floors: FID {fid['mean']:.3g} ± {fid['sd']:.2g}, recall {recall['mean']:.2f}; seconds of "
        f"{description['device']}, {description['machine']}; {versions}; commit "
        f"{description['commit']}",
        "",
        f"| row | seconds | {' | '.join(COLUMNS)} |",
        f"|---|---|{'---|' * len(COLUMNS)}",
    ]
    for name, of_times in results.items():
        for seconds, of_seeds in of_times.items():
            cells = [f"{seconds:g}", *(cell(median(of_seeds, column)) for column in COLUMNS)]
            if "skipped" in of_seeds[0]:
                cells = [f"{seconds:g}", of_seeds[0]["skipped"], *[""] * (len(COLUMNS) - 1)]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def medians(results: Results, column: str) -> dict[str, dict[float, float]]:
    """Return the median of a column over the seeds by row and seconds, where it is defined."""
    of_rows: dict[str, dict[float, float]] = {}
    for name, of_times in results.items():
        for seconds, of_seeds in of_times.items():
            value = median(of_seeds, column)
            if value is not None:
                of_rows.setdefault(name, {})[seconds] = value
    return of_rows


def median(of_seeds: Sequence[Scores], column: str) -> float | None:
    """Return the median over the seeds; None where the column is undefined for one."""
    values: list[float] = [row[column] for row in of_seeds if row.get(column) is not None]
    if len(values) < len(of_seeds):
        return None
    return statistics.median(values)


def cell(value: float | None) -> str:
    """Return a number in three digits; `-` where it is undefined."""
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
