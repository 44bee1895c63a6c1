"""What a claim asks, how, and what would refute it, as plain text. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imglab.studies.claims.catalog import Catalog
from imglab.studies.claims.claim import Claim, Statement, TheoryStatement
from imglab.studies.claims.evaluate import region_of
from imglab.studies.claims.protocol import FirstModels, Profile, Protocol
from imglab.studies.sweeps.statistics import FEWEST


def explain_claim(claim: Claim, catalog: Catalog, profile: Profile) -> str:
    """Return all that a claim's file says, and how its verdict follows."""
    lines = [
        f"{claim.name} ({claim.family})",
        f"  claim: {claim.claims}",
        f"  source: {claim.source}",
    ]
    if claim.section:
        lines.append(f"  section: {claim.section}")
    if claim.protocol is not None:
        size = catalog.size_of(claim, profile, by_name=True)
        lines += _protocol(catalog.protocols[claim.protocol], claim.protocol, size)
    else:
        lines.append("  protocol: solvable chains, each from real data of its own, and their law")

    lines += [line for statement in claim.must for line in _statement(statement, claim)]
    for theory in claim.theory:
        lines += _theory(theory)
    if claim.absent is not None:
        lines.append(f"  null run, which must not hold: {claim.absent.says}")

    lines += [f"  {line}" for line in _verdict(claim, catalog.family_sizes[claim.family])]
    substitutions = claim.substitutions or ["nothing"]
    lines += [f"  substituted here: {each}" for each in substitutions]
    lines += [f"  limit of the evidence: {each}" for each in claim.limits]
    return "\n".join(lines)


def _protocol(protocol: Protocol, name: str, size: Profile | None) -> Iterator[str]:
    yield f"  protocol: {name}: {protocol.about}"
    yield f"  arms: {', '.join(protocol.arms)}"
    if size is not None:
        settings = protocol.profiles[size]
        seeds = ", ".join(map(str, settings.seeds))
        if settings.seeds == list(range(len(settings.seeds))):
            seeds = f"0 to {len(settings.seeds) - 1}"
        yield f"  cost at profile {size}: {settings.cost}; seeds {seeds}"
    if protocol.needs:
        yield f"  needs: {', '.join(protocol.needs)}"
    if protocol.first is not None:
        yield f"  generation 0, as the mean over the seeds of each arm: {_asked(protocol.first)}"
        yield f"    because {protocol.first.why}"
    if protocol.replicates:
        yield f"  each seed replicates: {', '.join(protocol.replicates)}"
    else:
        yield "  the seeds share one data set, on which the result is conditional"


def _asked(first: FirstModels) -> str:
    """Return what is asked of generation 0, as YAML would have it."""
    tree: dict[str, Any] = first.gate.model_dump(exclude_none=True)
    if first.without:
        tree["without"] = first.without
    if first.at_least:
        tree["at_least"] = first.at_least
    return _value(tree)


def _statement(statement: Statement, claim: Claim) -> Iterator[str]:
    """Yield a statement with its quantity and its region."""
    names = []
    for each in statement.terms:
        metric = each.metric
        if each.over_floor:
            metric += " over its floor"
        names.append(f"{metric} of {each.arm} in generation {each.generation}")

    joined = names[0]
    if statement.ratio is not None:
        joined = " over ".join(names)
    elif statement.difference is not None:
        joined = " minus ".join(names)
    elif statement.ratios is not None:
        joined = f"({' over '.join(names[:2])}) over ({' over '.join(names[2:])})"
    elif statement.differences is not None:
        joined = f"({' minus '.join(names[:2])}) minus ({' minus '.join(names[2:])})"

    if claim.is_measurement:
        yield f"  measured: {statement.says}: {joined}"
        return
    yield f"  must hold: {statement.says}: {joined} is {region_of(statement)}"
    if statement.bound:
        yield f"    bound: {statement.bound}"


def _theory(statement: TheoryStatement) -> Iterator[str]:
    """Yield how the chains of a solvable model are compared with their law and a wrong one."""
    generations = ", ".join(map(str, statement.generations))
    yield f"  chains: {statement.says}: {statement.replicas} chains of {_config(statement.config)}"
    yield (
        "    means of metrics against the closed form (imglab/solvable/theory): "
        f"|z| below {statement.most_z:g} in generations {generations}"
    )
    if statement.wrong:
        changes = ", ".join(f"{key} {_value(value)}" for key, value in statement.wrong.items())
        yield f"    must be rejected with |z| above {statement.least_z:g}: the law of {changes}"


def _verdict(claim: Claim, questions: int) -> Iterator[str]:
    if claim.is_measurement:
        yield "an open question: intervals are reported, and no verdict"
        return
    if claim.refuted_by:
        yield f"would be falsified by: {claim.refuted_by}"
    if claim.theory:
        yield (
            "refuted if a law's |z| is at its bound or above; not decided if these chains do not "
            "reject the wrong law, since they then have no power"
        )
        return
    yield (
        f"refuted if the {claim.confidence:.0%} interval of a quantity over the seeds lies wholly "
        "outside its region; not decided if it lies on both sides"
    )
    yield (
        f"needs {FEWEST} seeds whose generation 0 is a good model, or it is blocked; Holm's "
        f"correction for {questions} claims of the family"
    )


def _config(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_value(value)}" for key, value in config.items())


def _value(value: Any) -> str:
    """Return a value as YAML would have it on one line."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key}: {_value(each)}" for key, each in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)
