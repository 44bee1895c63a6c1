"""Print the reference of config keys as Markdown; --write: put it into docs/keys.md.

python scripts/config_docs.py --write
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from imglab.config.reference import Key, all_keys

PAGE = Path(__file__).resolve().parent.parent / "docs" / "keys.md"
HEAD = """# Every key of a config

Made from the sections themselves by `python scripts/config_docs.py --write`. `imglab explain KEY`
prints an entry, and `imglab explain --json-schema > imglab.schema.json` the schema for editors,
which a config names in its first line:

    # yaml-language-server: $schema=imglab.schema.json

A section of several kinds may be named by its kind alone: `regime: replace`.
"""
INNER = "model.models."
"""Keys of the models of a population are those of `model`."""


def config_docs() -> str:
    """Return the page: a table for each kind of section, with all keys that stand in it."""
    sections: dict[tuple[str, tuple[str, ...]], list[Key]] = {}
    for key in all_keys():
        if not key.path.startswith(INNER):
            sections.setdefault(_place(key), []).append(key)
    return HEAD + "".join(_section(place, keys) for place, keys in sections.items())


def _place(key: Key) -> tuple[str, tuple[str, ...]]:
    return key.path.rpartition(".")[0], key.kinds


def _section(place: tuple[str, tuple[str, ...]], keys: list[Key]) -> str:
    path, kinds = place
    title = path or "A chain"
    if kinds:
        title += f" ({', '.join(kinds)})"
    rows = "".join(_rows(keys))
    return f"\n## {title}\n\n| key | values | default | |\n|---|---|---|---|\n{rows}"


def _rows(keys: list[Key]) -> Iterator[str]:
    for key in keys:
        cells = (
            f"`{key.path.rpartition('.')[2]}`",
            key.values,
            f"`{key.default}`" if key.default else "required",
            key.description,
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(config_docs())
    else:
        print(config_docs(), end="")
