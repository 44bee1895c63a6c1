"""What a regime is, and what can be asked of one before it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from imglab.errors import Problem
from imglab.regimes.composition import Composition

if TYPE_CHECKING:
    from imglab.samples import Selection

CALL = ("sizes", "generation", "seed")
"""What every regime is called with; its other parameters are its keys in a config."""


@dataclass(frozen=True)
class PoolSizes(Sequence[int]):
    """The sizes of a pool's entries, as a sequence, and of what the user gave beside it.

    entries  the size of the real training set, then what each generation left
    sets     how many samples each set of the user's own synthetic data has, by its label, in order
    """

    entries: tuple[int, ...]
    sets: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: Any) -> Any:
        return self.entries[number]


class Regime(Protocol):
    """Chooses which samples make a training set."""

    def __call__(self, sizes: Sequence[int], *, generation: int, seed: int) -> Selection:
        """Choose the training set of `generation`; `seed` is the same in every generation."""
        ...


@dataclass(frozen=True)
class RunSizes:
    """What is known of a run before it starts.

    real         size of the real training set
    left         how many samples each generation leaves in the pool
    generations  how many generations the run has
    available    how many fresh real samples are set aside; None if there is no end of them
    sets         how many samples each set of the user's own synthetic data has, by its label
    """

    real: int
    left: int
    generations: int
    available: int | None
    sets: Mapping[str, int] = field(default_factory=dict)

    @property
    def later(self) -> range:
        """The generations that a regime chooses for: all but generation 0."""
        return range(1, self.generations)

    def fresh_problems(self, key: str, asked: int, remedy: str = "") -> Iterator[Problem]:
        """Yield a problem if generations together ask for more fresh samples than are set aside.

        key     the regime's key that asks for them
        remedy  what to do instead of setting more aside
        """
        if self.available is None or asked <= self.available:
            return

        what = f"asks for {asked} fresh real samples in all, but {self.available} are set aside"
        remedies = ["raise modality.n_fresh"]
        if remedy:
            remedies.append(remedy)
        yield Problem(f"regime.{key}", what, ", or ".join(remedies))


Function: TypeAlias = Callable[..., "Selection"]
Needs: TypeAlias = Callable[..., Iterable[Problem] | None]
Fresh: TypeAlias = Callable[..., int]
Compose: TypeAlias = Callable[..., Composition | None]
Begin: TypeAlias = Callable[..., bool]

REGIMES: dict[str, Function] = {}
"""The regimes that ship, by name."""


def register(
    function: Function,
    *,
    needs: Needs | None = None,
    fresh: Fresh | None = None,
    composition: Compose | None = None,
    begins_with_real: Begin | None = None,
) -> None:
    """Offer a regime under its function's name, with what can be asked of it before a run.

    The answers become attributes of the function. Another package's regime, which a config names as
    `module:function` or by an entry point, is asked in the same way: it sets these attributes on
    its function, and may leave out any of them.

    needs        (run: RunSizes, **keys) -> problems; see `BoundRegime.needs`
    fresh        (left, *, generation, **keys) -> a number; see `BoundRegime.fresh`
    composition  (n, **keys) -> a Composition, or None; see `BoundRegime.composition`
    begins_with_real  (**keys) -> whether generation 0 is trained on the real training set
    """
    answers = {"needs": needs, "fresh": fresh, "composition": composition}
    for name, answer in {**answers, "begins_with_real": begins_with_real}.items():
        setattr(function, name, answer)
    REGIMES[function.__name__] = function


@dataclass(frozen=True)
class BoundRegime:
    """A regime with the values of its keys: a `Regime` that also answers questions before a run."""

    function: Function
    keys: Mapping[str, Any]

    def __call__(self, sizes: Sequence[int], *, generation: int, seed: int) -> Selection:
        """Choose the training set of `generation`."""
        return self.function(sizes, generation=generation, seed=seed, **self.keys)

    def needs(self, run: RunSizes) -> Iterator[Problem]:
        """Yield a problem for everything that the regime asks for and the run will not have."""
        needs: Needs | None = self._attribute("needs")
        if needs is not None:
            yield from needs(run, **self.keys) or ()

    def fresh(self, left: int, *, generation: int) -> int:
        """Return how many fresh real samples `generation` takes if each before it leaves `left`."""
        fresh: Fresh | None = self._attribute("fresh")
        if fresh is None:
            return 0
        return fresh(left, generation=generation, **self.keys)

    def composition(self, n: int) -> Composition | None:
        """Return what training sets consist of if every generation leaves n samples.

        The real training set has n samples, too. None: no closed form is known.
        """
        composition: Compose | None = self._attribute("composition")
        if composition is None:
            return None
        return composition(n, **self.keys)

    def begins_with_real(self) -> bool:
        """Say whether generation 0 is trained on the whole real training set, and nothing else.

        Chains whose regimes begin so have generation 0 in common.
        """
        begins: Begin | None = self._attribute("begins_with_real")
        return begins is None or begins(**self.keys)

    def _attribute(self, name: str) -> Any:
        """Return what the function says of itself; another package's function may say nothing."""
        return getattr(self.function, name, None)
