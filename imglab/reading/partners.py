"""Files that belong together by their names: images/a.png, and what captions/a.txt says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path


def partners(
    root: Path, files: Sequence[Path], others: Iterable[Path]
) -> dict[str, dict[Path, Path]]:
    """Return which of the others belongs to each file, by the folder that sets them apart.

    They have one name, and lie in folders that are alike but for one of each: `captions/x/a.txt`
    belongs to `images/x/a.png` and `x/a.png`. A name that fits several is passed over, and so is
    what lies in a folder with files.

    >>> a, b = Path("d/images/a.png"), Path("d/captions/a.txt")
    >>> partners(Path("d"), [a], [b]) == {"captions": {a: b}}
    True
    """
    folders = {path.parent for path in files}
    index: dict[tuple[str, ...], list[tuple[str, Path]]] = {}
    for path in others:
        if path.parent not in folders:
            for name, key in _keys(path.relative_to(root)):
                index.setdefault(key, []).append((name, path))

    families: dict[str, dict[Path, list[Path]]] = {}
    if index:
        for file in files:
            keys = [key for _, key in _keys(file.relative_to(root))]
            for name, other in {pair for key in keys for pair in index.get(key, [])}:
                families.setdefault(name, {}).setdefault(file, []).append(other)
    return {name: _one_to_one(families[name]) for name in sorted(families)}


def _keys(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the parts of a path without its suffix, whole and without one of its folders.

    Each with the name of that folder, "" for the whole.
    """
    folders = path.parent.parts
    yield "", (*folders, path.stem)
    for number, name in enumerate(folders):
        yield name, (*folders[:number], *folders[number + 1 :], path.stem)


def _one_to_one(pairs: dict[Path, list[Path]]) -> dict[Path, Path]:
    """Return the pairs of which each side has one."""
    times: dict[Path, int] = {}
    for others in pairs.values():
        for other in set(others):
            times[other] = times.get(other, 0) + 1
    return {
        file: others[0]
        for file, others in pairs.items()
        if len(set(others)) == 1 and times[others[0]] == 1
    }
