"""Run a text chain from Python and use each generation as soon as it is finished.

python scripts/run_text_chain.py configs/text_pydoc.yaml --out runs/mine --set generations=3
"""

import argparse

import imglab


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/text_pydoc.yaml")
    parser.add_argument("--out", help="run directory (default: runs/<config name>)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    run = imglab.Run.from_file(arguments.config, arguments.out, arguments.set)
    modality = run.experiment.modality
    if not isinstance(modality, imglab.modalities.TextModality):
        raise SystemExit(f"error: {arguments.config} holds no text chain")

    for generation in run.generations():
        metrics = generation.metrics
        print(
            f"generation {generation.index}: perplexity {metrics['perplexity']} on real text, "
            f"entropy {metrics['entropy']}, distinct-2 {metrics['distinct_2']}, "
            f"{len(generation.samples)} texts"
        )
        text = modality.read(generation.shown)[0]["text"]
        print(f"  {text!r}")
        if metrics["entropy"] is not None and metrics["entropy"] < 0.5:
            print("collapsed: stopping early; the same command continues the run")
            break


if __name__ == "__main__":
    try:
        main()
    except imglab.InputError as error:
        raise SystemExit(f"error: {error}") from error
