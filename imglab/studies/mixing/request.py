"""What `imglab mix` is asked: a config with its real data, a synthetic set, and a search."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imglab.config.given import TAKEN
from imglab.config.load import load_config, validate_config
from imglab.config.merge import merged
from imglab.config.schema import RunConfig
from imglab.errors import InputError, Problem, nearest
from imglab.regimes.mixture import LAST, REAL
from imglab.studies.mixing.criterion import CONTROL, CRITERIA, GATE, MANY_RUNS
from imglab.studies.mixing.plan import FEWEST_HALVINGS, Plan, Size, sizes_of
from imglab.studies.mixing.search import FEWEST_SEEDS
from imglab.studies.profile.trend import FEWEST

HUB = "hub:"
GENERATION = re.compile(r".+@\d+")
MOST = 64
"""Characters of a label."""
TEXT = "text"
IMAGE = "image"


@dataclass(frozen=True)
class Request:
    """One question: how much real data does this mixture need.

    tree   the config of a chain with its real data and the synthetic set; its regime is open
    label  of the synthetic set
    size   samples of each training set; None: as many as the real one has
    budget  the time that chose the plan, as it was written; None: the plan was asked for
    """

    tree: Mapping[str, Any]
    label: str
    plan: Plan
    criterion: str = GATE
    where: str = "config"
    size: int | None = None
    budget: str | None = None

    @property
    def name(self) -> str:
        """Name of the study."""
        return f"mix_{self.tree['name']}"

    def config(self, share: float, seed: int = 0) -> RunConfig:
        """Return the chain whose training sets have this share of real data.

        In generation 0 the rest is the synthetic set, later what the last generation drew, which is
        as much as the real training set, so that it can take its place.
        """
        rest = 0.0 if share == 1.0 else 1.0 - share
        shares = {REAL: share, self.label: 0.0, LAST: rest}
        changes = {
            "seed": seed,
            "name": arm_name(share),
            "generations": self.plan.generations,
            "samples": None,
            "regime": {"kind": "mixture", "shares": shares, "size": self.size},
            **self.plan.changes(self.tree["model"]),
        }
        return validate_config(merged(self.tree, changes, self.where), self.where)

    def of_size(self, size: Size) -> RunConfig:
        """Return a chain of a size as long as the config's, by which its cost is measured."""
        plan = replace(self.plan, generations=self.tree["generations"], size=size)
        return replace(self, plan=plan).config(0.5)

    def sizes(self, n: int) -> list[Size]:
        """Return the sizes that its chains may have, the largest first.

        n  real training samples that the config takes
        """
        return [size for size in sizes_of(n, self.tree["model"]) if self._is_valid(size)]

    def _is_valid(self, size: Size) -> bool:
        """Say whether a config may be made so small, such as a network with as many heads."""
        try:
            self.of_size(size)
        except InputError:
            return False
        return True

    @property
    def fewest_generations(self) -> int:
        """How many generations the criterion needs."""
        if self.criterion in (GATE, CONTROL):
            return 2
        return FEWEST


def arm_name(share: float) -> str:
    """Return the name of the chains of a real share, e.g. `real_0_25`."""
    return f"real_{share:g}".replace(".", "_")


def read_request(
    path: Path,
    synthetic: str,
    *,
    real: str | None = None,
    label: str | None = None,
    criterion: str = GATE,
    changes: Sequence[str] = (),
) -> Request:
    """Read what is asked; InputError with every problem that needs no data.

    The plan of the answer is the smallest, to be replaced.

    synthetic  path of the synthetic data, RUN@G, or hub:NAME
    real       path of the real data; None: those of the config
    label      of the synthetic set; None: the name of its file or run
    """
    if criterion not in CRITERIA:
        what = f"{criterion!r} is not known"
        raise InputError(Problem("--criterion", what, nearest(criterion, CRITERIA)))

    tree = _tree_of(path, changes)
    modality = tree["modality"]
    if real is not None:
        modality["source"] = _source(modality["kind"], modality["source"], real)
    label = label or _label_of(synthetic)
    modality["synthetic"] = [{"label": label, **_place(synthetic)}]

    smallest = Plan(FEWEST_SEEDS, tree["generations"], FEWEST_HALVINGS)
    request = Request(tree, label, smallest, criterion, str(path))
    for share in (0.0, 1.0):
        request.config(share)
    _check_criterion(request)
    return request


def _tree_of(path: Path, changes: Sequence[str]) -> dict[str, Any]:
    """Return a config as JSON; InputError unless it has one chain, of images or text."""
    config = load_config(path, changes)
    if not isinstance(config, RunConfig):
        raise InputError(Problem(str(path), "holds several chains", "give a config of one chain"))

    tree = config.model_dump(mode="json")
    kind = tree["modality"].get("kind")
    if kind not in (IMAGE, TEXT):
        what = f"{kind!r} data take no synthetic set of one's own"
        remedy = "choose images or text; `imglab map` finds the share of real data that holds these"
        raise InputError(Problem(f"{path}: modality.kind", what, remedy))
    return tree


def _check_criterion(request: Request) -> None:
    """Raise InputError for a criterion that the chains of a search could never decide."""
    if request.criterion == MANY_RUNS:
        what = f"{MANY_RUNS!r} compares runs of several sizes, and a search has one size"
        raise InputError(Problem("--criterion", what, "choose another one"))
    if request.plan.generations < request.fewest_generations:
        what = f"{request.criterion!r} needs {request.fewest_generations} generations"
        remedy = f"--set generations={request.fewest_generations}"
        raise InputError(Problem("--criterion", what, remedy))
    if request.criterion in (GATE, CONTROL) and request.tree["measure"].get("gate") == "none":
        what = f"{request.criterion!r} asks for the thresholds of measure.gate, which is none"
        raise InputError(Problem("--criterion", what, "leave measure.gate out"))


def _source(kind: str, source: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the source of real data at a path: that of the config, if it has a path."""
    if "path" in source and source.get("kind") != "emoji":
        return {**source, "path": path}
    if kind == TEXT:
        return {"kind": "files", "path": path}
    if Path(path).suffix.lower() == ".npz":
        return {"kind": "npz", "path": path}
    return {"kind": "folder", "path": path}


def _label_of(synthetic: str) -> str:
    """Return a label made of the name of the synthetic data."""
    name = re.sub(r"[^\w.-]", "_", Path(synthetic.replace("@", "_")).stem)
    name = name.removeprefix(HUB.replace(":", "_"))
    if not name[:1].isalpha() or not name.isascii() or name in TAKEN:
        name = f"set_{name}"
    return name[:MOST]


def _place(synthetic: str) -> dict[str, str]:
    """Return the keys that name a synthetic set."""
    if synthetic.startswith(HUB):
        return {"hub": synthetic.removeprefix(HUB)}
    if GENERATION.fullmatch(synthetic) and not Path(synthetic).exists():
        return {"run": synthetic}
    return {"path": synthetic}
