"""How a config and the run directory that it continues fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imglab.config.merge import differences
from imglab.config.schema import RunConfig
from imglab.config.section import AUTO
from imglab.errors import InputError, Problem
from imglab.run.autotune import settled
from imglab.run.build import resolved_threads
from imglab.store.sealed_config import HARMLESS, read_sealed

RUNS = Path("runs")


def check_folder(folder: Path, mark: str, otherwise: str) -> None:
    """Raise InputError unless `folder` is free, or holds the file `mark`; `otherwise` says what it is without."""
    if folder.exists() and not folder.is_dir():
        raise InputError(Problem(str(folder), "is a file, not a directory", "choose another --out"))
    marked = (folder / mark).is_file()
    if (
        folder.is_dir()
        and not marked
        and any(not found.name.startswith(".") for found in folder.iterdir())
    ):
        raise InputError(
            Problem(str(folder), f"is not empty and {otherwise}", "choose another --out")
        )


def resolve(config: RunConfig, folder: Path, where: str) -> RunConfig:
    """Fix what a config leaves open (`auto`), the way that the run in `folder` fixed it if there is one.

    Raises InputError unless `folder` is free, or holds this very run.
    """
    path = folder / "config.yaml"
    check_folder(folder, path.name, "not a run directory")
    if not path.exists():
        return config.model_copy(update={"threads": resolved_threads(config)})
    stored = read_sealed(path)
    changes = differences(stored.model_dump(mode="json"), config.model_dump(mode="json"))
    found = [change for change in changes if not _harmless(*change)]
    if found:
        raise InputError(
            Problem(
                f"{folder}: {key}",
                f"the run there has {was!r}, {where} has {now!r}",
                "choose another --out",
            )
            for key, was, now in found
        )
    measured = settled(config.model, stored.model)
    return config.model_copy(
        update={"threads": stored.threads, "samples": stored.samples, "model": measured}
    )


def _harmless(key: str, before: Any, after: Any) -> bool:
    if key == "generations":
        return bool(after > before)
    return key in HARMLESS or after == AUTO or (key, after) == ("samples", None)
