"""The configs that the lab ships, by name: `imglab run digits` works in any folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imglab.config.yaml import read_yaml
from imglab.errors import InputError, Problem, nearest

FOLDER = Path(__file__).resolve().parent.parent / "presets"
"""The folder `configs` of the repository, under the name that it has in the installed package."""

REPOSITORY_FOLDER = "configs"
KINDS = ("image_", "text_")
"""How the name of a file may begin that a preset's short name leaves out."""


def read_config(path: Path) -> Any:
    """Read a config file, or the preset that `path` names; return its YAML as plain values.

    A file that exists comes first. Otherwise `digits`, `image_digits` and
    `configs/image_digits.yaml`, its place in the repository, all name the preset `digits`.

    Raises InputError if there is neither, with the nearest name.
    """
    return read_yaml(find_config(path))


def find_config(path: Path) -> Path:
    """Return `path` where there is such a file, otherwise the file of the preset that it names."""
    try:
        if path.is_file():
            return path
    except (OSError, ValueError):  # of a name that no file can have: reading it explains why
        return path

    # A bare `gaussian.yaml` that is not there was meant to be a file of one's own.
    if not path.suffix or path.parts[:1] == (REPOSITORY_FOLDER,):
        file = _presets_by_name().get(_preset_name(path))
        if file is not None:
            return file
    if _looks_like_name(path):
        what = "there is neither such a file nor a preset of this name"
        remedy = nearest(_without_kind(_preset_name(path)), list_presets())
        raise InputError(Problem(str(path), what, remedy))
    return path


def list_presets() -> dict[str, Path]:
    """Return the file of each preset by its short name, in alphabetical order."""
    files = sorted(FOLDER.rglob("*.yaml"))
    return dict(sorted((_short_names(files)[file], file) for file in files))


def question_of(preset: Path) -> str:
    """Return the question that a preset's first line says it asks."""
    with preset.open(encoding="utf-8") as file:
        return file.readline().removeprefix("# Question").strip()


def _looks_like_name(path: Path) -> bool:
    """Say whether a path that is no file was meant to name a preset."""
    if path.exists():
        return False
    if path.parts[:1] == (REPOSITORY_FOLDER,):
        return not path.parent.exists()
    return len(path.parts) == 1 and not path.suffix


def _preset_name(path: Path) -> str:
    """Return the name of the preset that a path stands for, if it stands for one."""
    parts = path.parts
    if parts[:1] == (REPOSITORY_FOLDER,):
        parts = parts[1:]
    return "/".join(parts).removesuffix(".yaml")


def _presets_by_name() -> dict[str, Path]:
    """Return the files of all presets by every name that they have, the long ones first."""
    files = sorted(FOLDER.rglob("*.yaml"))
    names = {_long_name(file): file for file in files}
    for file, name in _short_names(files).items():
        names.setdefault(name, file)
    return names


def _long_name(file: Path) -> str:
    return file.relative_to(FOLDER).with_suffix("").as_posix()


def _short_names(files: list[Path]) -> dict[Path, str]:
    """Return each file's name without the kind of data, where no other file has the same."""
    long_names = {file: _long_name(file) for file in files}
    short_names = {file: _without_kind(name) for file, name in long_names.items()}

    taken = [*short_names.values(), *long_names.values()]
    for file, name in short_names.items():
        others = taken.count(name) - 1 - (name == long_names[file])
        if others:
            short_names[file] = long_names[file]
    return short_names


def _without_kind(name: str) -> str:
    for kind in KINDS:
        if name.startswith(kind):
            return name.removeprefix(kind)
    return name


def preset_names(incomplete: str) -> Iterator[str]:
    """Yield the presets and the config files at hand whose names begin like this, for a shell."""
    yield from (name for name in list_presets() if name.startswith(incomplete))
    for path in sorted(Path().glob(f"{incomplete}*")):
        if path.is_dir():
            yield f"{path}/"
        elif path.suffix in (".yaml", ".yml"):
            yield str(path)
