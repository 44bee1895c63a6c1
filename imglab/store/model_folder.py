"""The `model/` folder of a generation: which class opens it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imglab.config.kinds import MODELS, installed, resolve
from imglab.errors import InputError, Problem, nearest
from imglab.store.files import read_json

CLASS = "class.json"
"""Names the class that saved a model, beside its files, where that is of another package."""


_imported: dict[str, Any] = {}
"""Model classes of other packages that this process has been told of: a folder alone never has one imported."""


def save_model(model: Any, path: Path) -> None:
    """Let a fitted model write the folder `path`, and note its class where that does not ship."""
    model.save(path)
    if not type(model).__module__.startswith("imglab."):
        (path / CLASS).write_text(json.dumps({"class": _class_name(type(model))}) + "\n")


def know_model(model: Any) -> None:
    """Let `load_model` open what models of this one's class saved."""
    _imported[_class_name(type(model))] = type(model)


def is_known_model(path: Path) -> bool:
    """Say whether `load_model` opens this `model/` folder."""
    if (path / CLASS).is_file():
        return True
    return (path / "imglab.json").is_file() and _kind_of_folder(path)[1] is not None


def _class_name(found: type) -> str:
    return f"{found.__module__}:{found.__qualname__}"


def _kind_of_folder(path: Path) -> tuple[Any, str | None]:
    kind = read_json(path / "imglab.json", ("kind",))["kind"]
    if not isinstance(kind, str):
        raise InputError(
            Problem(str(path / "imglab.json"), f"names no kind: {kind!r}", "the file is damaged")
        )
    return kind, MODELS[kind].target if kind in MODELS else installed("imglab.models").get(kind)


def load_model(path: Path | str) -> Any:
    """Open a `model/` folder of a run: the fitted `GenerativeModel`, ready to `sample`.

    The folder's `imglab.json` says which kind it is; only kinds that ship or are installed are opened, and those of
    classes that a config has named in this process.
    """
    from imglab.model import naming_damage

    if (Path(path) / CLASS).is_file():
        name = read_json(Path(path) / CLASS, ("class",))["class"]
        if not isinstance(name, str) or name not in _imported:
            what, remedy = (
                f"was saved by {name!r}, which nothing here has named",
                "give the run's own config",
            )
            raise InputError(Problem(str(path), what, remedy))
        with naming_damage(Path(path)):
            return _imported[name].load(Path(path))
    described = Path(path) / "imglab.json"
    if not described.is_file():
        raise InputError(
            Problem(
                str(path), "is no model/ folder: it has no imglab.json", "give generation_NNN/model"
            )
        )
    kind, target = _kind_of_folder(Path(path))
    if target is None:
        raise InputError(
            Problem(
                str(described), f"the kind {kind!r} is not known here", nearest(str(kind), MODELS)
            )
        )
    with naming_damage(Path(path)):
        return resolve(target).load(Path(path))
