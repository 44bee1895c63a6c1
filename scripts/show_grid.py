"""Write a grid of a finished generation's images, more of them than grid.png shows.

python scripts/show_grid.py runs/image_digits 5 --count 400 --to five.png
"""

import argparse
from pathlib import Path

import imglab
from imglab.images.render import draw_grid


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("generation", type=int)
    parser.add_argument("--count", type=int, default=256, help="images to show")
    parser.add_argument(
        "--shown", action="store_true", help="those from the same latents in every generation"
    )
    parser.add_argument("--to", type=Path, help="PNG to write (default: <run>_<generation>.png)")
    arguments = parser.parse_args()

    run = imglab.RunFolder(arguments.run)
    if not run.finished(arguments.generation):
        raise SystemExit(
            f"error: {arguments.run} has no finished generation {arguments.generation}"
        )
    if arguments.count < 1:
        parser.error("--count must be at least 1")
    samples = run.samples(arguments.generation, "shown" if arguments.shown else "samples")
    target = arguments.to or Path(f"{arguments.run.name}_{arguments.generation:03d}.png")
    draw_grid(samples.data[: arguments.count], target)
    print(target)


if __name__ == "__main__":
    main()
