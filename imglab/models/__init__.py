"""The models that ship, and the settings that each is made from.

Each is imported when it is first used: `imglab.models.DiffusionModel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imglab.config.lazy_names import lazy_names

if TYPE_CHECKING:
    from imglab.images.diffusion.model import DiffusionModel as DiffusionModel
    from imglab.images.diffusion.settings import DiffusionSettings as DiffusionSettings
    from imglab.images.diffusion.settings import PipelineSettings as PipelineSettings
    from imglab.images.pipelines import PipelineModel as PipelineModel
    from imglab.images.settings import VaeSettings as VaeSettings
    from imglab.images.vae import VaeModel as VaeModel
    from imglab.mixed.population import Population as Population
    from imglab.mixed.settings import AlternatingSettings as AlternatingSettings
    from imglab.mixed.settings import PopulationSettings as PopulationSettings
    from imglab.solvable.categories.memorizer import MemorizerModel as MemorizerModel
    from imglab.solvable.categories.model import FrequenciesModel as FrequenciesModel
    from imglab.solvable.categories.preferences import PreferencesModel as PreferencesModel
    from imglab.solvable.categories.settings import FrequenciesSettings as FrequenciesSettings
    from imglab.solvable.categories.settings import MemorizerSettings as MemorizerSettings
    from imglab.solvable.categories.settings import PreferencesSettings as PreferencesSettings
    from imglab.solvable.counts.model import RateModel as RateModel
    from imglab.solvable.counts.settings import RateSettings as RateSettings
    from imglab.solvable.gaussian.kde import KdeModel as KdeModel
    from imglab.solvable.gaussian.mixture import MixtureModel as MixtureModel
    from imglab.solvable.gaussian.model import GaussianModel as GaussianModel
    from imglab.solvable.gaussian.settings import GaussianModelSettings as GaussianModelSettings
    from imglab.solvable.gaussian.settings import KdeSettings as KdeSettings
    from imglab.solvable.gaussian.settings import MixtureSettings as MixtureSettings
    from imglab.solvable.gaussian.settings import (
        StoppedDiffusionSettings as StoppedDiffusionSettings,
    )
    from imglab.solvable.gaussian.stopped_diffusion import (
        StoppedDiffusionModel as StoppedDiffusionModel,
    )
    from imglab.solvable.labels.model import LabellerModel as LabellerModel
    from imglab.solvable.labels.settings import LabellerSettings as LabellerSettings
    from imglab.solvable.regression.model import RidgeModel as RidgeModel
    from imglab.solvable.regression.settings import RidgeSettings as RidgeSettings
    from imglab.text.language_model import LanguageModel as LanguageModel
    from imglab.text.ngram import NgramModel as NgramModel
    from imglab.text.settings import LanguageModelSettings as LanguageModelSettings
    from imglab.text.settings import NgramSettings as NgramSettings

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "imglab.images.diffusion.model": ["DiffusionModel"],
        "imglab.images.diffusion.settings": ["DiffusionSettings", "PipelineSettings"],
        "imglab.images.pipelines": ["PipelineModel"],
        "imglab.images.settings": ["VaeSettings"],
        "imglab.images.vae": ["VaeModel"],
        "imglab.mixed.population": ["Population"],
        "imglab.mixed.settings": ["AlternatingSettings", "PopulationSettings"],
        "imglab.solvable.categories.memorizer": ["MemorizerModel"],
        "imglab.solvable.categories.model": ["FrequenciesModel"],
        "imglab.solvable.categories.preferences": ["PreferencesModel"],
        "imglab.solvable.categories.settings": [
            "FrequenciesSettings",
            "MemorizerSettings",
            "PreferencesSettings",
        ],
        "imglab.solvable.counts.model": ["RateModel"],
        "imglab.solvable.counts.settings": ["RateSettings"],
        "imglab.solvable.gaussian.kde": ["KdeModel"],
        "imglab.solvable.gaussian.mixture": ["MixtureModel"],
        "imglab.solvable.gaussian.model": ["GaussianModel"],
        "imglab.solvable.gaussian.settings": [
            "GaussianModelSettings",
            "KdeSettings",
            "MixtureSettings",
            "StoppedDiffusionSettings",
        ],
        "imglab.solvable.gaussian.stopped_diffusion": ["StoppedDiffusionModel"],
        "imglab.solvable.labels.model": ["LabellerModel"],
        "imglab.solvable.labels.settings": ["LabellerSettings"],
        "imglab.solvable.regression.model": ["RidgeModel"],
        "imglab.solvable.regression.settings": ["RidgeSettings"],
        "imglab.text.language_model": ["LanguageModel"],
        "imglab.text.ngram": ["NgramModel"],
        "imglab.text.settings": ["LanguageModelSettings", "NgramSettings"],
    },
)
