"""Studies that vary one chain: keys of their own, and what their chains must share. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from imglab.config.problems import problems_of
from imglab.config.section import Section
from imglab.errors import InputError, Problem

K = TypeVar("K", bound=Section)

DATA_SEED = "data_seed"
"""The key of the data whose value is another draw of them."""


def study_and_chain(
    section: type[K], tree: Mapping[str, Any], where: str
) -> tuple[K, dict[str, Any]]:
    """Divide a config into the keys of a study, validated, and those of its chains.

    The name belongs to both. InputError holds every problem of the study's keys.
    """
    of_study = {key: tree[key] for key in section.model_fields if key in tree}
    chain = {key: value for key, value in tree.items() if key == "name" or key not in of_study}
    try:
        return section.model_validate(of_study), chain
    except ValidationError as error:
        raise InputError(problems_of(where, tree, section, error)) from error


def check_alike(tree: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    """Raise InputError unless chains that differ in these keys are scored alike.

    tree  the config of a chain with its defaults, as JSON
    """
    sizes = [key for key in keys if key in ("samples", "modality.n_train")]
    if sizes and tree["measure"].get("samples") is None:
        what = f"chains over {sizes[0]} would be scored on different numbers of samples"
        remedy = "give measure.samples, e.g. --set measure.samples=1000"
        raise InputError(Problem(f"{where}: measure.samples", what, remedy))
    if "modality.n_train" in sizes and tree["measure"].get("reference") == "train":
        what = "chains over modality.n_train would be compared with different real sets"
        raise InputError(Problem(f"{where}: measure.reference", what, "reference: test"))
