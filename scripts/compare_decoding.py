"""Run one text config with several decodings and draw which metric sees which collapse.

python scripts/compare_decoding.py configs/text_pydoc.yaml --out runs/decoding
"""

import argparse
from pathlib import Path

import imglab
from imglab.report.curves import curves_figure
from imglab.report.figures import png

DECODINGS = {
    "sampling": "model.decoding={kind: sampling}",
    "top-p": "model.decoding={kind: sampling, temperature: 0.9, top_p: 0.95}",
    "beam": "model.decoding={kind: beam, beams: 5}",
}
METRICS = ["perplexity", "reference_perplexity", "entropy"]
METRICS += ["distinct_2", "repetition", "rare_word_survival"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/text_pydoc.yaml")
    parser.add_argument("--out", type=Path, default=Path("runs/decoding"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    metrics = {}
    for name, change in DECODINGS.items():
        run = imglab.Run.from_file(arguments.config, arguments.out / name, [*arguments.set, change])
        metrics[name] = [generation.metrics for generation in run.generations()]
        print(name)
        for key in METRICS:
            print(f"  {key} {[row[key] for row in metrics[name]]}", flush=True)

    (arguments.out / "decoding.png").write_bytes(png(curves_figure(metrics, METRICS)))
    print(arguments.out / "decoding.png")


if __name__ == "__main__":
    try:
        main()
    except imglab.InputError as error:
        raise SystemExit(f"error: {error}") from error
