"""Write a grid of a finished generation's images, with more of them than grid.png shows.

python scripts/show_grid.py runs/image_digits 5 --count 400 --to five.png
"""

import argparse
from pathlib import Path

import imglab


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("generation", type=int)
    parser.add_argument("--count", type=int, default=256, help="number of images to show")
    parser.add_argument(
        "--shown", action="store_true", help="images from the same noise in every generation"
    )
    parser.add_argument("--to", type=Path, help="PNG to write (default: <run>_<generation>.png)")

    arguments = parser.parse_args()
    if arguments.count < 1:
        parser.error("--count must be at least 1")
    return arguments


def main() -> None:
    arguments = parse()
    stage = "shown" if arguments.shown else "samples"
    grid = imglab.open(arguments.run).grid(arguments.generation, arguments.count, stage=stage)

    target = arguments.to or Path(f"{arguments.run.name}_{arguments.generation:03d}.png")
    grid.save(target)
    print(target)


if __name__ == "__main__":
    try:
        main()
    except imglab.InputError as error:
        raise SystemExit(f"error: {error}") from error
