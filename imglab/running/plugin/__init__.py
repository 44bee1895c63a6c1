"""`imglab new --plugin`: a package of one's own, with tests."""

from __future__ import annotations

import importlib.util
import keyword
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from imglab.errors import InputError, Problem
from imglab.store import files

TEMPLATES = Path(__file__).parent / "templates"
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "example.yaml": "example.yaml",
    "module.py": "{name}.py",
    "test_module.py": "tests/test_{name}.py",
}
"""Where each template goes."""


def write_plugin(name: str, folder: Path) -> list[Path]:
    """Write a package of this name into the new folder; return its files.

    It holds a kind of data, a model and a regime that work, with entry points under which configs
    name them, an example and tests. Raises InputError for a name that no module can have, or that
    one has already, and for a folder that exists.
    """
    _check(name, folder)
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    keys = {"name": name, "title": name.replace("_", " ").title().replace(" ", "")}

    def write(new: Path) -> None:
        for template, place in FILES.items():
            path = new / place.format(name=name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(templates.get_template(f"{template}.j2").render(keys))

    files.make_folder(folder.parent)
    files.write_atomically(folder, write)
    return [folder / place.format(name=name) for place in FILES.values()]


def _check(name: str, folder: Path) -> None:
    where = "--plugin"
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        what = f"{name!r} cannot be the name of a module"
        raise InputError(Problem(where, what, "use small letters, digits and _, e.g. my_data"))
    if importlib.util.find_spec(name) is not None:
        what = f"there is a module {name!r} already"
        raise InputError(Problem(where, what, "choose another name"))
    if folder.exists():
        raise InputError(Problem(str(folder), "exists", "choose another --out, or another name"))
