"""The keys of a config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny

from imglab.config.section import PathName, PlugIn, Section, choice
from imglab.config.sections import CURATIONS, REGIME_SECTIONS, REGIMES, MeasureSettings


class Named(Section):
    """What has a name that is also a folder's."""

    name: Annotated[str, Field(pattern=r"^[^./\\\p{C}][^/\\\p{C}]*$", max_length=100)]


class RunConfig(Named):
    """One chain. `modality` and `model` hold the sections of the kinds that they name."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    generations: Annotated[int, Field(ge=1, le=32_000)] = 6
    regime: choice(*REGIMES, plug_in=True) = REGIME_SECTIONS["replace"]()  # type: ignore[valid-type]
    curate: choice(*CURATIONS, plug_in=True) | None = None  # type: ignore[valid-type]
    """Which of the samples drawn go on to the pool."""
    start: Literal["previous", "base", "scratch"] = "previous"
    base: PathName | None = None
    samples: Annotated[int, Field(ge=1, le=10**9)] | None = None
    shown: Annotated[int, Field(ge=1, le=1024)] = 64
    checkpoint_every: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Samples seen in a fit between checkpoints in the middle of it; without it, a fit that is cut starts again."""
    tracker: Literal["tensorboard", "wandb", "mlflow", "trackio"] | None = None
    """Where metrics are sent as generations finish; one that fails stops nothing."""
    threads: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    modality: SerializeAsAny[Section | PlugIn]
    model: SerializeAsAny[Section | PlugIn]
    measure: MeasureSettings = MeasureSettings()


@dataclass(frozen=True)
class SideBySideConfig:
    """Several chains under common settings, by name."""

    name: str
    chains: Mapping[str, RunConfig]


class InstalledPlugIn(PlugIn):
    """A section whose `kind` is the name of another package's entry point."""

    kind: str


def is_chain_name(name: object) -> bool:
    """Say whether this can name a chain, and so a directory."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name) is not None
