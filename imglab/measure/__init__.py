"""Features to metrics, each beside its floor; and the gate of generation 0."""

from imglab.measure.build import build_measure
from imglab.measure.measure import Measure

__all__ = ["Measure", "build_measure"]
