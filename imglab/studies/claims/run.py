"""Running claims: the chains that they need, each once; then their verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imglab.store import files
from imglab.studies.claims.batch import Batch, Watch
from imglab.studies.claims.catalog import Catalog
from imglab.studies.claims.claim import Claim
from imglab.studies.claims.plan import check_seeds
from imglab.studies.claims.protocol import Profile
from imglab.studies.claims.verdicts import VERDICTS, earlier_look, merged_verdicts, with_costs


class ClaimsRun:
    """A directory of chains, by the hash of their configs, and verdicts on claims about them."""

    def __init__(
        self,
        catalog: Catalog,
        claims: Sequence[Claim],
        profile: Profile,
        out: Path,
        data: Path,
        *,
        seeds: int | None = None,
        by_name: bool = False,
    ) -> None:
        """Plan the chains of `claims`.

        data     the folder of torchvision data sets
        seeds    how many seeds in all claims get that are not decided with fewer
        by_name  whether the claims were asked for by name: they then run at a larger size where
                 the profile has none for them
        """
        self._catalog = catalog
        self._claims = claims
        self._profile = profile
        self._out = out
        self._data = data
        self._seeds = seeds
        self._by_name = by_name
        check_seeds(claims, seeds)

    def run(self, workers: int, watch: Watch) -> list[dict[str, Any]]:
        """Run the chains that are not finished, at most `workers` at a time, and judge every claim.

        Returns the verdicts as JSON, in the order of the claims. They are written to claims.json,
        beside those of earlier calls.
        """
        files.make_folder(self._out)
        if not (self._out / VERDICTS).exists():
            # It says from the first chain on what the chains below are part of.
            merged_verdicts(self._out, self._catalog, self._profile, [])
        looks = {claim.name: _look_of(self._earlier(claim)) for claim in self._claims}
        tree = self._judge(self._claims, looks, workers, watch)

        more = {
            claim.name: (looks[claim.name][0] + 1, self._seeds)
            for claim in self._claims
            if self._wants_more(tree, claim.name)
        }
        if more:
            chosen = [claim for claim in self._claims if claim.name in more]
            tree = self._judge(chosen, more, workers, watch)

        names = [claim.name for claim in self._claims]
        shown = with_costs(self._out, tree, names)
        entries = [*shown["claims"], *shown.get("measurements", [])]
        return sorted(entries, key=lambda entry: names.index(entry["name"]))

    def _earlier(self, claim: Claim) -> Mapping[str, Any]:
        """Return how a claim was last judged at the size at which it runs now, if it was."""
        size = self._catalog.size_of(claim, self._profile, by_name=self._by_name)
        return earlier_look(self._out, claim.name, size)

    def _wants_more(self, tree: Mapping[str, Any], name: str) -> bool:
        """Say whether a claim is not decided and gets more seeds than it has had."""
        if self._seeds is None:
            return False
        entry = next((each for each in tree["claims"] if each["name"] == name), None)
        if entry is None or entry["verdict"] != "not decided" or entry["withdrawn"]:
            return False
        return self._seeds > int(entry["asked"])

    def _judge(
        self,
        claims: Sequence[Claim],
        looks: Mapping[str, tuple[int, int | None]],
        workers: int,
        watch: Watch,
    ) -> dict[str, Any]:
        """Run and judge claims, each with its look and its number of seeds; return claims.json."""
        batch = Batch(self._catalog, self._profile, self._out, self._data, by_name=self._by_name)
        for claim in claims:
            batch.add(claim, *looks[claim.name])
        batch.run(workers, watch)
        results = [batch.result(claim) for claim in claims]
        return merged_verdicts(self._out, self._catalog, self._profile, results)


def _look_of(entry: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return which look at a claim the last one was, and how many seeds it asked for."""
    if not entry.get("asked"):
        return 1, None
    return entry["look"], entry["asked"]
