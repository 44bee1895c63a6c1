"""Run one config under several regimes and draw their metrics in one figure: what does real data buy?

python scripts/compare_regimes.py configs/image_digits.yaml --out runs/regimes
"""

import argparse
from pathlib import Path

import imglab
from imglab.report.curves import curves_figure
from imglab.report.figures import png

REGIMES = {
    "replace": ["regime=replace"],
    "accumulate": ["regime=accumulate"],
    "10% real": ["regime={kind: mix, real_fraction: 0.1, real: fixed}"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/image_digits.yaml")
    parser.add_argument("--out", type=Path, default=Path("runs/regimes"))
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the config"
    )
    arguments = parser.parse_args()

    found = {}
    for name, changes in REGIMES.items():
        folder = arguments.out / name.replace("% ", "_percent_")
        run = imglab.Run.from_file(arguments.config, folder, [*arguments.set, *changes])
        found[name] = [generation.metrics for generation in run.generations()]
        print(
            f"{name}: FID {found[name][0]['fid']} -> {found[name][-1]['fid']}, in {folder}",
            flush=True,
        )
    (arguments.out / "regimes.png").write_bytes(
        png(curves_figure(found, ["fid", "precision", "recall", "coverage"]))
    )
    print(arguments.out / "regimes.png")


if __name__ == "__main__":
    try:
        main()
    except imglab.InputError as error:
        raise SystemExit(f"error: {error}") from None
