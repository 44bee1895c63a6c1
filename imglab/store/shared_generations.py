"""The generations that a fork takes from its parent. No torch."""

from __future__ import annotations

from pathlib import Path

from imglab.store import copies, files, hashes, layout, reading
from imglab.store.linked_copies import link_alike, other_models
from imglab.store.pruned import read_pruned, write_pruned


def copy_generations(folder: Path, parent: Path, g: int) -> None:
    """Copy the generations up to g, each file compared with the hash that its manifest records."""
    # A repair may have set shared/ aside.
    if (parent / "shared").is_dir():
        hashes.copy(parent / "shared", folder / "shared")

    for past in range(g + 1):
        source = layout.generation_folder(parent, past)
        target = folder / source.name
        copies.copy_visible(source, target)
        link_alike(target / "model", other_models(target / "model"))
        shas = {name: files.sha256_file(target / name) for name in hashes.names(target)}
        hashes.check_copies(source, shas, reading.read_manifest(folder, past)["files"])

    pruned = read_pruned(parent).up_to(g)
    if pruned.removed:
        write_pruned(folder, pruned)
    copies.copy_file(parent / "environment.json", folder / "environment.json")
    if (parent / layout.FORK).exists():
        copies.copy_file(parent / layout.FORK, folder / layout.FORK_PARENT)
