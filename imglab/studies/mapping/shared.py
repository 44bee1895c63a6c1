"""Finished runs of other studies that a map takes in place of cells of its own."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from imglab.config.schema import RunConfig
from imglab.errors import InputError
from imglab.running.build import build
from imglab.running.cache import RECORDED
from imglab.running.environment import describe_environment
from imglab.running.resume import resolve
from imglab.store.layout import count_finished
from imglab.store.reading import read_environment
from imglab.store.sealed_config import config_hash, read_sealed

PATTERNS = ("*/config.yaml", "*/*/config.yaml", "*/*/*/config.yaml")
"""Where runs lie below a folder: single ones, arms and cells, seeds of arms."""

SAME = tuple(key for key in RECORDED if key != "processor")
"""What of its environment a run must have in common with a cell that it stands for."""


def cell_hash(config: RunConfig) -> str:
    """Return the hash of all that a chain's metrics depend on: not its name and its threads."""
    plain = config.model_copy(update={"name": "cell", "threads": 1})
    return f"{config_hash(plain)[:24]}-{config.generations}"


class FinishedRuns:
    """The finished runs below a folder, by the hashes of their configs."""

    def __init__(self, root: Path, without: Path) -> None:
        """Look below `root`, but not in the folder `without`."""
        self._root = root
        self._without = without.resolve()

    def run_of(self, config: RunConfig, where: str) -> Path | None:
        """Return the folder of a finished run with this config, data and code; None: there is none.

        config  as a user writes it: what it leaves open is filled in as a run would
        """
        if not self._folders:
            return None

        # No run can begin in a folder of this name.
        experiment = build(resolve(config, Path("/dev/null/none"), where), where)
        filled = experiment.config.model_copy(update={"samples": experiment.samples})
        folder = self._folders.get(cell_hash(filled))
        if folder is None:
            return None
        environment = describe_environment(experiment.modality, experiment.bases)
        if _origin(environment) != _origin(read_environment(folder)):
            return None
        return folder

    @cached_property
    def _folders(self) -> dict[str, Path]:
        paths = [path for pattern in PATTERNS for path in sorted(self._root.glob(pattern))]
        folders: dict[str, Path] = {}
        for path in paths:
            folder = path.parent
            if self._without in folder.resolve().parents:
                continue
            try:
                config = read_sealed(path)
                if count_finished(folder) >= config.generations:
                    folders.setdefault(cell_hash(config), folder)
            except InputError:
                continue  # no run, or a damaged one
        return folders


def _origin(environment: dict[str, Any]) -> list[Any]:
    return [environment.get(key) for key in SAME]
