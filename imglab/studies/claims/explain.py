"""What a claim asks, how, and what would refute it, as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imglab.studies.claims.catalog import Claim, Profile, Protocol, Statement, TheoryStatement
from imglab.studies.claims.evaluate import region_of


def explain_claim(claim: Claim, protocols: Mapping[str, Protocol], profile: Profile) -> str:
    """Return all that a claim's file says, and how its verdict follows."""
    lines = [
        f"{claim.name} ({claim.family})",
        f"  claim: {claim.claims}",
        f"  source: {claim.source}",
    ]
    if claim.protocol is not None:
        lines += _protocol(protocols[claim.protocol], claim.protocol, profile)

    lines += [f"  must hold: {_statement(statement)}" for statement in claim.must]
    for theory in claim.theory:
        lines += _theory(theory)

    lines.append(f"  {_verdict(claim)}")
    lines += [f"  substituted here: {each}" for each in claim.substitutions]
    lines += [f"  limit of the evidence: {each}" for each in claim.limits]
    return "\n".join(lines)


def _protocol(protocol: Protocol, name: str, profile: Profile) -> Iterator[str]:
    yield f"  protocol: {name}: {protocol.about}"
    yield f"  arms: {', '.join(protocol.arms)}"
    size = protocol.profiles.get(profile)
    if size is not None:
        yield f"  cost at profile {profile}: {size.cost}; seeds {', '.join(map(str, size.seeds))}"
    if protocol.needs:
        yield f"  needs: {', '.join(protocol.needs)}"


def _statement(statement: Statement) -> str:
    """Return a statement with its quantity and its region."""
    names = [
        f"{each.metric} of {each.arm} in generation {each.generation}" for each in statement.terms
    ]
    joined = f"{names[0]}"
    if statement.ratio is not None:
        joined = " over ".join(names)
    elif statement.difference is not None:
        joined = " minus ".join(names)
    elif statement.ratios is not None:
        joined = f"({' over '.join(names[:2])}) over ({' over '.join(names[2:])})"
    return f"{statement.says}: {joined} is {region_of(statement)}"


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


def _verdict(claim: Claim) -> str:
    if claim.theory:
        return (
            "refuted if a law's |z| is at its bound or above; not decided if these chains do not "
            "reject the wrong law, since they then have no power"
        )
    return (
        f"refuted if the {claim.confidence:.0%} interval of a quantity over the seeds lies wholly "
        "outside its region; not decided if it lies on both sides"
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
