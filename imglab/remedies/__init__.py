"""Remedies: what changes how a generation is fitted, or how its model draws.

Each remedy is one file of this folder, which names its paper and its equation. A config names
remedies under `remedy:`, one or a list; another package's is named as `module:Class`.
"""

from imglab.remedies.contract import Fit as Fit
from imglab.remedies.contract import Remedy as Remedy
from imglab.remedies.contract import remedied as remedied
