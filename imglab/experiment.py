"""From a validated config to built objects, and from those to a run in its directory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from imglab import files, plugins, regimes
from imglab.config import (
    MixSettings,
    RunConfig,
    differences,
    dump_config,
    load_config,
    parse_yaml,
    plug_ins,
    validate_config,
)
from imglab.environment import available_cores, describe_environment
from imglab.errors import InputError, Problem
from imglab.loop import Generation, chain_events
from imglab.measure import Measure
from imglab.modality import GenerativeModel, Modality, Progress
from imglab.settings import PlugIn
from imglab.store import DiskStore

T = TypeVar("T")
RUNS = Path("runs")


@dataclass(frozen=True)
class Experiment:
    """A config and all that it builds: ready to run, nothing written yet."""

    config: RunConfig
    modality: Modality
    model: GenerativeModel
    regime: regimes.Regime
    base: GenerativeModel | None

    @property
    def samples(self) -> int:
        """How many samples each generation draws."""
        return self.config.samples or len(self.modality.real("train"))

    def measure(self, cache: Path | None = None) -> Measure:
        """Return what scores the generations."""
        return Measure(self.modality, **self.config.measure.model_dump(), cache=cache)


def build(config: RunConfig, where: str) -> Experiment:
    """Build what a config names; InputError holds every problem that its data show."""
    experiment = _build(config, where, foreign={})
    assert experiment is not None
    return experiment


def check(config: RunConfig, where: str) -> list[str]:
    """Check a config's data without importing what it names of other packages; return what stays unchecked."""
    foreign = plug_ins(config)
    _build(config, where, foreign)
    unchecked = [f"{key} ({kind})" for key, kind in foreign.items()]
    if {"modality", "modality.extractor"} & set(foreign):
        unchecked.append("the data, the model and the sizes that depend on them")
    return unchecked


def _build(config: RunConfig, where: str, foreign: Mapping[str, str]) -> Experiment | None:
    torch.set_num_threads(resolved_threads(config))
    attempts, model, base, modality, regime = _Attempts(where), None, None, None, None
    if "regime" not in foreign:
        regime = attempts.run(lambda: build_regime(config))
    if not {"modality", "modality.extractor"} & set(foreign):
        modality = attempts.run(lambda: build_modality(config))
    if modality is not None:
        attempts.run(lambda: _check_sizes(config, modality))
        if "model" not in foreign:
            model = attempts.run(lambda: build_model(config, modality))
    if model is not None:
        base = attempts.run(lambda: _load_base(config, model))
    attempts.finish()
    if modality is None or model is None or regime is None:
        return None
    return Experiment(config, modality, model, regime, base)


def build_modality(config: RunConfig) -> Modality:
    """Build the modality that a config names."""
    section = config.modality
    if isinstance(section, PlugIn):
        return plugins.build_plug_in(plugins.located(section, "imglab.modalities"), Modality, "modality")
    return plugins.build(section, plugins.MODALITIES, Modality)


def build_model(config: RunConfig, modality: Modality) -> GenerativeModel:
    """Build the model that a config names, for its modality."""
    section = config.model
    if isinstance(section, PlugIn):
        found = plugins.located(section, "imglab.models")
        return plugins.build_plug_in(found, GenerativeModel, "model", modality=modality)
    return plugins.build(section, plugins.MODELS, GenerativeModel, modality)


def build_regime(config: RunConfig) -> regimes.Regime:
    """Return the regime that a config names, with its keys bound."""
    section = config.regime
    if isinstance(section, PlugIn):
        bound: regimes.Regime = plugins.bind_function(section, "regime", {"sizes", "generation", "seed"})
        return bound
    keys = section.model_dump(exclude={"kind"})
    return partial(getattr(regimes, section.kind), **keys)


def resolved_threads(config: RunConfig) -> int:
    """Return the thread count, `auto` being one for each processor that this process may use."""
    return available_cores() if config.threads == "auto" else config.threads


