"""A small sweep."""

from __future__ import annotations

from typing import Any

from tests.tiny_chains import TINY_GAUSSIAN

TINY_SWEEP: dict[str, Any] = {
    **TINY_GAUSSIAN,
    "regime": "replace",
    "generations": 3,
    "seeds": [0, 1, 2, 3, 4],
    "arms": {
        "replace": None,
        "mixed": {"regime": {"kind": "mix", "real_fraction": 0.5, "real": "fresh"}},
    },
    "contrasts": [{"metric": "variance", "arms": ["mixed", "replace"]}],
}


def rows(values):
    return [{"generation": g, "fid": value, "floor": {}} for g, value in enumerate(values)]
