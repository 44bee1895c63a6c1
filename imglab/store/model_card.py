"""What every `model/` folder says of itself: which generation of which chain it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CARD = "README.md"
OWN_FORMAT = """\
---
tags: [imglab, model-collapse]
---

# A model of an imglab chain

`imglab.load_model("model")` opens this folder.
"""


@dataclass(frozen=True)
class Origin:
    """Which chain a model is of: its data and seed, and the rules that every generation but the first follows."""

    data: str
    rules: str

    def sign(self, folder: Path, g: int) -> None:
        """Add to a model's card, or to one made for it, which generation of what it is.

        Chains that differ in their rules alone have the same generation 0, card included.
        """
        path = folder / CARD
        card = path.read_text(encoding="utf-8") if path.exists() else OWN_FORMAT
        trained = f"trained under {self.rules}" if g else "trained on real data only"
        told = f"Generation {g} of a chain on {self.data}, {trained}."
        scored = "`metrics.json` beside the folder scores what it drew."
        path.write_text(f"{card}\n{told}\n{scored}\n", encoding="utf-8")
