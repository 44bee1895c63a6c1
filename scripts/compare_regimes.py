"""Run one config under several regimes and draw their metrics in one figure: what does real data buy?

python scripts/compare_regimes.py configs/image_digits.yaml --out runs/regimes
"""

import argparse
from pathlib import Path

import imglab
from imglab.report.figures import curves_png

REGIMES = {
    "replace": ["regime.kind=replace"],
    "accumulate": ["regime.kind=accumulate"],
    "10% real": ["regime={kind: mix, real_fraction: 0.1, real: fixed}"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="configs/image_digits.yaml")
    parser.add_argument("--out", type=Path, default=Path("runs/regimes"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the config")
    arguments = parser.parse_args()

    found = {}
    for name, changes in REGIMES.items():
        folder = arguments.out / name.replace("% ", "_percent_")
        run = imglab.Run.from_file(arguments.config, folder, [*arguments.set, *changes])
        found[name] = [generation.metrics for generation in run.generations()]
        print(f"{name}: FID {found[name][0]['fid']:.3g} -> {found[name][-1]['fid']:.3g}, in {folder}", flush=True)
    figure = arguments.out / "regimes.png"
    figure.write_bytes(curves_png(found, ["fid", "precision", "recall", "coverage"]))
    print(figure)


if __name__ == "__main__":
    main()
