"""The kinds of data that ship, and the settings that each is made from.

Each is imported when it is first used: `imglab.modalities.GaussianModality`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imglab.config.lazy_names import lazy_names

if TYPE_CHECKING:
    from imglab.images.modality import ImageModality as ImageModality
    from imglab.images.settings import ImageSettings as ImageSettings
    from imglab.solvable.categories.modality import CategoriesModality as CategoriesModality
    from imglab.solvable.categories.settings import CategoriesSettings as CategoriesSettings
    from imglab.solvable.counts.modality import CountsModality as CountsModality
    from imglab.solvable.counts.settings import CountsSettings as CountsSettings
    from imglab.solvable.gaussian.modality import GaussianModality as GaussianModality
    from imglab.solvable.gaussian.settings import GaussianDataSettings as GaussianDataSettings
    from imglab.solvable.labels.modality import LabelsModality as LabelsModality
    from imglab.solvable.labels.settings import LabelsSettings as LabelsSettings
    from imglab.solvable.regression.modality import RegressionModality as RegressionModality
    from imglab.solvable.regression.settings import RegressionDataSettings as RegressionDataSettings
    from imglab.text.encyclopaedia_modality import EncyclopaediaModality as EncyclopaediaModality
    from imglab.text.modality import TextModality as TextModality
    from imglab.text.settings import TextSettings as TextSettings

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "imglab.images.modality": ["ImageModality"],
        "imglab.images.settings": ["ImageSettings"],
        "imglab.solvable.categories.modality": ["CategoriesModality"],
        "imglab.solvable.categories.settings": ["CategoriesSettings"],
        "imglab.solvable.counts.modality": ["CountsModality"],
        "imglab.solvable.counts.settings": ["CountsSettings"],
        "imglab.solvable.gaussian.modality": ["GaussianModality"],
        "imglab.solvable.gaussian.settings": ["GaussianDataSettings"],
        "imglab.solvable.labels.modality": ["LabelsModality"],
        "imglab.solvable.labels.settings": ["LabelsSettings"],
        "imglab.solvable.regression.modality": ["RegressionModality"],
        "imglab.solvable.regression.settings": ["RegressionDataSettings"],
        "imglab.text.encyclopaedia_modality": ["EncyclopaediaModality"],
        "imglab.text.modality": ["TextModality"],
        "imglab.text.settings": ["TextSettings"],
    },
)
