"""From the sections of `remedy:` to remedies, checked against the models that they change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from imglab.config import kinds
from imglab.config.remedy_sections import NegativeGuidanceRemedy
from imglab.config.section import PlugIn
from imglab.errors import InputError, Problem, ProblemCollector
from imglab.model import GenerativeModel
from imglab.remedies import Remedy
from imglab.remedies.anneal import Anneal


def build_remedies(
    sections: Sequence[Any], foreign: Mapping[str, str], models: Sequence[GenerativeModel]
) -> list[Remedy]:
    """Return the remedies that a config names; InputError where a model cannot take one.

    foreign  keys of the config that are not imported: remedies among them are left out
    """
    collector = ProblemCollector()
    remedies: list[Remedy] = []
    for number, section in enumerate(sections):
        if f"remedy.{number}" in foreign:
            continue

        where = "remedy" if len(sections) == 1 else f"remedy.{number}"
        try:
            remedy = _build(section, where)
            _check(remedy, models, where, section.kind)
        except InputError as error:
            collector.add_error(error)
        else:
            remedies.append(remedy)
    collector.run(partial(_check_guided_once, sections))
    collector.run(partial(_check_stops, remedies, models))
    collector.finish()
    return remedies


def _check_guided_once(sections: Sequence[Any]) -> None:
    """Raise InputError where a second remedy would take the place of a model's guidance."""
    guiding = [
        number
        for number, section in enumerate(sections)
        if isinstance(section, NegativeGuidanceRemedy) and section.w != 0
    ]
    if len(guiding) > 1:
        what = f"drawing can be led away from one model only, and remedy.{guiding[0]} does that"
        raise InputError(Problem(f"remedy.{guiding[1]}.kind", what, "keep one of the two"))


def _check_stops(remedies: Sequence[Remedy], models: Sequence[GenerativeModel]) -> None:
    """Raise InputError where remedies, each of which may, together stop the sampler too early."""
    starts = [remedy.start for remedy in remedies if isinstance(remedy, Anneal)]
    if len(starts) > 1:
        _check(Anneal(start=sum(starts)), models, "remedy", "anneal")


def _build(section: Any, where: str) -> Remedy:
    if isinstance(section, PlugIn):
        return kinds.build_plug_in(section, Remedy, where)
    remedy: Remedy = kinds.resolve(kinds.REMEDIES[section.kind])(
        **section.model_dump(exclude={"kind"})
    )
    return remedy


def _check(remedy: Remedy, models: Sequence[GenerativeModel], where: str, kind: str) -> None:
    """Raise InputError with everything that the models of a chain cannot take of a remedy."""
    problems = dict.fromkeys(_problems(remedy, models, where, kind))
    if problems:
        raise InputError(list(problems))


def _problems(
    remedy: Remedy, models: Sequence[GenerativeModel], where: str, kind: str
) -> Iterator[Problem]:
    for model in models:
        for key, what, advice in remedy.problems(model):
            yield Problem(f"{where}.{key}", f"{kind} {what}", advice)
