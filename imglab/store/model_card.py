"""The model card of every `model/` folder: which generation of which chain the model is."""

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
"""The card of a model that writes none itself."""


@dataclass(frozen=True)
class Origin:
    """The chain that a model belongs to.

    data   its data and seed, in words
    rules  the rules of every generation but the first, in words
    first  what the first one was trained on, in words
    """

    data: str
    rules: str
    first: str = "on real data only"

    def sign(self, folder: Path, g: int) -> None:
        """Add to the card of a model, or to a new one, which generation of this chain the model is.

        Chains that differ only in their rules have the same generation 0, card included.
        """
        path = folder / CARD
        card = OWN_FORMAT
        if path.exists():
            card = path.read_text(encoding="utf-8")

        training = f"trained {self.first}"
        if g:
            training = f"trained under {self.rules}"
        generation = f"Generation {g} of a chain on {self.data}, {training}."
        scored = "`metrics.json` beside the folder scores what it drew."
        path.write_text(f"{card}\n{generation}\n{scored}\n", encoding="utf-8")
