"""`mixture`: named shares of real data, of synthetic data of one's own, and of the last samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from imglab.errors import Problem, nearest
from imglab.regimes.parts import Part, join, some
from imglab.regimes.registry import PoolSizes, RunSizes, register

if TYPE_CHECKING:
    from imglab.samples import Selection

REAL = "real"
LAST = "last"
"""What shares call the real training set, and the samples of the last generation."""

ROUNDING = 1e-6
"""By how much shares may miss 1."""


def _are_a_whole(shares: dict[str, float]) -> dict[str, float]:
    total = sum(shares.values())
    if abs(total - 1) > ROUNDING:
        raise ValueError(f"the shares add up to {total:g}, expected 1")
    if set(shares) == {LAST}:
        raise ValueError("generation 0 has no last generation: name `real` or a label, too")
    return shares


Shares = Annotated[
    dict[str, Annotated[float, Field(ge=0, le=1)]],
    AfterValidator(_are_a_whole),
    Field(
        description="Share of each training set by where it comes from: `real`, the label of a set "
        "in modality.synthetic, and `last`, the samples of the last generation. In generation 0, "
        "which has none before it, the labels take that of `last`; `real` does where no label is "
        "named."
    ),
]
Size = Annotated[
    Annotated[int, Field(ge=1, le=10**12)] | None,
    Field(description="Samples of each training set; default: as many as the real one has."),
]
Choice = Annotated[
    Literal["fixed", "resampled"],
    Field(
        description="Whether all generations take the same samples of the real data and of the "
        "labelled sets (`fixed`), or others each time (`resampled`)."
    ),
]


def mixture(
    sizes: Sequence[int],
    *,
    generation: int,
    seed: int,
    shares: Shares,
    size: Size = None,
    choice: Choice = "fixed",
) -> Selection:
    """Train on named shares of real data, of synthetic data of one's own, and of the last samples.

    Every training set has the same size, that of generation 0 too, so that chains of different
    shares compare. The loops of Alemohammad et al. 2023 (MAD) and of Bertrand et al. 2024 (their
    lambda is the ratio of synthetic to real data) are the shares of `real` and `last`; shares of a
    label ask what given data do.

    >>> sizes = PoolSizes((4,), {"web": 10})
    >>> mixture(sizes, generation=0, seed=0, shares={"real": 0.5, "web": 0.5}).entry.tolist()
    [0, 0, -2, -2]
    """
    entries = _entries(sizes, generation)
    unknown = [name for name in shares if name not in (*entries, LAST)]
    if unknown:
        raise ValueError(f"there is no set {unknown[0]!r}")

    parts: list[Part] = []
    for name, count in share_sizes(shares, size or sizes[0], generation).items():
        names: list[int | str] = [seed, "mixture", name]
        if choice == "resampled" or name == LAST:
            names.append(generation)
        parts.append(_some_of(sizes, entries[name], count, *names))
    return join(*parts)


def _entries(sizes: Sequence[int], generation: int) -> dict[str, int]:
    """Return the number of each entry of the pool by the name that shares give it."""
    from imglab.samples import GIVEN

    entries = {REAL: 0}
    if generation:
        entries[LAST] = generation
    if isinstance(sizes, PoolSizes):
        entries |= {label: GIVEN - number for number, label in enumerate(sizes.sets)}
    return entries


def _some_of(sizes: Sequence[int], entry: int, count: int, *names: int | str) -> Part:
    """Return `count` rows of an entry, of those below 0 too."""
    if entry >= 0:
        return some(sizes, entry, count, *names)

    from imglab.samples import GIVEN

    assert isinstance(sizes, PoolSizes)
    _, rows = some(list(sizes.sets.values()), GIVEN - entry, count, *names)
    return entry, rows


def share_sizes(shares: Mapping[str, float], total: int, generation: int) -> dict[str, int]:
    """Divide `total` samples by the shares; what rounding leaves goes to the largest remainders.

    >>> share_sizes({"real": 1 / 3, "web": 2 / 3}, 10, 0)
    {'real': 3, 'web': 7}
    >>> share_sizes({"real": 0.2, "web": 0.2, "books": 0.1, "last": 0.5}, 10, 0)
    {'real': 2, 'web': 5, 'books': 3}
    >>> share_sizes({"real": 0.2, "web": 0, "last": 0.8}, 10, 0)
    {'real': 2, 'web': 8}
    """
    present = dict(shares)
    if generation == 0:
        present = _without_last(shares)
    whole = sum(present.values())  # 1, but for rounding
    exact = {name: total * share / whole for name, share in present.items()}

    counts = {name: int(amount + ROUNDING) for name, amount in exact.items()}
    order = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in order[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _without_last(shares: Mapping[str, float]) -> dict[str, float]:
    """Return the shares of generation 0, where the labels take that of `last` in proportion."""
    present = {name: share for name, share in shares.items() if name != LAST}
    heirs = [name for name in present if name != REAL] or [REAL]
    weights = {name: present[name] for name in heirs}
    if not any(weights.values()):
        weights = dict.fromkeys(heirs, 1.0)

    whole = sum(weights.values())
    for name, weight in weights.items():
        present[name] += shares.get(LAST, 0) * weight / whole
    return present


def _needs(
    run: RunSizes, *, shares: Mapping[str, float], size: int | None, choice: str
) -> Iterator[Problem]:
    available = {REAL: run.real, **run.sets, LAST: run.left}
    generations = range(min(run.generations, 2))  # all later ones ask for what generation 1 does
    for name in shares:
        if name not in available:
            what = f"there is no set {name!r}: modality.synthetic gives the labels"
            yield Problem(f"regime.shares.{name}", what, nearest(name, available))
            continue

        counts = [share_sizes(shares, size or run.real, g).get(name, 0) for g in generations]
        if max(counts, default=0) > available[name]:
            what = f"asks for {max(counts)} samples, there are {available[name]}"
            remedy = "lower the share or regime.size"
            if name == LAST:
                remedy += f", or raise samples to {max(counts)}"
            yield Problem(f"regime.shares.{name}", what, remedy)


def _begins_with_real(*, shares: Mapping[str, float], size: int | None, choice: str) -> bool:
    return False


register(mixture, needs=_needs, begins_with_real=_begins_with_real)
