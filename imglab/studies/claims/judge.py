"""From the chains of a claim to its result: the gate, the null run, the verdict. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from imglab.studies.claims.claim import Claim
from imglab.studies.claims.evaluate import Chains, find, find_null
from imglab.studies.claims.finding import Finding, Result, Verdict, deciding, verdict_of
from imglab.studies.claims.first_models import in_ranges, mean_counts, poor_seeds
from imglab.studies.claims.multiplicity import chance_of
from imglab.studies.claims.protocol import FirstModels
from imglab.studies.first_generations import count_first_generations, still_improves
from imglab.studies.sweeps.config import CONTROL
from imglab.studies.sweeps.statistics import FEWEST


def judge(
    claim: Claim, chains: Chains, *, first: FirstModels | None = None, look: int = 1
) -> Result:
    """Judge a claim by the chains of its protocol.

    first  what the protocol asks of generation 0; None: each chain's own gate decides
    look   how often the claim has been judged, with more seeds each time; the chance of error is
           halved with each look, both for intervals and in the correction for the family
    """
    control = [rows for (arm, _), rows in sorted(chains.items()) if arm == CONTROL]
    poor = poor_seeds(chains, first, still_improves(control))
    seeds = [seed for seed, reasons in poor.items() if not reasons]

    counts = count_first_generations(chains.values(), control=control)
    remarks = []
    if first is not None:
        if counts["poor"] and seeds:
            missed = f"{counts['poor']} of {len(chains)} chains miss their own gate"
            remarks.append(f"{missed}, and their mean passes it")
        counts = mean_counts(chains, poor)

    if len(seeds) < FEWEST:
        return replace(blocked(claim, _why_poor(poor)), generation0=counts)

    confidence = 1 - (1 - claim.confidence) / 2 ** (look - 1)
    findings = [find(statement, chains, seeds, confidence) for statement in claim.must]
    null = _null(claim, chains, seeds)
    result = result_of(claim, findings, null)

    remarks.append(result.why)
    if len(seeds) < len(poor):
        left_out = len(poor) - len(seeds)
        remarks.append(f"{left_out} seeds do not count, whose generation 0 is not a good model")
    if look > 1:
        remarks.append(f"look {look} with more seeds, intervals of {confidence:.4g}")
    why = "; ".join(filter(None, remarks))
    p = result.p
    if p is not None:
        p = min(1.0, p * 2 ** (look - 1))
    return replace(result, generation0=counts, seeds=seeds, why=why, p=p)


def _why_poor(poor: Mapping[int, Sequence[str]]) -> str:
    """Say in how many seeds generation 0 is not a good model, and why."""
    reasons = {reason for of_seed in poor.values() for reason in of_seed}
    left_out = [seed for seed, of_seed in poor.items() if of_seed]
    why = f"generation 0 is not a good model in {len(left_out)} of {len(poor)} seeds"
    return f"{why}: {'; '.join(in_ranges(sorted(reasons)))}"


def result_of(
    claim: Claim, findings: Sequence[Finding], null: Mapping[str, Any], why: str = ""
) -> Result:
    """Return the result of findings: of a measurement without a verdict, of a claim with one.

    A claim that holds with the phenomenon absent shows nothing: it is withdrawn. One whose null run
    is not decided holds for as many seeds as do not tell the cause from its absence, and so is not
    decided either.
    """
    head = deciding(findings)
    result = replace(
        bare_result(claim, None),
        findings=list(findings),
        effect=head.estimate,
        interval=[head.low, head.high],
        region=[head.above, head.below],
        unit=head.unit,
        statement=head.says,
        power=head.power,
        why=why,
    )
    if claim.is_measurement:
        return result

    verdict = verdict_of(findings)
    remark = _remark_of_null(verdict, null)
    if remark:
        verdict = "not decided"
    return replace(
        result,
        verdict=verdict,
        null=dict(null),
        withdrawn=null.get("verdict") == "holds",
        why="; ".join(filter(None, [why, remark])),
        p=chance_of(findings, verdict),
    )


def _remark_of_null(verdict: Verdict, null: Mapping[str, Any]) -> str:
    """Say why a null run leaves a claim with this verdict undecided; empty if it does not."""
    if null.get("verdict") == "holds":
        return "withdrawn: it holds with the phenomenon absent, too"
    if null.get("verdict") == "not decided" and verdict == "holds":
        return "its null run is not decided: more seeds would tell the cause from its absence"
    return ""


def law_result(claim: Claim, findings: Sequence[Finding]) -> Result:
    """Return the result of a claim about laws: its null run is that of the wrong laws.

    It must fail for each of them; the nearest to holding is the null run's verdict.
    """
    wrong = [finding.null for finding in findings if finding.null]
    order: list[Verdict] = ["holds", "not decided", "does not hold"]
    null: dict[str, Any] = {}
    if wrong:
        nearest = min(wrong, key=lambda each: abs(each["z"] or float("inf")))
        verdict = min((each["verdict"] for each in wrong), key=order.index)
        laws = [{"law": each["law"], "z": each["z"]} for each in wrong]
        says = f"the same chains against a wrong law ({nearest['law']})"
        null = {"verdict": verdict, "says": says, "z": nearest["z"], "laws": laws}
    return result_of(claim, findings, null)


def blocked(claim: Claim, why: str) -> Result:
    """Return the result of a claim that cannot be judged, and neither can its null run."""
    if claim.is_measurement:
        return replace(bare_result(claim, None), why=why)
    null = {"verdict": "blocked", "says": "did not run"}
    return replace(bare_result(claim, "blocked"), why=why, null=null)


def bare_result(claim: Claim, verdict: Verdict | None) -> Result:
    """Return what a claim's file says, without findings."""
    return Result(
        name=claim.name,
        family=claim.family,
        source=claim.source,
        claims=claim.claims,
        verdict=verdict,
        substitutions=claim.substitutions,
        question=claim.question,
        section=claim.section,
        limits=claim.limits,
    )


def _null(claim: Claim, chains: Chains, seeds: Sequence[int]) -> dict[str, Any]:
    """Return the null run of a claim, as JSON; empty without one."""
    if claim.absent is None or claim.is_measurement:
        return {}

    findings = find_null(claim.must, claim.absent, chains, seeds, claim.confidence)
    parts = [
        {
            "says": each.says,
            "verdict": each.verdict,
            "estimate": each.estimate,
            "interval": [each.low, each.high],
        }
        for each in findings
    ]
    return {"verdict": verdict_of(findings), "says": claim.absent.says, "findings": parts}
