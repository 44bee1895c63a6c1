"""Write a grid of a finished generation's images, with more of them than grid.png shows.

python scripts/show_grid.py runs/image_digits 5 --count 400 --to five.png
"""

import argparse
from pathlib import Path

import imglab
from imglab.images.render import draw_grid


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
    g = arguments.generation
    run = imglab.RunFolder(arguments.run)
    if not run.finished(g):
        raise SystemExit(f"error: {arguments.run} has no finished generation {g}")

    samples = run.samples(g, "shown" if arguments.shown else "samples")
    target = arguments.to or Path(f"{arguments.run.name}_{g:03d}.png")
    draw_grid(samples.data[: arguments.count], target)
    print(target)


if __name__ == "__main__":
    main()
