"""A population: several models, each trained on the whole pool, that draw their shares of the next one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imglab import seeds
from imglab.measures import Measures
from imglab.model import Ability, Choice, Density, GenerativeModel, Tunable
from imglab.progress import Progress, Stage
from imglab.samples import Samples, TrainingSet
from imglab.store import model_folder

BATCH = 1024
"""Samples drawn before the next member's turn."""


class Population(GenerativeModel):
    """Fits each member on all of the training set; sample i is drawn by a member that follows from i alone."""

    def __init__(self, models: Sequence[GenerativeModel], shares: Sequence[float]) -> None:
        """Make a population of `models` that draw these shares of the samples; they sum to 1."""
        self._models = tuple(models)
        self._shares = tuple(shares)

    @property
    def members(self) -> tuple[GenerativeModel, ...]:
        """The models, in the order of `Samples.source`."""
        return self._models

    def ability(self, wanted: type[Ability]) -> Ability | None:
        """Return itself, but no density unless all members have one."""
        if wanted is Density and any(member.ability(Density) is None for member in self._models):
            return None
        return super().ability(wanted)

    @property
    def conditional(self) -> bool:
        """Whether its members are: all or none."""
        return any(member.conditional for member in self._models)

    @property
    def training(self) -> Mapping[str, Any]:
        """Samples seen by all members together, and how each was fitted."""
        each = [dict(member.training) for member in self._models]
        return {
            "samples_seen": sum(found.get("samples_seen", 0) for found in each),
            "members": each,
        }

    @property
    def pretrained(self) -> GenerativeModel | None:
        """The members' pretrained weights, where all have some."""
        found = [member.pretrained for member in self._models]
        return (
            None
            if None in found
            else Population([one for one in found if one is not None], self._shares)
        )

    def check_start(self, start: GenerativeModel) -> Population:
        """Raise ValueError unless each member can start from that of `start`."""
        if not isinstance(start, Population) or len(start.members) != len(self._models):
            raise ValueError(f"a population of {len(self._models)} starts from one of as many")
        for ours, theirs in zip(self._models, start.members, strict=True):
            ours.check_start(theirs)
        return start

    def choices(self, train: TrainingSet, *, fits: int) -> Mapping[str, Choice]:
        """Measure each member's, as `models.<number>.<key>`."""
        choices: dict[str, Choice] = {}
        for number, member in enumerate(self._models):
            tunable = member.ability(Tunable)
            if tunable is None:
                continue
            for key, choice in tunable.choices(train, fits=fits).items():
                choices[f"models.{number}.{key}"] = choice
        return choices

    def fit(
        self,
        train: TrainingSet,
        *,
        start: GenerativeModel | None,
        seed: int,
        resume: dict[str, Tensor] | None = None,
    ) -> Stage[GenerativeModel]:
        """Fit one member after the other, each with a seed of its own."""
        starts = [None] * len(self._models) if start is None else self.check_start(start).members
        done: list[GenerativeModel] = []
        before = 0
        for at, (member, weights) in enumerate(zip(self._models, starts, strict=True)):
            # A checkpoint is that of the member that was being fitted; those before it are fitted again.
            own = _of_member(resume, at)
            fitting = member.fit(
                train, start=weights, seed=seeds.derive(seed, "member", at), resume=own
            )
            again = resume is not None and at < int(resume["member"])
            fitted, before = yield from _numbered(fitting, at, len(self._models), before, again)
            done.append(fitted)
        return Population(done, self._shares)

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield samples in the order of their indices, `source` the member that drew each."""
        who = assign(self._shares, indices.stop)
        place = _count_before(who, len(self._models))
        for at in range(0, len(indices), BATCH):
            rows = torch.tensor(indices[at : at + BATCH])
            parts, where = [], []
            for number, member in enumerate(self._models):
                mine = (who[rows] == number).nonzero().flatten()
                if len(mine):
                    first = int(place[rows[mine[0]]])
                    asked = None if conditions is None else conditions[at + mine]
                    own = seeds.derive(seed, "member", number)
                    drawn = member.draw(range(first, first + len(mine)), conditions=asked, seed=own)
                    parts.append(Samples.concatenate(list(drawn)).drawn_by(number))
                    where.append(mine)
            yield Samples.concatenate(parts)[torch.cat(where).argsort()]

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Measure each member by its own samples: a table under each name, in the members' order."""
        tables: dict[str, dict[str, Any]] = {}
        for number, (member, its_generation0) in enumerate(
            zip(self._models, _members_or(generation0, self), strict=True)
        ):
            found = member.metrics(
                samples[samples.source == number], generation0=its_generation0, seed=seed
            )
            for name, value in found.values.items():
                if not name.endswith("_se") and (isinstance(value, (int, float)) or value is None):
                    tables.setdefault(f"{name}_by_source", {})[str(number)] = value
        return Measures(tables)

    def log_density(self, samples: Samples) -> Tensor:
        """Return the log-density of the mixture, float64 [N]."""
        densities = []
        for member in self._models:
            density = member.ability(Density)
            assert density is not None  # `ability` says so
            densities.append(density.log_density(samples))
        return (torch.stack(densities) + torch.tensor(self._shares).log()[:, None]).logsumexp(0)

    def write_weights(self, path: Path) -> None:
        """Write each member into a folder of its own."""
        path.mkdir()
        for number, member in enumerate(self._models):
            model_folder.save_model(member, path / f"member_{number}")

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        return {"kind": "population", "shares": self._shares}

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> Population:  # noqa: D102
        shares = description["shares"]
        if not isinstance(shares, list):
            raise ValueError("'shares' is not a list")
        members = [model_folder.load_model(path / f"member_{at}") for at in range(len(shares))]
        return cls(members, shares)


