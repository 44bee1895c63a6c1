"""Run an image chain from Python and use each generation as soon as it is finished.

python scripts/run_image_chain.py configs/image_digits.yaml --out runs/mine --set generations=3
"""

import argparse

import imglab


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/image_digits.yaml")
    parser.add_argument("--out", help="run directory (default: runs/<config name>)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the config"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    run = imglab.Run.from_file(arguments.config, arguments.out, arguments.set)

    for generation in run.generations():
        metrics = generation.metrics
        print(
            f"generation {generation.index}: FID {metrics['fid']} ({metrics['extractor']}), "
            f"recall {metrics['recall']}, {len(generation.samples)} images, "
            f"classes {metrics['class_counts']}"
        )
        if metrics["recall"] is not None and metrics["recall"] < 0.1:
            print("collapsed: stopping early; the same command continues the run")
            break


if __name__ == "__main__":
    try:
        main()
    except imglab.InputError as error:
        raise SystemExit(f"error: {error}") from error
