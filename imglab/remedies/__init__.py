"""Remedies: what changes how a generation is fitted, or how its model draws.

Each remedy is one file of this folder, which names its paper and its equation. A config names
remedies under `remedy:`, one or a list; another package's is named as `module:Class`.
"""

from typing import TYPE_CHECKING

from imglab.config.lazy_names import lazy_names
from imglab.remedies.contract import Fit as Fit
from imglab.remedies.contract import Remedy as Remedy
from imglab.remedies.contract import remedied as remedied

if TYPE_CHECKING:
    from imglab.remedies.anneal import Anneal as Anneal
    from imglab.remedies.negative_guidance import NegativeGuidance as NegativeGuidance
    from imglab.remedies.neon import Neon as Neon
    from imglab.remedies.token_editing import TokenEditing as TokenEditing
    from imglab.remedies.truncated_loss import TruncatedLoss as TruncatedLoss
    from imglab.remedies.weights import Weights as Weights

# The classes of the remedies are imported when they are first used.
__getattr__, __dir__, _ = lazy_names(
    __name__,
    {
        "imglab.remedies.anneal": ["Anneal"],
        "imglab.remedies.negative_guidance": ["NegativeGuidance"],
        "imglab.remedies.neon": ["Neon"],
        "imglab.remedies.token_editing": ["TokenEditing"],
        "imglab.remedies.truncated_loss": ["TruncatedLoss"],
        "imglab.remedies.weights": ["Weights"],
    },
)
