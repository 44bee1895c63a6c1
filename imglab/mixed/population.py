"""A population: several models that train on one pool, or on parts of it, and draw the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imglab import seeds
from imglab.measures import Measures
from imglab.mixed.shares import assign, count_before, parts_of
from imglab.model import Ability, Choice, Density, GenerativeModel, Tunable, call_metrics
from imglab.progress import Progress, Stage
from imglab.remedies.abilities import WeighsSamples
from imglab.samples import Samples, TrainingSet
from imglab.store import model_folder

BATCH = 1024
"""Samples that are yielded at a time, after each member has drawn its share of them."""


class Population(GenerativeModel):
    """Fits each member on the training set; each sample is drawn by one member.

    Which member draws sample i follows from i alone.
    """

    def __init__(
        self,
        models: Sequence[GenerativeModel],
        shares: Sequence[float],
        *,
        in_parts: bool = False,
        deal: int | None = None,
    ) -> None:
        """Make a population of `models` that draw these shares of the samples; they sum to 1.

        in_parts  whether each is trained on a part of the training set, of the size of its share,
                  that no other sees
        deal      the seed by which the parts were dealt that fitted models have seen
        """
        self._models = tuple(models)
        self._shares = tuple(shares)
        self._in_parts = in_parts
        self._deal = deal

    @property
    def members(self) -> tuple[GenerativeModel, ...]:
        """The models, in the order of `Samples.source`."""
        return self._models

    def ability(self, wanted: type[Ability]) -> Ability | None:
        """Return the population itself; but some abilities it has only if all members have them."""
        needs_all = wanted in (Density, WeighsSamples)
        if needs_all and any(member.ability(wanted) is None for member in self._models):
            return None
        return super().ability(wanted)

    def check_weights(self) -> None:
        """Raise ValueError where the settings of a member do not allow weights."""
        for member in self._models:
            weighing = member.ability(WeighsSamples)
            if weighing is not None:
                weighing.check_weights()

    @property
    def conditional(self) -> bool:
        """Whether its members are conditional; a population has only such members, or none."""
        return any(member.conditional for member in self._models)

    @property
    def training(self) -> Mapping[str, Any]:
        """Samples seen by all members together (`samples_seen`), and how each was fitted."""
        of_members = [dict(member.training) for member in self._models]
        samples_seen = sum(training.get("samples_seen", 0) for training in of_members)
        return {"samples_seen": samples_seen, "members": of_members}

    @property
    def pretrained(self) -> GenerativeModel | None:
        """The members' pretrained weights, if all members have some."""
        of_members = [member.pretrained for member in self._models]
        models = [model for model in of_members if model is not None]
        if len(models) < len(self._models):
            return None
        return Population(models, self._shares, in_parts=self._in_parts)

    def check_start(self, start: GenerativeModel) -> Population:
        """Return `start`; ValueError unless each member can start from that of `start`."""
        if not isinstance(start, Population) or len(start.members) != len(self._models):
            raise ValueError(f"a population of {len(self._models)} starts from one of as many")
        for member, its_start in zip(self._models, start.members, strict=True):
            member.check_start(its_start)
        return start

    def choices(self, train: TrainingSet, *, fits: int) -> Mapping[str, Choice]:
        """Return what each member measures, with keys `models.<number>.<key>`."""
        choices: dict[str, Choice] = {}
        sets = self._training_sets(train, deal=0)
        for number, member in enumerate(self._models):
            tunable = member.ability(Tunable)
            if tunable is None:
                continue
            for key, choice in tunable.choices(sets[number], fits=fits).items():
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
        """Fit one member after the other, each with a seed derived from its number.

        A checkpoint is one of the member that was being fitted; the members before it are fitted
        again. Parts are dealt by the seed; a population that starts from itself goes on with the
        parts that it has seen. Raises InputError where a part would have fewer than two samples.
        """
        deal = seed
        if start is self and self._deal is not None:
            deal = self._deal
        starts = self._starts(start)
        resumed = -1  # the member that the checkpoint is of
        if resume is not None:
            resumed = int(resume["member"])

        fitted: list[GenerativeModel] = []
        seen = 0
        sets = self._training_sets(train, deal)
        for number, (member, its_start) in enumerate(zip(self._models, starts, strict=True)):
            state = None
            if resume is not None and number == resumed:
                state = _member_state(resume)

            member_seed = seeds.derive(seed, "member", number)
            fitting = member.fit(sets[number], start=its_start, seed=member_seed, resume=state)

            # Fitting a member again must not replace the checkpoint of a later one.
            reporting = self._report(fitting, number, seen, offers_state=number >= resumed)
            model, seen = yield from reporting
            fitted.append(model)
        return Population(fitted, self._shares, in_parts=self._in_parts, deal=deal)

    def _starts(self, start: GenerativeModel | None) -> Sequence[GenerativeModel | None]:
        """Return what each member starts from."""
        if start is None:
            return [None] * len(self._models)
        return self.check_start(start).members

    def _training_sets(self, train: TrainingSet, deal: int) -> list[TrainingSet]:
        """Return what each member is trained on."""
        if not self._in_parts:
            return [train] * len(self._models)
        return parts_of(train, self._shares, deal)

    def _report(
        self, fitting: Stage[GenerativeModel], number: int, seen: int, *, offers_state: bool
    ) -> Stage[tuple[GenerativeModel, int]]:
        """Pass on the progress of fitting a member as progress of fitting the population.

        seen          samples that the members before it have seen
        offers_state  whether the progress may offer a checkpoint

        Returns the fitted member, and the samples that have been seen by now.
        """
        remaining = len(self._models) - number
        seen_before = seen
        while True:
            try:
                progress = next(fitting)
            except StopIteration as end:
                return end.value, seen

            seen = seen_before + progress.seen
            total = seen_before + remaining * progress.total
            state = None
            if progress.state and offers_state:
                state = partial(_population_state, progress.state, number)
            yield Progress(progress.stage, seen, total, progress.loss, state)

    def draw(self, indices: range, *, conditions: Tensor | None, seed: int) -> Iterator[Samples]:
        """Yield samples in the order of their indices, `source` being the member that drew each."""
        drawer = assign(self._shares, indices.stop)  # [indices.stop]
        position = count_before(drawer, len(self._models))  # [indices.stop]

        for at in range(0, len(indices), BATCH):
            rows = torch.tensor(indices[at : at + BATCH])
            parts = []
            places = []
            for number, member in enumerate(self._models):
                place = (drawer[rows] == number).nonzero().flatten()
                if not len(place):
                    continue

                # A member numbers its own samples, and those of a batch follow one another.
                first = int(position[rows[place[0]]])
                its_conditions = None
                if conditions is not None:
                    its_conditions = conditions[at + place]

                drawing = member.draw(
                    range(first, first + len(place)),
                    conditions=its_conditions,
                    seed=seeds.derive(seed, "member", number),
                )
                parts.append(Samples.concatenate(list(drawing)).drawn_by(number))
                places.append(place)

            yield Samples.concatenate(parts)[torch.cat(places).argsort()]

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Measure each member by the samples that it drew.

        Each of the members' metrics that is a number becomes a table `<name>_by_source`, in the
        order of the members.
        """
        of_generation0: Sequence[GenerativeModel] = generation0.members
        if len(of_generation0) != len(self._models):
            of_generation0 = [generation0] * len(self._models)

        tables: dict[str, dict[str, Any]] = {}
        for number, member in enumerate(self._models):
            drawn = samples[samples.source == number]
            first = of_generation0[number]
            measures = call_metrics(member, drawn, generation0=first, seed=seed)

            for name, value in measures.values.items():
                is_number = isinstance(value, (int, float)) or value is None
                if is_number and not name.endswith("_se"):
                    tables.setdefault(f"{name}_by_source", {})[str(number)] = value
        return Measures(tables)

    def log_density(self, samples: Samples) -> Tensor:
        """Return the log-density of the mixture of the members, float64 [N]."""
        densities = []
        for member in self._models:
            density = member.ability(Density)
            assert density is not None  # `ability` says so
            densities.append(density.log_density(samples))

        log_shares = torch.tensor(self._shares).log()
        return (torch.stack(densities) + log_shares[:, None]).logsumexp(0)

    def write_weights(self, path: Path) -> None:
        """Make the folder `path` and write each member into a folder in it."""
        path.mkdir()
        for number, member in enumerate(self._models):
            model_folder.save_model(member, _member_folder(path, number))

    def description(self) -> Mapping[str, Any]:  # noqa: D102
        dealt = {"deal": self._deal} if self._in_parts else {}
        return {"kind": "population", "shares": self._shares, **dealt}

    @classmethod
    def restore(cls, description: Mapping[str, Any], path: Path) -> Population:  # noqa: D102
        shares = description["shares"]
        if not isinstance(shares, list):
            raise ValueError("'shares' is not a list")
        folders = [_member_folder(path, number) for number in range(len(shares))]
        models = [model_folder.load_model(folder) for folder in folders]
        return cls(models, shares, in_parts="deal" in description, deal=description.get("deal"))


def _population_state(
    member_state: Callable[[], dict[str, Tensor]], number: int
) -> dict[str, Tensor]:
    """Return the checkpoint of a population in the middle of fitting member `number`."""
    state = {f"state.{key}": tensor for key, tensor in member_state().items()}
    return {"member": torch.tensor(number), **state}


def _member_state(population_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the member's checkpoint that a population's checkpoint holds."""
    return {
        key.removeprefix("state."): tensor
        for key, tensor in population_state.items()
        if key != "member"
    }


def _member_folder(path: Path, number: int) -> Path:
    return path / f"member_{number}"
