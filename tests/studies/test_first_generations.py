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

    def test_is_judged_by_the_differences_between_seeds_too(self):
        assert still_improves([control(5.0, 4.0), control(5.0, 4.1), control(5.0, 3.9)])
        assert still_improves([control(5.0, 2.0), control(5.0, 7.0), control(5.0, 3.0)]) is None

    def test_that_falls_alike_in_two_seeds_is_judged_by_the_metrics_own_error(self):
        assert still_improves([control(5.0, 4.8), control(6.0, 5.8)]) is None

    def test_without_errors_decides_nothing(self):
        assert still_improves([control(5.0, 1.0, error=None)]) is None

    def test_that_improves_by_next_to_nothing_changes_nothing(self):
        assert still_improves([control(5.0, 4.95, error=0.001)]) is None

    def test_of_text_is_judged_by_its_perplexity_too(self):
        errors = {"fid": 1.0, "fid_se": 0.1, "perplexity_se": 1.0}
        rows = [{**errors, "perplexity": 50.0}, {**errors, "perplexity": 40.0}]

        assert "perplexity 50 to 40" in str(still_improves([rows]))

    @pytest.mark.parametrize("seeds_of_control", [1, 2, 10])
    def test_that_only_fluctuates_is_rarely_called_improving(self, seeds_of_control):
        shape = (2000, seeds_of_control, 2)
        values = 10 + torch.randn(shape, generator=seeds.generator("control"))
        verdicts = [
            still_improves([control(*pair, error=1.0) for pair in of]) for of in values.tolist()
        ]

        # At most what three standard errors of a normal distribution leave on one side: .13%.
        assert sum(map(bool, verdicts)) / 2000 <= 0.004
