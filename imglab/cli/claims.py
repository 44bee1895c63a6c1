"""The command that asks whether the claims of papers hold here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imglab.cli.errors import stoppable
from imglab.cli.options import AsJson, Workers
from imglab.cli.tally import Tally
from imglab.errors import InputError, Problem, nearest
from imglab.running.interrupt import interrupted_by_signals
from imglab.safe_text import printable

if TYPE_CHECKING:
    from imglab.studies.claims.catalog import Catalog, Claim, Profile

ClaimNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME...]", help="Claims, families, or solvable. Default: all of the profile."
    ),
]
ProfileName = Annotated[
    str,
    typer.Option(
        "--profile",
        help="quick (an hour on two cores), cores (all that two cores decide) or full (one GPU).",
    ),
]
ClaimsFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where chains and verdicts are kept.")
]
DataFolder = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Folder of torchvision's data sets.")
]
MoreSeeds = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        metavar="N",
        help="Seeds in all for claims that are not decided; what ran is used again.",
    ),
]
Listed = Annotated[bool, typer.Option("--list", help="Only list the claims.")]
Explained = Annotated[
    bool, typer.Option("--explain", help="Only say what each claim asks, and how.")
]


def claims(
    names: ClaimNames = None,
    profile: ProfileName = "quick",
    seeds: MoreSeeds = None,
    out: ClaimsFolder = Path("runs/claims"),
    data: DataFolder = Path("data"),
    workers: Workers = 2,
    as_json: AsJson = False,
    listed: Listed = False,
    explained: Explained = False,
) -> None:
    """Run claims of papers at a size that fits, and say whether they hold, with the numbers.

    A claim holds if the confidence interval of every quantity lies where the claim puts it, does
    not hold if one lies wholly elsewhere, and is not decided otherwise. It is blocked where data
    are missing or generation 0 is not a good model. Chains that claims share run once; the same
    command goes on where it stopped.

    Example: imglab claims theory
    """
    from imglab.studies.claims.catalog import Catalog
    from imglab.studies.claims.plan import check_seeds

    size = _profile(profile)
    catalog = Catalog()
    chosen = catalog.chosen(names or [])
    if listed or explained:
        _describe(catalog, chosen, size, in_full=explained)
        return

    running = _running(catalog, chosen, size, names or [])
    check_seeds(running, seeds)
    entries = _run(catalog, running, size, out, data, seeds, workers, silent=as_json)
    if as_json:
        typer.echo(json.dumps(_as_json(profile, entries), indent=1))
    else:
        _show(entries, out)


def _run(
    catalog: Catalog,
    chosen: Sequence[Claim],
    profile: Profile,
    out: Path,
    data: Path,
    seeds: int | None,
    workers: int,
    *,
    silent: bool,
) -> list[dict[str, Any]]:
    """Run claims, write their page, and return the verdicts."""
    from imglab.report.claims import write_claims
    from imglab.studies.claims.run import ClaimsRun

    run = ClaimsRun(catalog, chosen, profile, out, data, seeds=seeds, by_name=True)
    with stoppable(out), interrupted_by_signals():
        entries = run.run(workers, Tally(silent=silent))
        write_claims(out)
    return entries


def _running(
    catalog: Catalog, chosen: Sequence[Claim], profile: Profile, names: Sequence[str]
) -> list[Claim]:
    """Return the claims that a profile runs: those named, and all of its size."""
    running = [
        claim
        for claim in chosen
        if claim.name in names or catalog.size_of(claim, profile) is not None
    ]
    if running:
        return running
    what = f"the profile {profile!r} runs no claim of {', '.join(names)}"
    raise InputError(Problem("--profile", what, "try --profile cores, or --profile full"))


def _show(entries: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Print the verdicts, and where their page is."""
    from imglab.studies.claims.table import format_results

    typer.echo(printable(format_results(entries)))
    typer.echo(printable(str(folder / "report.html")))


def _as_json(profile: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return verdicts as `--json` prints them; measurements, which have none, stand apart."""
    tree: dict[str, Any] = {"profile": profile}
    tree["claims"] = [entry for entry in entries if "verdict" in entry]
    measurements = [entry for entry in entries if "verdict" not in entry]
    if measurements:
        tree["measurements"] = measurements
    return tree


def _describe(catalog: Catalog, chosen: list[Claim], profile: Profile, *, in_full: bool) -> None:
    """Print what each claim says, in full or in two lines."""
    from imglab.studies.claims.explain import explain_claim
    from imglab.studies.claims.table import format_claim

    for claim in chosen:
        if in_full:
            typer.echo(explain_claim(claim, catalog, profile) + "\n")
        else:
            typer.echo(format_claim(claim))


def _profile(name: str) -> Profile:
    from imglab.studies.claims.protocol import PROFILES

    for profile in PROFILES:
        if profile == name:
            return profile
    what = f"{name!r} is not a profile"
    raise InputError(Problem("--profile", what, nearest(name, PROFILES)))