def assign(shares: Sequence[float], n: int) -> Tensor:
    """Return which member draws each of samples 0 to n - 1, int64 [n]: at any length within one of its share.

    Each sample goes to the member that is furthest behind (the largest-deficit rule of apportionment).
    """
    behind, found = [0.0] * len(shares), []
    for _ in range(n):
        behind = [debt + share for debt, share in zip(behind, shares, strict=True)]
        chosen = max(range(len(shares)), key=behind.__getitem__)
        behind[chosen] -= 1
        found.append(chosen)
    return torch.tensor(found, dtype=torch.int64)


def _count_before(who: Tensor, members: int) -> Tensor:
    """Return, for each sample, how many before it the same member drew."""
    places = torch.empty_like(who)
    for number in range(members):
        mine = who == number
        places[mine] = torch.arange(int(mine.sum()))
    return places


def _of_member(resume: dict[str, Tensor] | None, at: int) -> dict[str, Tensor] | None:
    if resume is None or int(resume["member"]) != at:
        return None
    return {key.removeprefix("state."): tensor for key, tensor in resume.items() if key != "member"}


def _numbered(
    fitting: Stage[GenerativeModel], at: int, members: int, before: int, again: bool
) -> Stage[tuple[GenerativeModel, int]]:
    """Pass a member's progress on as a part of the population's, `before` samples into it; return where it ends.

    again  the member was fitted before the fit was cut: the checkpoint of a later one must not give way to its own
    """
    seen = before
    while True:
        try:
            progress = next(fitting)
        except StopIteration as end:
            return end.value, seen
        seen = before + progress.seen
        state = partial(_state_of_member, progress, at) if progress.state and not again else None
        total = before + (members - at) * progress.total
        yield Progress(progress.stage, seen, total, progress.loss, state)


def _state_of_member(progress: Progress, at: int) -> dict[str, Tensor]:
    assert progress.state is not None
    return {
        "member": torch.tensor(at),
        **{f"state.{key}": tensor for key, tensor in progress.state().items()},
    }


def _members_or(generation0: GenerativeModel, population: Population) -> Sequence[GenerativeModel]:
    if len(generation0.members) == len(population.members):
        return generation0.members
    return [generation0] * len(population.members)
