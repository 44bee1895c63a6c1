"""Write docs/claims.md from a finished folder of `imglab claims`: FOLDER DOCUMENT."""

from __future__ import annotations

import sys
from pathlib import Path

from imglab.studies.claims.catalog import Catalog
from imglab.studies.claims.document import claims_document
from imglab.studies.claims.verdicts import read_verdicts, with_costs


def main(folder: Path, document: Path) -> None:
    """Write the table of the claims in `folder` to `document`."""
    tree = read_verdicts(folder)
    names = [entry["name"] for entry in [*tree["claims"], *tree["measurements"]]]
    shown = with_costs(folder, tree, names)
    document.write_text(claims_document(shown, Catalog(), "runs/claims"), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python scripts/claims_table.py FOLDER DOCUMENT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
