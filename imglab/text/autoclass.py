"""Makes the n-gram model known to transformers' Auto classes as soon as both packages are imported, and costs nothing.

transformers has no entry points for this, and importing it takes seconds: so it is left to whoever needs it, and the
registration follows its import.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

AWAITED = "transformers.models.auto.modeling_auto"
REGISTERS = "imglab.text.ngram_network"


def register_when_imported() -> None:
    """Import what registers the n-gram model: now if transformers' Auto classes are there, else right after them."""
    if AWAITED in sys.modules:
        importlib.import_module(REGISTERS)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the awaited module as it is, with a loader that goes on to register."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != AWAITED:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        importlib.import_module(REGISTERS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
