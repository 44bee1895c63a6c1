"""Run one config under several regimes and draw their metrics in one figure.

It shows what real data buy: python scripts/compare_regimes.py configs/image_digits_8x8.yaml
"""

import argparse
from pathlib import Path

import imglab

REGIMES = {
    "replace": "regime=replace",
    "accumulate": "regime=accumulate",
    "10% real": "regime={kind: mix, real_fraction: 0.1, real: fixed}",
}
METRICS = ["fid", "precision", "recall", "coverage"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/image_digits_8x8.yaml")
    parser.add_argument("--out", type=Path, default=Path("runs/regimes"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    metrics = {}
    for name, change in REGIMES.items():
        folder = arguments.out / name.replace("% ", "_percent_")
        run = imglab.Run.from_file(arguments.config, folder, [*arguments.set, change])
        metrics[name] = [generation.metrics for generation in run.generations()]
        fid = [row["fid"] for row in metrics[name]]
        print(f"{name}: FID {fid[0]} -> {fid[-1]}, in {folder}", flush=True)

    figure = arguments.out / "regimes.png"
    imglab.curves_figure(metrics, METRICS).savefig(figure, dpi=130)
    print(figure)


if __name__ == "__main__":
    try:
        main()
    except imglab.InputError as error:
        raise SystemExit(f"error: {error}") from error
