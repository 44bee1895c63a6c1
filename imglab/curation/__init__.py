"""Curation: which of the samples that a generation drew go on to the pool.

A curator is a function of the samples and their `Context` that returns the indices of the accepted
samples, int64 [M], ascending, none twice. It stands between model and pool: metrics are taken of
all samples drawn, and again of those accepted. Feng et al. 2024 ("Beyond model collapse",
2406.07515) show that verified selection can avoid the collapse.
"""

from imglab.curation.context import Context as Context
from imglab.curation.context import Curator as Curator
from imglab.curation.context import drawn_size as drawn_size
from imglab.curation.context import kept_size as kept_size
from imglab.curation.duplicates import duplicates as duplicates
from imglab.curation.human import MARKS as MARKS
from imglab.curation.human import NAMES as NAMES
from imglab.curation.human import human as human
from imglab.curation.latent import latent_filter as latent_filter
from imglab.curation.likelihood import likelihood_rank as likelihood_rank
from imglab.curation.preference import preference as preference
from imglab.curation.ranking import confidence as confidence
from imglab.curation.ranking import density as density
from imglab.curation.ranking import diversity as diversity
from imglab.curation.ranking import oracle as oracle
from imglab.curation.ranking import random as random
from imglab.curation.spread import entropy as entropy
from imglab.curation.verifier import label_verifier as label_verifier
from imglab.curation.watermark import drop_watermarked as drop_watermarked
