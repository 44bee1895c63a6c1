"""The keys of a config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from imglab.config.curation_sections import CURATIONS
from imglab.config.remedy_sections import REMEDIES, listed
from imglab.config.section import FILE_NAME, PathName, PlugIn, Section, choice, newer_key
from imglab.config.sections import DEFAULT_REGIME, REGIMES, KeepSettings, MeasureSettings


class Named(Section):
    """A config with a name, which is also the name of a folder."""

    name: Annotated[str, Field(pattern=FILE_NAME, max_length=100)]
    """Name of the run, and of its directory in runs/."""


class RunConfig(Named):
    """One chain. `modality` and `model` hold the sections of the kinds that they name."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the chain: the same config with the same seed gives the same bytes."""
    generations: Annotated[int, Field(ge=1, le=32_000)] = 6
    """How many generations the chain has, generation 0 included."""
    regime: choice(*REGIMES, plug_in=True) = DEFAULT_REGIME  # type: ignore[valid-type]
    """Which real and synthetic samples make the next training set."""
    curate: choice(*CURATIONS, plug_in=True) | None = None  # type: ignore[valid-type]
    """Which of the samples drawn go on to the pool. Default: all of them."""
    remedy: Annotated[
        list[choice(*REMEDIES, plug_in=True)],  # type: ignore[valid-type]
        BeforeValidator(listed),
        Field(max_length=16),
    ] = newer_key([])
    """What changes how generations are fitted or drawn: one remedy, or a list that is applied in
    order. Default: none."""
    start: Literal["previous", "base", "scratch"] = "previous"
    """Whose weights each fit starts from: those of the previous generation, those of `base` (or of
    a pretrained model), or new ones."""
    base: PathName | None = None
    """Folder of the model that generation 0 starts from: the model/ folder of a generation."""
    samples: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """How many samples each generation leaves in the pool. Default: the size of the real training
    set."""
    shown: Annotated[int, Field(ge=1, le=1024)] = 64
    """How many samples are drawn to be looked at, from the same noise in every generation."""
    pictures: Literal["each", "last"] | None = newer_key(None)
    """Whether every generation has its picture, in its folder, or only the last one, in the run's.
    Default: `last` for vectors and categories, whose picture costs more than a generation; `each`
    for anything else."""
    checkpoint_every: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """A fit writes a checkpoint whenever it has seen this many samples. Without it, a fit that is
    interrupted starts again."""
    keep: KeepSettings = newer_key(KeepSettings())
    """What of each generation stays on disk. Default: everything."""
    tracker: Literal["tensorboard", "wandb", "mlflow", "trackio"] | None = None
    """Where metrics are sent as generations finish. A tracker that fails does not stop the run."""
    threads: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = "auto"
    """How many threads compute on the CPU. `auto`: OMP_NUM_THREADS, or one for each processor that
    the process may use."""
    modality: SerializeAsAny[Section | PlugIn]
    """The kind of data, with its settings."""
    model: SerializeAsAny[Section | PlugIn]
    """The generative model, with its settings."""
    measure: MeasureSettings = MeasureSettings()
    """What generations are compared with, and how."""


@dataclass(frozen=True)
class SideBySideConfig:
    """Several chains under common settings, by name."""

    name: str
    chains: Mapping[str, RunConfig]


class InstalledPlugIn(PlugIn):
    """A section whose `kind` is the name of another package's entry point."""

    kind: str


def is_chain_name(name: object) -> bool:
    """Say whether this can name a chain, and so its directory."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name) is not None


def by_prefix(config: RunConfig | SideBySideConfig) -> Mapping[str, RunConfig]:
    """Return the chains of a config by what stands before their keys in its file."""
    if isinstance(config, SideBySideConfig):
        return {f"chains.{name}.": chain for name, chain in config.chains.items()}
    return {"": config}
