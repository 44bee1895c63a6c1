"""The real data of a run that exists, wherever they lie now: compared by their content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imglab.config.load import validate_config
from imglab.config.merge import differences, with_changes
from imglab.config.schema import RunConfig
from imglab.errors import InputError, Problem
from imglab.modality import Modality
from imglab.running.build import build_modality
from imglab.running.environment import describe_environment
from imglab.store.drawn import hash_samples
from imglab.store.inputs import or_version
from imglab.store.reading import read_environment
from imglab.store.sealed_config import is_move, located, read_sealed


def config_of(run: Path, changes: Sequence[str] = ()) -> RunConfig:
    """Return the config of a run, with the places where its data lie now.

    changes  `key.sub=value`, as `--set` takes them; InputError for keys that are no places
    """
    config = located(run, read_sealed(run / "config.yaml"))
    if not changes:
        return config

    before = config.model_dump(mode="json")
    changed = validate_config(with_changes(before, changes), "--set")
    after = changed.model_dump(mode="json")
    problems = [
        Problem(f"--set {key}", "is fixed in a run that exists", "set only where its data lie")
        for key, former, present in differences(before, after)
        if not is_move(key, former, present)
    ]
    if problems:
        raise InputError(problems)
    return changed


def modality_of(run: Path, config: RunConfig) -> Modality:
    """Open the real data of a run; InputError unless they are those that it began with.

    Synthetic data of the user's own are left out: only training needs them.
    """
    section = config.modality
    if getattr(section, "synthetic", None):
        alone = section.model_copy(update={"synthetic": []})
        config = config.model_copy(update={"modality": alone})

    modality = build_modality(config)
    recorded = read_environment(run)
    for split in ("train", "test"):
        if recorded["data"].get(split) != hash_samples(modality.real(split)):
            what = f"the real data of its config are not those of the run any more ({split})"
            remedy = "say where they lie now, e.g. --set modality.source.path=FOLDER"
            remedy += or_version(recorded, describe_environment(modality))
            raise InputError(Problem(str(run), what, remedy))
    return modality
