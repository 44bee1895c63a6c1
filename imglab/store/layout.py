"""Where everything in a run directory lies, and what it is called. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MANIFEST = "manifest.json"
"""Lists the files of a finished generation with their hashes; it is written last."""

HEAD = "head.json"
"""Says how many generations a run has finished; it is written after each manifest."""

CHAINS = "chains.json"
"""Names the chains of a side-by-side run, in its directory."""

SWEEP = "sweep.json"
"""Names the arms, seeds and contrasts of a sweep, in its directory."""

JUDGES = "judges.json"
"""What further extractors said of a finished run, in its directory."""

FORK = "fork.json"
"""Says where a fork comes from, in its directory."""

FORK_PARENT = "fork_parent.json"
"""The fork.json of the run that a fork comes from, if that run is itself a fork."""

ANNOTATIONS = "marks"
"""Folder in which people are asked about samples, with a folder for each generation."""

PREVIEW = "preview.png"
"""What the model of generation 0 draws in the middle of its fit; gone once that is finished."""

CACHE = ".cache"
"""Folder of a sweep in which its runs find what they have in common."""

MOST = 32_000
"""Generations that a run may have."""

FORMAT_VERSION = 4
"""Format of a new run directory, recorded in its environment.json. Format 4 has further metrics
and may have files `evaluation.safetensors` and `panel.json`; before format 3 the accepted rows were
a column of samples.safetensors."""

PANEL = (0, 1, 2, 5, 9)
"""Generations whose continuations of one opening stand together; the last one is added."""

FIRST_CALIBRATED = 4
"""The first format whose metrics.json has moments, shape, bounded recall and the gate."""

SINCE_FORMAT_4 = (
    "fid_mean",
    "fid_variance",
    "fid_rest",
    "variance_ratio",
    "fid_shape",
    "precision_shape",
    "recall_shape",
    "kid_standard",
    "precision_bounded",
    "recall_bounded",
    "precision_bounded_shape",
    "recall_bounded_shape",
    "precision_probabilistic",
    "recall_probabilistic",
    "recall_by_decile",
    "coverage_by_decile",
    "two_sample_auc",
    "memorization",
)
"""Metrics of every generation that runs of earlier formats do not have."""

KNOWN_FORMATS = (2, 3, FORMAT_VERSION)
"""Formats that this version reads and continues. A run, and every fork of it, keeps its format."""


def generation_folder(run: Path, g: int) -> Path:
    """Return the folder of generation g."""
    return run / f"generation_{g:03d}"


def finished(run: Path, g: int) -> bool:
    """Say whether generation g is complete: its manifest, written last, exists."""
    return (generation_folder(run, g) / MANIFEST).is_file()


def count_finished(run: Path, first: int = 0) -> int:
    """Return how many generations are finished up to the first gap; those before `first` are."""
    g = first
    while finished(run, g):
        g += 1
    return g


def generations_in(run: Path) -> list[int]:
    """Return the numbers of the generations that have a folder, finished or not, in order."""
    numbers = []
    for path in run.glob("generation_*"):
        digits = path.name.rpartition("_")[2]
        if not digits.isdecimal() or len(digits) > len(str(MOST)):
            continue

        # A folder such as generation_1 or generation_99999 does not belong to a run.
        g = int(digits)
        if g < MOST and path == generation_folder(run, g):
            numbers.append(g)
    return sorted(numbers)


def finished_ones(run: Path) -> list[int]:
    """Return the numbers of the finished generations in order, whether or not there are gaps."""
    return [g for g in generations_in(run) if finished(run, g)]


def cache_entries(sweep: Path) -> list[Path]:
    """Return the folders of a sweep's cache that hold what runs have in common."""
    return [
        path
        for kind in _folders_in(sweep / CACHE)
        for path in _folders_in(kind)
        if not (path / "shared").is_symlink()
    ]


def cached_choices(sweep: Path) -> list[Path]:
    """Return the files of a sweep's cache that hold what was measured for open keys."""
    kinds = _folders_in(sweep / CACHE)
    paths = [path for kind in kinds for path in sorted(kind.glob("choices-*.json"))]
    return [path for path in paths if not path.is_symlink()]


def _folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, if it is one itself: links are left out."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()]


def panel_generations(count: int) -> list[int]:
    """Return which of so many generations a panel shows: some of the first ones, and the last."""
    return [g for g in range(count) if g in PANEL or g == count - 1]


def spread_generations(generations: Sequence[int], most: int) -> list[int]:
    """Choose at most `most` generations, denser at the start, including the first and the last."""
    if len(generations) <= most:
        return list(generations)

    last = len(generations) - 1
    places = {round((last + 1) ** (at / (most - 1))) - 1 for at in range(most)}
    return [generations[place] for place in sorted(places | {0, last})]
