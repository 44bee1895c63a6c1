"""Run a text chain from Python and do something with each generation as it is finished.

python scripts/run_text_chain.py configs/text_pydoc.yaml --out runs/mine --set generations=3
"""

import argparse

import imglab
from imglab.safe_text import printable


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/text_pydoc.yaml")
    parser.add_argument("--out", help="run directory (default: runs/<config name>)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the config"
    )
    arguments = parser.parse_args()

    run = imglab.Run.from_file(arguments.config, arguments.out, arguments.set)
    if run.experiment.config.modality.kind != "text":
        parser.error(f"{arguments.config} holds no text chain")
    for generation in run.generations():
        metrics, tokenizer = generation.metrics, generation.model.tokenizer
        print(
            f"generation {generation.index}: perplexity {metrics['perplexity']} on real text, entropy "
            f"{metrics['entropy']}, distinct-2 {metrics['distinct_2']}, {len(generation.samples)} texts"
        )
        print(f"  {printable(' '.join(tokenizer.decode(generation.shown.data[0]).split()))}")
        if metrics["entropy"] is not None and metrics["entropy"] < 0.5:
            print("collapsed: stopping early; the same command goes on from here")
            break


if __name__ == "__main__":
    try:
        main()
    except imglab.InputError as error:
        raise SystemExit(f"error: {error}") from None
