"""How a config and the run directory that it continues fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imglab.config.merge import differences
from imglab.config.schema import RunConfig
from imglab.config.section import AUTO
from imglab.errors import InputError, Problem
from imglab.images.extractor_settings import ClassifierSettings
from imglab.modality import Modality
from imglab.running.autotune import layout_by_rule, settled, with_layout
from imglab.running.environment import resolved_threads
from imglab.store.layout import count_finished
from imglab.store.reading import read_generation
from imglab.store.sealed_config import HARMLESS, is_move, read_sealed
from imglab.text.settings import PretrainedTokenizerSettings

RUNS = Path("runs")


def check_folder(folder: Path, mark: str, otherwise: str) -> None:
    """Raise InputError unless `folder` is free, or holds the file `mark`.

    otherwise  says in the message what a folder with other files is not
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(Problem(str(folder), "is a file, not a directory", "choose another --out"))
    if not folder.is_dir() or (folder / mark).is_file():
        return

    if any(not path.name.startswith(".") for path in folder.iterdir()):
        what = f"is not empty and {otherwise}"
        raise InputError(Problem(str(folder), what, "choose another --out"))


def resolve(config: RunConfig, folder: Path, where: str) -> RunConfig:
    """Fix what a config leaves open (`auto`), as the run in `folder` did if there is one.

    Raises InputError unless `folder` is free or holds this very run.
    """
    path = folder / "config.yaml"
    check_folder(folder, path.name, "not a run directory")
    if not path.exists():
        model = with_layout(config.model, None, layout_by_rule)
        return config.model_copy(update={"threads": resolved_threads(config), "model": model})

    stored = read_sealed(path)
    config = with_former_defaults(config, stored)
    model = with_layout(config.model, stored.model, layout_by_rule)
    config = config.model_copy(update={"model": model})
    changes = differences(stored.model_dump(mode="json"), config.model_dump(mode="json"))

    problems = [
        Problem(
            f"{folder}: {key}",
            f"the run there has {before!r}, {where} has {after!r}",
            "choose another --out",
        )
        for key, before, after in changes
        if not _harmless(key, before, after)
    ]
    if problems:
        raise InputError(problems)

    fixed = {
        "threads": stored.threads,
        "samples": stored.samples,
        "model": settled(config.model, stored.model),
    }
    return config.model_copy(update=fixed)


def with_former_defaults(config: RunConfig, stored: RunConfig) -> RunConfig:
    """Take from a stored config what it began with, where the config at hand leaves it open.

    Defaults have changed since: the number of splits behind a floor, the extractor of text, the
    network of the classifier of images, and the tokens that begin a document.
    """
    if "floor_splits" not in config.measure.model_fields_set:
        former = {"floor_splits": stored.measure.floor_splits}
        config = config.model_copy(update={"measure": config.measure.model_copy(update=former)})

    if type(config.modality) is not type(stored.modality):
        return config
    former = {**_former_extractor(config, stored), **_former_tokenizer(config, stored)}
    return config.model_copy(update={"modality": config.modality.model_copy(update=former)})


def _former_extractor(config: RunConfig, stored: RunConfig) -> dict[str, Any]:
    before = getattr(stored.modality, "extractor", None)
    if before is None:
        return {}

    section: Any = getattr(config.modality, "extractor", None)
    if "extractor" not in config.modality.model_fields_set:
        section = before
    elif isinstance(section, ClassifierSettings) and isinstance(before, ClassifierSettings):
        left_open = {"network", "images"} - section.model_fields_set
        of_classifier = {key: getattr(before, key) for key in left_open}
        section = section.model_copy(update=of_classifier)
    return {"extractor": section}


def _former_tokenizer(config: RunConfig, stored: RunConfig) -> dict[str, Any]:
    section = getattr(config.modality, "tokenizer", None)
    before = getattr(stored.modality, "tokenizer", None)
    if not isinstance(section, PretrainedTokenizerSettings) or not isinstance(
        before, PretrainedTokenizerSettings
    ):
        return {}
    if "begin_tokens" in section.model_fields_set:
        return {}
    former = {"begin_tokens": before.begin_tokens}
    return {"tokenizer": section.model_copy(update=former)}


def _harmless(key: str, before: Any, after: Any) -> bool:
    """Say whether a run may go on with this change of its config."""
    if key == "generations":
        return bool(after > before)

    if key == "samples" and after is None:
        return True
    return after == AUTO or key.partition(".")[0] in HARMLESS or is_move(key, before, after)


def check_extractor(folder: Path, config: RunConfig, modality: Modality) -> None:
    """Raise InputError where a pretrained extractor is not the one that the run was measured with.

    Its name holds a hash of its weights. Extractors that are trained lie in shared/.
    """
    section = getattr(config.modality, "extractor", None)
    pretrained = getattr(section, "name", None) or getattr(section, "weights", None)
    if not pretrained or not count_finished(folder):
        return

    recorded = read_generation(folder, 0)["extractor"]
    present = str(modality.extractor)
    if recorded != present:
        what = f"{pretrained!r} is {present}; the run there was measured with {recorded}"
        remedy = "name where that one lies now, or choose another --out"
        raise InputError(Problem(f"{folder}: modality.extractor", what, remedy))
