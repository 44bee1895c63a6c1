"""The memorizing model of "A Tale of Tails": it knows what it has seen, and nothing else.

Dohmatob et al. 2024 (2402.07043), after Hutter 2021: each item has one right answer, which is
learned for good when the item occurs once in the training set.
"""

from __future__ import annotations

from typing import ClassVar

from imglab.config.section import Section
from imglab.measures import Measures
from imglab.model import GenerativeModel
from imglab.samples import Samples
from imglab.solvable.categories.model import FrequenciesModel
from imglab.solvable.categories.settings import MemorizerSettings


class MemorizerModel(FrequenciesModel):
    """Draws items as often as it has seen them, and errs on those that it has not seen."""

    settings_class: ClassVar[type[Section]] = MemorizerSettings

    def metrics(self, samples: Samples, *, generation0: GenerativeModel, seed: int) -> Measures:
        """Add the test error to what is measured of the categories.

        test_error  the chance that a real item is not in the training set
        """
        of_categories = super().metrics(samples, generation0=generation0, seed=seed)
        is_unseen = self.counts == 0  # [K]
        error = float(self.true[is_unseen].sum())
        return Measures({**of_categories.values, "test_error": error})
