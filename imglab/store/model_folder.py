"""The `model/` folder of a generation: which class saved it, and so which class opens it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imglab.config.kinds import MODELS, installed, resolve
from imglab.errors import InputError, Problem, nearest
from imglab.store.files import DAMAGED, read_json

CLASS = "class.json"
"""Names the class that saved a model, beside the model's files, if it is another package's."""

_imported: dict[str, Any] = {}
"""Model classes of other packages that a config has named in this process.

A folder alone never causes an import.
"""


def save_model(model: Any, path: Path) -> None:
    """Let a fitted model write the folder `path`; name its class there if it does not ship."""
    model.save(path)
    if not type(model).__module__.startswith("imglab."):
        (path / CLASS).write_text(json.dumps({"class": _class_name(type(model))}) + "\n")


def know_model(model: Any) -> None:
    """Let `load_model` open what models of this class saved."""
    _imported[_class_name(type(model))] = type(model)


def is_known_model(path: Path) -> bool:
    """Say whether `load_model` opens this `model/` folder."""
    if (path / CLASS).is_file():
        return True
    return (path / "imglab.json").is_file() and _target(_kind_of_folder(path)) is not None


def load_model(path: Path | str) -> Any:
    """Open a `model/` folder of a run: return the fitted `GenerativeModel`, ready to `sample`.

    The folder's `imglab.json` names its kind. Only kinds that ship or are installed are opened, and
    those of classes that a config has named in this process.
    """
    from imglab.model import naming_damage

    folder = Path(path)
    if (folder / CLASS).is_file():
        model_class = _imported_class(folder)
        with naming_damage(folder):
            return model_class.load(folder)

    description = folder / "imglab.json"
    if not description.is_file():
        what = "is not a model/ folder: it has no imglab.json"
        raise InputError(Problem(str(folder), what, "give generation_NNN/model"))

    kind = _kind_of_folder(folder)
    target = _target(kind)
    if target is None:
        what = f"the kind {kind!r} is not known here"
        raise InputError(Problem(str(description), what, nearest(kind, MODELS)))

    model_class = resolve(target)
    with naming_damage(folder):
        return model_class.load(folder)


def _class_name(model_class: type) -> str:
    return f"{model_class.__module__}:{model_class.__qualname__}"


def _imported_class(folder: Path) -> Any:
    name = read_json(folder / CLASS, ("class",))["class"]
    if not isinstance(name, str) or name not in _imported:
        what = f"was saved by {name!r}, which no config in this process has named"
        raise InputError(Problem(str(folder), what, "give the run's own config"))
    return _imported[name]


def _kind_of_folder(folder: Path) -> str:
    description = folder / "imglab.json"
    kind = read_json(description, ("kind",))["kind"]
    if not isinstance(kind, str):
        raise InputError(Problem(str(description), f"names no kind: {kind!r}", DAMAGED))
    return kind


def _target(kind: str) -> str | None:
    """Return the `module:Class` of a kind; None if it neither ships nor is installed."""
    if kind in MODELS:
        return MODELS[kind].target
    return installed("imglab.models").get(kind)
