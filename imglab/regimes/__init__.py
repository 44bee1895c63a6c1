"""Data regimes: which real and synthetic samples make the next training set.

Each regime is a pure function of the pool's sizes that chooses indices; nothing is copied.
`sizes[0]` is the size of the real training set, `sizes[g + 1]` the size of what generation g left
in the pool. At generation 0 every regime but `mixture` returns the whole real set, so that
generation 0 is the same in all of them.

A regime is one file of this folder, named like its function, and the file ends by registering the
function (`registry.register`). Everything else asks the registry: the keys of a config, the checks
before a run, forks and the closed forms. Importing a regime does not import torch, so that a config
can be judged without it.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from imglab.regimes.registry import REGIMES as REGIMES
from imglab.regimes.registry import BoundRegime as BoundRegime
from imglab.regimes.registry import PoolSizes as PoolSizes
from imglab.regimes.registry import Regime as Regime

if TYPE_CHECKING:  # the names that type checkers and editors look for
    from imglab.regimes.accumulate import accumulate as accumulate
    from imglab.regimes.accumulate_subsample import accumulate_subsample as accumulate_subsample
    from imglab.regimes.fresh_data import fresh_data as fresh_data
    from imglab.regimes.mix import mix as mix
    from imglab.regimes.mixture import mixture as mixture
    from imglab.regimes.real_only import real_only as real_only
    from imglab.regimes.replace import replace as replace
    from imglab.regimes.sliding_window import sliding_window as sliding_window
    from imglab.regimes.synthetic_augmentation import (
        synthetic_augmentation as synthetic_augmentation,
    )

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

# `imglab.regimes.mix` is the function, not the file of the same name.
globals().update(REGIMES)
