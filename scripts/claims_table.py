"""Write docs/claims.md from a finished folder of `imglab claims`.

python scripts/claims_table.py FOLDER DOCUMENT           the claims of the folder alone
python scripts/claims_table.py FOLDER DOCUMENT --keep    beside those that DOCUMENT has already

With --keep the rows of DOCUMENT stay as they were written, where the folder has no verdict on their
claim.
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from imglab.studies.claims.catalog import Catalog
from imglab.studies.claims.document import claims_document
from imglab.studies.claims.joined_documents import merged
from imglab.studies.claims.verdicts import read_verdicts, with_costs


def main(folder: Path, document: Path, *, keep: bool) -> None:
    """Write the table of the claims in `folder` to `document`."""
    tree = read_verdicts(folder)
    names = [entry["name"] for entry in [*tree["claims"], *tree["measurements"]]]
    text = claims_document(with_costs(folder, tree, names), Catalog(), "runs/claims")
    if keep and document.exists():
        text = merged(text, document.read_text(encoding="utf-8"))
    document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("document", type=Path)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    main(asked.folder, asked.document, keep=asked.keep)
