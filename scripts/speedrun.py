"""How good an image model gets in a fixed number of seconds of computing.

    python scripts/speedrun.py                                    # every row, on 5,000 digits
    python scripts/speedrun.py image edm --seconds 60 --seeds 3
    python scripts/speedrun.py --data cifar10.npz --out cifar10.json

Each row trains for as many CPU-seconds of one thread as the others (on a GPU: seconds), draws, and
is scored against held-out images: the excess of the Fréchet distance over its floor, in standard
deviations of the floor, recall and precision, and the variance ratio. Rows of peers need
`pip install smalldiffusion`, and IMGLAB_TRAIN_UNCONDITIONAL=PATH of diffusers' example
train_unconditional.py; without them they are left out, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from speedrun_peers import PEERS
from speedrun_rows import OURS, Scores, SpeedRun

COLUMNS = ("excess_fid", "recall", "precision", "variance_ratio", "images", "fit_s", "draw_s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of: {', '.join([*OURS, *PEERS])}")
    parser.add_argument("--seconds", type=float, default=100, help="computing time of a fit")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--drawn", type=int, default=2000, help="images drawn and scored")
    parser.add_argument(
        "--data", default="mnist5k", help="mnist5k, an .npz file, or a torchvision folder/NAME"
    )
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file as well")
    arguments = parser.parse_args()

    names = arguments.rows or [*OURS, *PEERS]
    unknown = [name for name in names if name not in {**OURS, **PEERS}]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join([*OURS, *PEERS])}")

    speed_run = SpeedRun(arguments.data, arguments.seconds, arguments.drawn)
    results: dict[str, list[Scores]] = {}
    for name in names:
        run_row = PEERS.get(name) or OURS[name]
        results[name] = []
        for seed in range(arguments.seeds):
            scores = run_row(speed_run, seed)
            results[name].append(scores)
            print(name, seed, json.dumps(scores), file=sys.stderr, flush=True)
            write(results, arguments, speed_run)
    print(table(results, arguments, speed_run))


def write(
    results: Mapping[str, Sequence[Scores]], arguments: argparse.Namespace, speed_run: SpeedRun
) -> None:
    """Write the figures of all rows so far, where a file is asked for."""
    if arguments.out is None:
        return
    tree = {"described": described(arguments, speed_run), "rows": results}
    arguments.out.write_text(json.dumps(tree, indent=1))


def described(arguments: argparse.Namespace, speed_run: SpeedRun) -> dict[str, Any]:
    """Return what the figures depend on: the machine, the versions and the floors."""
    packages = {name: version(name) for name in ("torch", "diffusers")}
    return {
        "data": arguments.data,
        "seconds": arguments.seconds,
        "drawn": arguments.drawn,
        "device": speed_run.device_name,
        "machine": platform.processor() or platform.machine(),
        "threads": 1,
        "versions": packages,
        "floor": speed_run.floor,
    }


def table(
    results: Mapping[str, Sequence[Scores]], arguments: argparse.Namespace, speed_run: SpeedRun
) -> str:
    """Return the table as Markdown: medians over the seeds."""
    fid, recall = speed_run.floor["fid"], speed_run.floor["recall"]
    lines = [
        f"{arguments.data}: {arguments.seconds:g} s of {speed_run.device_name} each, "
        f"{arguments.seeds} seed(s), {arguments.drawn:,} drawn; floors: FID {fid['mean']:.3g} "
        f"± {fid['sd']:.2g}, recall {recall['mean']:.2f}",
        "",
        f"| row | {' | '.join(COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    for name, of_seeds in results.items():
        skipped = of_seeds[0].get("skipped")
        if skipped:
            lines.append(f"| {name} | {skipped} |{' |' * (len(COLUMNS) - 1)}")
            continue
        cells = [median(of_seeds, column) for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def median(of_seeds: Sequence[Scores], column: str) -> str:
    """Return the median over the seeds in three digits; `-` where it is undefined for one."""
    values = [row[column] for row in of_seeds]
    if None in values:
        return "-"
    return f"{statistics.median(values):.3g}"


if __name__ == "__main__":
    main()
