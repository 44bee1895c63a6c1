"""imglab: a laboratory for model collapse.

    import imglab

    run = imglab.run("digits", regime="accumulate", generations=3, out="runs/digits_kept")
    run.frame()                                   # metrics of each generation, by pandas
    run.grid(2), run.samples(2), run.model(2)     # what generation 2 drew, and its model
    imglab.open("runs/image_digits")              # a run that is there, finished or being made
    imglab.runs("runs/").frame()                  # all of them in one table

The public names below are imported when first used, so that `import imglab` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from imglab.store.views import View, provide_views
from imglab.version import __version__ as __version__

if TYPE_CHECKING:
    from imglab import modalities as modalities
    from imglab import models as models
    from imglab import regimes as regimes
    from imglab import remedies as remedies
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
    from imglab.metrics.prdc import prdc as prdc
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
    from imglab.report.curves import curves_figure as curves_figure
    from imglab.report.notebook import Report as Report
    from imglab.report.opened import OpenedRun as OpenedRun
    from imglab.report.opened import OpenedRuns as OpenedRuns
    from imglab.report.opened import open as open
    from imglab.report.opened import run as run
    from imglab.report.opened import runs as runs
    from imglab.report.results import write_results as write_results
    from imglab.running.run import Run as Run
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
    "running.run": ["Run"],
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
    "report.curves": ["curves_figure"],
    "report.notebook": ["Report"],
    "report.opened": ["OpenedRun", "OpenedRuns", "open", "run", "runs"],
    "report.results": ["write_results"],
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

_MODULES = ("modalities", "models", "regimes", "remedies")

# `from imglab import *` leaves the built-in `open` alone.
__all__ = ["__version__", *_MODULES, *sorted(set(_HOME) - {"open"})]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"imglab.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'imglab' has no attribute {name!r}")
    return getattr(importlib.import_module(f"imglab.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME, *_MODULES]
