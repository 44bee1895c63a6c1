"""What was removed from the generations of a run, by the policy `keep`; and the removal. No torch.

pruned.json names it, so that a run without these files is whole all the same: its manifests keep
the hashes, and a file that is put back must match them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from imglab.errors import InputError, Problem
from imglab.store import files, layout
from imglab.store.linked_copies import bytes_freed

PRUNED = "pruned.json"

FILES = {
    "models": ("model",),
    "samples": ("samples.safetensors", "evaluation.safetensors"),
    "features": ("features.safetensors",),
}
"""Files and folders of a generation that may be removed, by what a policy calls them."""

Keep = Literal["all", "last"] | int


@dataclass(frozen=True)
class Pruned:
    """What is not in a run any more.

    removed  what was removed of a generation (`FILES`), by its number
    sizes    how many samples a generation left in the pool, where they were removed
    """

    removed: Mapping[int, frozenset[str]] = field(default_factory=dict)
    sizes: Mapping[int, int] = field(default_factory=dict)

    def has_removed(self, g: int, name: str) -> bool:
        """Say whether a file or folder of generation g was removed."""
        top = name.partition("/")[0]
        return any(top in FILES[what] for what in self.removed.get(g, ()))

    def line(self) -> str:
        """Say what was removed; "" if nothing was."""
        parts = []
        for what in FILES:
            numbers = sorted(g for g, removed in self.removed.items() if what in removed)
            if numbers:
                parts.append(f"{what} of {_ranges(numbers)}")
        return ", ".join(parts)

    def up_to(self, g: int) -> Pruned:
        """Return what was removed of the generations up to g."""
        removed = {past: what for past, what in self.removed.items() if past <= g}
        return Pruned(removed, {past: size for past, size in self.sizes.items() if past <= g})


def read_pruned(run: Path) -> Pruned:
    """Return what was removed from a run; InputError if pruned.json is damaged."""
    path = run / PRUNED
    if not path.is_file():
        return Pruned()

    tree = files.read_signed(path, ("removed", "sizes"))
    try:
        removed = {int(g): frozenset(what) for g, what in tree["removed"].items()}
        sizes = {int(g): int(size) for g, size in tree["sizes"].items()}
        if not all(what <= set(FILES) for what in removed.values()):
            raise ValueError("names other files")
    except (AttributeError, TypeError, ValueError) as error:
        what = f"is not as it was written: {error}"
        raise InputError(Problem(str(path), what, files.DAMAGED)) from error
    return Pruned(removed, sizes)


def write_pruned(run: Path, pruned: Pruned) -> None:
    """Write down what was removed from a run."""
    removed = {str(g): sorted(what) for g, what in sorted(pruned.removed.items())}
    sizes = {str(g): size for g, size in sorted(pruned.sizes.items())}
    files.write_signed(run / PRUNED, {"removed": removed, "sizes": sizes})


def check_present(run: Path, g: int, name: str) -> None:
    """Raise InputError where something of generation g is asked for that was removed."""
    if (layout.generation_folder(run, g) / name).exists():
        return
    if read_pruned(run).has_removed(g, name):
        what = f"generation {g} has no {name} any more: it was removed to save space"
        remedy = "ask for a generation that has it, or set `keep` in another run"
        raise InputError(Problem(str(run), what, remedy))


def is_kept(keep: Keep, g: int, last: int) -> bool:
    """Say whether a policy keeps something of generation g, where `last` is the last one.

    Every n-th generation means 0, n, 2n and so on, and the last one.
    """
    if keep == "all" or g == last:
        return True
    return keep != "last" and g % keep == 0


def removable(
    run: Path, keep: Mapping[str, Keep], *, last: int, turns: int = 1
) -> dict[int, frozenset[str]]:
    """Return what a policy removes of the generations up to `last`, by generation.

    A chain goes on from the models of the last `turns` generations, and asks for those of the first
    ones, the model of generation 0 above all: they stay.

    keep   by what a policy calls it (`FILES`); what is not named stays
    turns  how many models take turns
    """
    removed: dict[int, frozenset[str]] = {}
    for g in range(last + 1):
        folder = layout.generation_folder(run, g)
        chosen = {
            what
            for what, policy in keep.items()
            if not is_kept(policy, g, last)
            and any((folder / name).exists() for name in FILES[what])
        }
        if g < turns or g > last - turns:
            chosen.discard("models")
        if chosen:
            removed[g] = frozenset(chosen)
    return removed


def size_of(run: Path, removed: Mapping[int, Iterable[str]]) -> int:
    """Return the bytes that a removal would free."""
    inner: list[Path] = []
    for path in _paths(run, removed):
        if path.is_dir():
            inner += (each for each in path.rglob("*") if each.is_file())
        else:
            inner.append(path)
    return bytes_freed(inner)


def remove(
    run: Path, removed: Mapping[int, frozenset[str]], sizes: Mapping[int, int] | None = None
) -> None:
    """Remove files of generations, once it is written down that they were removed.

    sizes  how many samples the generations left in the pool
    """
    if not removed:
        return
    before = read_pruned(run)
    numbers = {*before.removed, *removed}
    joined = {g: before.removed.get(g, frozenset()) | removed.get(g, frozenset()) for g in numbers}
    write_pruned(run, Pruned(joined, {**before.sizes, **(sizes or {})}))
    for path in list(_paths(run, removed)):
        files.remove(path)


def _paths(run: Path, removed: Mapping[int, Iterable[str]]) -> Iterator[Path]:
    for g, chosen in removed.items():
        folder = layout.generation_folder(run, g)
        for what in chosen:
            yield from (folder / name for name in FILES[what] if (folder / name).exists())


def _ranges(numbers: list[int]) -> str:
    """Write numbers with runs of them drawn together.

    >>> _ranges([1, 2, 3, 5])
    '1 to 3, 5'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(
        str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts
    )


def policy_of(section: Any) -> dict[str, Keep]:
    """Return the policy of a config's section `keep`, by what it calls things."""
    return {what: getattr(section, what) for what in FILES}
