"""imglab: a laboratory for model collapse.

The public names below are imported when first used, so that `import imglab` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from imglab.store.views import View, provide_views
from imglab.version import __version__ as __version__

if TYPE_CHECKING:
    from imglab.check import check_modality as check_modality
    from imglab.check import check_remedy as check_remedy
    from imglab.errors import InputError as InputError
    from imglab.errors import Problem as Problem
    from imglab.generation import Generation as Generation
    from imglab.loop import chain_events as chain_events
    from imglab.loop import run_chain as run_chain
    from imglab.measure import Measure as Measure
    from imglab.measures import Features as Features
    from imglab.measures import Measures as Measures
    from imglab.metrics import prdc as prdc
    from imglab.metrics.prdc_metric import (
        PrecisionRecallDensityCoverage as PrecisionRecallDensityCoverage,
    )
    from imglab.modality import Extractor as Extractor
    from imglab.modality import Modality as Modality
    from imglab.modality import Spec as Spec
    from imglab.model import GenerativeModel as GenerativeModel
    from imglab.progress import Progress as Progress
    from imglab.remedies import Fit as Fit
    from imglab.remedies import Remedy as Remedy
    from imglab.report.notebook import Report as Report
    from imglab.run.run import Run as Run
    from imglab.samples import Samples as Samples
    from imglab.samples import Selection as Selection
    from imglab.samples import TrainingSet as TrainingSet
    from imglab.store.base import MemoryStore as MemoryStore
    from imglab.store.disk import DiskStore as DiskStore
    from imglab.store.model_folder import load_model as load_model
    from imglab.store.reader import RunFolder as RunFolder
    from imglab.studies.side_by_side import SideBySide as SideBySide
    from imglab.studies.sweeps.run import Sweep as Sweep
    from imglab.training.recipe import Recipe as Recipe
    from imglab.training.torch_model import TorchModel as TorchModel


def _views() -> dict[str, View]:
    """Return what shows runs and generations in a notebook, which the classes must not know."""
    views: dict[str, View] = importlib.import_module("imglab.report.notebook").VIEWS
    return views


provide_views(_views)

_HOMES = {
    "check": ["check_modality", "check_remedy"],
    "errors": ["InputError", "Problem"],
    "run.run": ["Run"],
    "generation": ["Generation"],
    "loop": ["chain_events", "run_chain"],
    "measure": ["Measure"],
    "metrics": ["prdc"],
    "metrics.prdc_metric": ["PrecisionRecallDensityCoverage"],
    "measures": ["Features", "Measures"],
    "modality": ["Extractor", "Modality", "Spec"],
    "model": ["GenerativeModel"],
    "progress": ["Progress"],
    "store.model_folder": ["load_model"],
    "remedies": ["Fit", "Remedy"],
    "report.notebook": ["Report"],
    "samples": ["Samples", "Selection", "TrainingSet"],
    "studies.side_by_side": ["SideBySide"],
    "store.base": ["MemoryStore"],
    "store.disk": ["DiskStore"],
    "store.reader": ["RunFolder"],
    "studies.sweeps.run": ["Sweep"],
    "training.recipe": ["Recipe"],
    "training.torch_model": ["TorchModel"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'imglab' has no attribute {name!r}")
    return getattr(importlib.import_module(f"imglab.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
