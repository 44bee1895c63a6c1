"""Run image and text chains under common settings and draw their losses in one figure.

python scripts/run_side_by_side.py configs/side_by_side.yaml --out runs/both --set generations=3
"""

import argparse

import imglab


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/side_by_side.yaml")
    parser.add_argument("--out", help="run directory (default: runs/<config name>)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the config"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    both = imglab.SideBySide.from_file(arguments.config, arguments.out, arguments.set)

    first_recall: dict[str, float | None] = {}
    for chain, generation in both.generations():
        recall = generation.metrics["recall"]
        first = first_recall.setdefault(chain, recall)
        share = "undefined"
        if first and recall is not None:
            share = f"{recall / first:.0%}"
        print(f"{chain}, generation {generation.index}: {share} of generation 0's recall")

    imglab.write_results(both.folder)
    print(both.folder / "side_by_side.png")


if __name__ == "__main__":
    try:
        main()
    except imglab.InputError as error:
        raise SystemExit(f"error: {error}") from error
