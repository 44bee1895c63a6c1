"""Whether the real-only control of a study is trained out."""

from __future__ import annotations

import pytest
import torch

from imglab import seeds
from imglab.studies.first_generations import count_first_generations, still_improves

GOOD = {"generation0": {"verdict": "good", "reasons": []}}


def control(*fids, error=0.1):
    return [{**GOOD, "fid": fid, "fid_se": error} for fid in fids]


class TestTheControl:
    def test_that_improves_makes_generation_0_poor(self):
        counts = count_first_generations([[GOOD], [GOOD]], control=[control(5.0, 3.0)])

        assert (counts["good"], counts["poor"]) == (0, 2)
        assert counts["reasons"] == [
            "the control on real data still improves: fid 5 to 3 in 1 generation"
        ]

    @pytest.mark.parametrize("fids", [(5.0, 4.7), (5.0, 6.0), (5.0,), (5.0, None)])
    def test_that_does_not_beyond_its_error_changes_nothing(self, fids):
        assert still_improves([control(*fids)]) is None
        assert count_first_generations([[GOOD]], control=[control(*fids)])["good"] == 1

    def test_is_judged_by_the_differences_between_seeds(self):
        assert still_improves([control(5.0, 4.0), control(5.0, 4.1), control(5.0, 3.9)])
        assert still_improves([control(5.0, 2.0), control(5.0, 7.0), control(5.0, 3.0)]) is None

    def test_of_text_is_judged_by_its_perplexity_too(self):
        rows = [{"fid": 1.0, "perplexity": 50.0}, {"fid": 1.0, "perplexity": 40.0}]

        assert "perplexity 50 to 40" in str(still_improves([rows]))

    def test_that_only_fluctuates_is_rarely_called_improving(self):
        noise = torch.randn(2000, 10, 2, generator=seeds.generator("control")).tolist()
        verdicts = [still_improves([control(*pair, error=None) for pair in of]) for of in noise]

        # Three standard errors of ten seeds: .75% by Student's t with nine degrees of freedom.
        assert sum(map(bool, verdicts)) / 2000 == pytest.approx(0.0075, abs=0.006)