class _Attempts:
    """Goes on after a problem, so that all of them can be told at once."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._problems: list[Problem] = []

    def run(self, attempt: Callable[[], T]) -> T | None:
        try:
            return attempt()
        except InputError as error:
            self._problems += error.problems
            return None

    def finish(self) -> None:
        if self._problems:
            named = [Problem(f"{self._where}: {found.where}", found.what, found.remedy) for found in self._problems]
            raise InputError(named)


def _load_base(config: RunConfig, model: GenerativeModel) -> GenerativeModel | None:
    if config.base is None:
        return None
    if config.start == "scratch":
        raise InputError(Problem("base", "start: scratch uses no base", "leave it out, or choose start: base"))
    path = Path(config.base)
    if not path.is_dir():
        raise InputError(Problem("base", f"there is no folder {config.base!r}", "give a model/ folder of a generation"))
    try:
        return model.check_start(type(model).load(path))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        what = f"{config.base!r} does not open as a {type(model).__name__}: {error}"
        raise InputError(Problem("base", what, "give a model/ folder of a generation")) from None


def _check_sizes(config: RunConfig, modality: Modality) -> None:
    real, test = len(modality.real("train")), len(modality.real("test"))
    drawn = config.samples or real
    problems = []
    if test < 2:
        problems.append(
            Problem("modality", f"metrics need at least 2 test samples, there are {test}", "keep more apart")
        )
    reference = test if config.measure.reference == "test" else real
    for key in ("precision_recall_k", "density_coverage_k"):
        k, fewest = getattr(config.measure, key), min(reference, drawn)
        if k >= fewest:
            what = f"{k} neighbours need more than {k} samples on both sides, there are {fewest}"
            problems.append(Problem(f"measure.{key}", what, f"at most {fewest - 1}" if fewest > 1 else "add samples"))
    if isinstance(config.regime, MixSettings):
        problems += _check_mix(config.regime, config.generations, real, drawn, modality.fresh_available())
    if problems:
        raise InputError(problems)


def _check_mix(regime: MixSettings, generations: int, real: int, drawn: int, fresh: int | None) -> Iterator[Problem]:
    kept = regimes.real_share_size(drawn, regime.real_fraction)
    if regime.real == "fresh":
        needed = kept * (generations - 1)
        if fresh is not None and needed > fresh:
            what = f"{generations - 1} generations need {needed} fresh real samples, {fresh} are kept apart"
            yield Problem("regime.real", what, "keep more apart (images: modality.n_fresh), or use real: resampled")
    elif kept > real:
        yield Problem("regime.real_fraction", f"asks for {kept} real samples, there are {real}", "lower it, or samples")


class Run:
    """A run directory and what continues it. Making one checks everything and writes nothing."""

    def __init__(self, config: RunConfig, out: Path | None = None, *, where: str = "config") -> None:
        """Check `config`, its data and the directory `out` (default: runs/<name>)."""
        self.folder = out or RUNS / config.name
        self.experiment = build(resolve(config, self.folder, where), where)

    @classmethod
    def from_file(cls, path: Path | str, out: Path | str | None = None, changes: Sequence[str] = ()) -> Run:
        """Check the config at `path` with `key.sub=value` changes; raises InputError."""
        config = load_config(Path(path), changes)
        return cls(config, Path(out) if out else None, where=str(path))

    def events(self) -> Iterator[Progress | Generation]:
        """Run the chain, or the rest of it: yield Progress within stages and a Generation after each."""
        experiment, config = self.experiment, self.experiment.config
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                Problem(str(self.folder), f"cannot be made: {error.strerror}", "choose another --out")
            ) from None
        with DiskStore(self.folder, load_model=type(experiment.model).load) as store:
            resolve(config, self.folder, str(self.folder))  # again, now that nobody else can write
            resolved = config.model_copy(update={"samples": experiment.samples})
            write_config(self.folder, resolved)
            environment = describe_environment(experiment.modality)
            store.begin(config=config_hash(resolved), environment=environment)
            shared = self.folder / "shared"
            shared.mkdir(exist_ok=True)
            with store.timed(stage="prepare"):
                experiment.modality.prepare(shared)
            yield from store.logged(
                chain_events(
                    experiment.modality,
                    experiment.model,
                    experiment.regime,
                    generations=config.generations,
                    samples=experiment.samples,
                    start=config.start,
                    base=experiment.base,
                    shown=config.shown,
                    seed=config.seed,
                    checkpoint_every=config.checkpoint_every,
                    measure=experiment.measure(cache=shared),
                    store=store,
                )
            )

    def generations(self) -> Iterator[Generation]:
        """Run the chain, or the rest of it, and yield each generation as it is finished."""
        return (event for event in self.events() if isinstance(event, Generation))


def resolve(config: RunConfig, folder: Path, where: str) -> RunConfig:
    """Fix what a config leaves open (`auto`), the way that the run in `folder` fixed it if there is one.

    Raises InputError unless `folder` is free, or holds this very run.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(Problem(str(folder), "is a file, not a directory", "choose another --out"))
    path = folder / "config.yaml"
    if not path.exists():
        if folder.is_dir() and any(not found.name.startswith(".") for found in folder.iterdir()):
            raise InputError(Problem(str(folder), "is not empty and not a run directory", "choose another --out"))
        return config.model_copy(update={"threads": resolved_threads(config)})
    stored = read_sealed(path)
    changes = differences(stored.model_dump(mode="json"), config.model_dump(mode="json"))
    found = [change for change in changes if not _harmless(*change)]
    if found:
        raise InputError(
            Problem(f"{folder}: {key}", f"the run there has {was!r}, {where} has {now!r}", "choose another --out")
            for key, was, now in found
        )
    return config.model_copy(update={"threads": stored.threads, "samples": stored.samples})


def _harmless(key: str, before: Any, after: Any) -> bool:
    if key == "generations":
        return bool(after > before)
    return key == "checkpoint_every" or (key, after) in (("threads", "auto"), ("samples", None))


def write_config(folder: Path, config: RunConfig) -> None:
    """Write config.yaml under a line with the sha256 of the rest."""
    text = dump_config(config)
    seal = hashlib.sha256(text.encode()).hexdigest()
    files.write_bytes(folder / "config.yaml", f"# sha256 of what follows: {seal}\n{text}".encode())


def read_sealed(path: Path) -> RunConfig:
    """Read what `write_config` wrote; InputError where it was changed since."""
    seal, _, text = path.read_text(errors="replace").partition("\n")
    if seal.rpartition(" ")[2] != hashlib.sha256(text.encode()).hexdigest():
        remedy = "put it back, or run the changed config with another --out"
        raise InputError(Problem(str(path), "was changed after the run wrote it", remedy))
    return validate_config(parse_yaml(text, str(path)), str(path))


def config_hash(config: RunConfig) -> str:
    """Return the sha256 of what a generation depends on; keys that change no byte of it are left out."""
    tree = config.model_dump(mode="json", exclude={"generations", "checkpoint_every"})
    return hashlib.sha256(files.json_bytes(tree)).hexdigest()
