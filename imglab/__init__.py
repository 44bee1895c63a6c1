"""imglab: a laboratory for model collapse.

The public names below are imported when first used, so that `import imglab` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from imglab.autoclass import register_when_imported

if TYPE_CHECKING:
    from imglab.check import check_modality as check_modality
    from imglab.errors import InputError as InputError
    from imglab.errors import Problem as Problem
    from imglab.experiment import Run as Run
    from imglab.loop import Generation as Generation
    from imglab.loop import chain_events as chain_events
    from imglab.loop import run_chain as run_chain
    from imglab.measure import Measure as Measure
    from imglab.metrics import prdc as prdc
    from imglab.metrics.prdc import PrecisionRecallDensityCoverage as PrecisionRecallDensityCoverage
    from imglab.modality import Features as Features
    from imglab.modality import GenerativeModel as GenerativeModel
    from imglab.modality import Measures as Measures
    from imglab.modality import Modality as Modality
    from imglab.modality import Progress as Progress
    from imglab.modality import Spec as Spec
    from imglab.plugins import load_model as load_model
    from imglab.report.notebook import Report as Report
    from imglab.samples import Samples as Samples
    from imglab.samples import Selection as Selection
    from imglab.samples import TrainingSet as TrainingSet
    from imglab.side_by_side import SideBySide as SideBySide
    from imglab.store import DiskStore as DiskStore
    from imglab.store import MemoryStore as MemoryStore
    from imglab.store import RunFolder as RunFolder
    from imglab.sweeps.run import Sweep as Sweep

__version__ = "0.1.0"

register_when_imported()

_HOMES = {
    "check": ["check_modality"],
    "errors": ["InputError", "Problem"],
    "experiment": ["Run"],
    "loop": ["Generation", "chain_events", "run_chain"],
    "measure": ["Measure"],
    "metrics": ["prdc"],
    "metrics.prdc": ["PrecisionRecallDensityCoverage"],
    "modality": ["Features", "GenerativeModel", "Measures", "Modality", "Progress", "Spec"],
    "plugins": ["load_model"],
    "report.notebook": ["Report"],
    "samples": ["Samples", "Selection", "TrainingSet"],
    "side_by_side": ["SideBySide"],
    "store": ["DiskStore", "MemoryStore", "RunFolder"],
    "sweeps.run": ["Sweep"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'imglab' has no attribute {name!r}")
    return getattr(importlib.import_module(f"imglab.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
