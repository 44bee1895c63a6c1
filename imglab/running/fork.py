"""Forks: a new run that shares another's finished generations and goes on under other rules."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from imglab.config import kinds
from imglab.config.load import load_config, validate_config
from imglab.config.merge import differences, with_changes
from imglab.config.schema import RunConfig
from imglab.errors import InputError, Problem
from imglab.model import Density
from imglab.pool import pool_sizes
from imglab.running.autotune import former_layout, with_layout
from imglab.running.build import Experiment
from imglab.running.checks import asks_generation0
from imglab.running.environment import describe_environment
from imglab.running.keeping import check_goes_on
from imglab.running.parents import changed_parent, check_parent, manifest_of, parent_stays
from imglab.running.resume import with_former_defaults
from imglab.running.run import Run
from imglab.store import files, layout, reading
from imglab.store.faults import check_run
from imglab.store.head import write_head
from imglab.store.inputs import changed_data, or_version
from imglab.store.reader import RunFolder
from imglab.store.sealed_config import (
    as_begun,
    config_hash,
    former_names,
    is_move,
    located,
    read_sealed,
    write_config,
    write_places,
)
from imglab.store.shared_generations import copy_generations

SHARED_KEYS = ("modality", "measure", "shown", "seed")
"""What the generations that are shared were drawn, shown and measured with."""


def fork(
    source: str, out: Path, config: Path | RunConfig | None = None, changes: Sequence[str] = ()
) -> Run:
    """Make the run directory `out` with the generations of `source`, `RUN@G`, up to G.

    Return the run that goes on. Its config is `config`, or the one at this path, or else the
    parent's, with `changes`. The shared generations are copied, so that the fork survives damage to
    its parent, and its deletion; where the file system can, the copies share their blocks. A second
    call returns the same run.

    Raises InputError if G is not finished, the config differs in what they depend on, or the parent
    moves away meanwhile. Nothing is made then.
    """
    if _is_fork(out):
        return _reopen(source, out, config, changes)

    with parent_stays(source):
        return _make(source, out, config, changes)


def _make(source: str, out: Path, config: Path | RunConfig | None, changes: Sequence[str]) -> Run:
    """Make the directory of a fork that was not made before, and return its run."""
    where = _name(source, config)
    parent, g = reading.parse_generation(source)
    stored = read_sealed(parent / "config.yaml")
    wanted = _config(located(parent, stored), config, changes, where)
    problems = list(_find_conflicts(stored, wanted, g, source))
    if problems:
        raise InputError(problems)

    if out.exists() and (not out.is_dir() or any(out.iterdir()) or out.resolve() == Path.cwd()):
        remedy = "give a fork a new directory with --out"
        raise InputError(Problem(str(out), "is there already", remedy))

    # What the shared generations were computed with stays fixed.
    model = with_layout(wanted.model, stored.model, former_layout)
    fixed = {
        "threads": stored.threads,
        "samples": wanted.samples or stored.samples,
        "model": with_layout(model, None, former_layout),
    }
    resolved = wanted.model_copy(update=fixed)
    run = Run(resolved, out, where=where)
    check_run(parent)
    _check_experiment(run.experiment, parent, g)

    described = {
        "parent": parent.resolve().name,
        "generation": g,
        "manifest": files.sha256_file(manifest_of(parent, g)),
        "config": config_hash(stored),
    }
    _write_fork(out, lambda folder: _fill(folder, parent, g, resolved, described))
    return run


def _write_fork(out: Path, fill: Callable[[Path], None]) -> None:
    """Make the directory of a fork; InputError if another process was faster."""
    files.make_folder(out.parent)
    files.remove_temporaries(out.parent, of=out.name)
    try:
        files.write_atomically(out, fill)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        remedy = "give a fork a new directory with --out"
        what = "was made by another process meanwhile"
        raise InputError(Problem(str(out), what, remedy)) from error


def wanted_config(
    source: str, out: Path, config: Path | None = None, changes: Sequence[str] = ()
) -> RunConfig:
    """Return the config of the run that `fork` makes, or has made."""
    if _is_fork(out):
        stored = located(out, read_sealed(out / "config.yaml"))
    else:
        with parent_stays(source):
            run, _ = reading.parse_generation(source)
            stored = located(run, read_sealed(run / "config.yaml"))
    return _config(stored, config, changes, where=str(config or source))


def _is_fork(out: Path) -> bool:
    return (out / layout.FORK).is_file()


def _name(source: str, config: Path | RunConfig | None) -> str:
    """Return what messages call a fork's config."""
    if isinstance(config, Path):
        return str(config)
    return source


def _reopen(source: str, out: Path, config: Path | RunConfig | None, changes: Sequence[str]) -> Run:
    """Return the fork that was made before; its parent may be gone, or have moved, by now."""
    where = _name(source, config)
    described = files.read_signed(out / layout.FORK, ("parent", "generation", "manifest"))
    check_parent(out, source, described)

    stored = located(out, read_sealed(out / "config.yaml"))
    wanted = _config(stored, config, changes, where)
    return Run(wanted, out, where=where)


def _config(
    stored: RunConfig, source: Path | RunConfig | None, changes: Sequence[str], where: str
) -> RunConfig:
    if not isinstance(source, Path):
        tree = (source or stored).model_dump(mode="json")
        return validate_config(with_changes(tree, changes), where)

    config = load_config(source, changes)
    if not isinstance(config, RunConfig):
        raise InputError(Problem(where, "holds several chains", "give a config of one"))
    return with_former_defaults(config, stored)


def _find_conflicts(stored: RunConfig, wanted: RunConfig, g: int, source: str) -> Iterator[Problem]:
    """Find what a fork's config must not change, or must."""
    changes = differences(stored.model_dump(mode="json"), wanted.model_dump(mode="json"))
    for key, before, after in changes:
        if key.split(".")[0] in SHARED_KEYS and not is_move(key, before, after):
            what = f"the shared generations have {before!r}, the fork {after!r}"
            yield Problem(f"{source}: {key}", what, "leave it as it was")

    if wanted.generations <= g + 1:
        what = f"{wanted.generations} leaves nothing to do after generation {g}"
        yield Problem(f"{source}: generations", what, f"--set generations={g + 2} or more")

    if wanted.threads not in ("auto", stored.threads):
        what = f"the shared generations used {stored.threads}, the fork asks for {wanted.threads}"
        yield Problem(f"{source}: threads", what, "leave it as it was")

    if stored.regime != wanted.regime and _uses_fresh(wanted) and _uses_fresh(stored):
        what = "another regime would take fresh data that the shared generations have seen"
        remedy = "use real: resampled, or leave the regime as it was"
        yield Problem(f"{source}: regime", what, remedy)

    # The first model would be one that the fork's own regime does not train.
    begins_with_real = kinds.bound_regime(wanted.regime).begins_with_real()
    if g == 0 and stored.regime != wanted.regime and not begins_with_real:
        what = "chooses generation 0's training set, too, and the shared one has another"
        yield Problem(f"{source}: regime", what, "run it from the start: imglab run CONFIG")


def _uses_fresh(config: RunConfig) -> bool:
    """Say whether some generation of a run takes fresh real data."""
    regime = kinds.bound_regime(config.regime)

    # A config may leave `samples` to the size of the data; a large number is some share of any.
    left = config.samples or 10**9
    return any(regime.fresh(left, generation=g) for g in range(1, config.generations))


def _check_experiment(experiment: Experiment, parent: Path, g: int) -> None:
    """Raise InputError if the fork's own generations cannot go on from the shared ones."""
    stored = RunFolder(parent, load_model=experiment.load_model)
    _check_bases(experiment, parent)
    _check_models(experiment, stored, g)
    _check_regime(experiment, stored, g)
    check_goes_on(experiment, parent, g + 1)
    _check_curator(experiment, stored)


def _check_bases(experiment: Experiment, parent: Path) -> None:
    former = former_names(read_sealed(parent / "config.yaml"), experiment.config)
    present = describe_environment(experiment.modality, experiment.bases, former)
    recorded = reading.read_environment(parent)
    if present["data"] != recorded.get("data"):
        data = changed_data(recorded.get("data"), present["data"])
        what = f"{data} are not those that the shared generations began with"
        remedy = f"name where these lie now{or_version(recorded, present)}"
        raise InputError(Problem("modality", what, remedy))
    if present["base"] != recorded.get("base"):
        what = "the shared generations began with another base model"
        remedy = "leave `base`, `start` and pretrained networks as they were"
        raise InputError(Problem("base", what, remedy))


def _check_models(experiment: Experiment, stored: RunFolder, g: int) -> None:
    """Check the first turn that each model has in the fork."""
    lineage = experiment.lineage
    has_classes = stored.samples(g).condition is not None

    end = min(g + 1 + len(lineage.models), experiment.config.generations)
    for later in range(g + 1, end):
        model = lineage.model(later)
        if model.conditional and not has_classes:
            what = f"trains on classes, which the samples of generation {g} do not have"
            raise InputError(Problem("model", what, "leave the model as it was"))

        origin = lineage.parent(later)
        if origin is None:
            continue

        weights = stored.model(origin)
        try:
            model.check_start(weights)
        except ValueError as error:
            what = f"cannot start from generation {origin}: {error}"
            remedy = "leave the model as it was, or choose start: scratch"
            raise InputError(Problem("model", what, remedy)) from error


def _check_regime(experiment: Experiment, stored: RunFolder, g: int) -> None:
    sizes = pool_sizes(experiment.modality, [stored.size(past) for past in range(g + 1)])
    try:
        experiment.regime(sizes, generation=g + 1, seed=0)
    except ValueError as error:
        what = f"asks the shared generations for more than they have: {error}"
        remedy = "choose another regime, or ask for less"
        raise InputError(Problem("regime", what, remedy)) from error


def _check_curator(experiment: Experiment, stored: RunFolder) -> None:
    """Check generation 0, which its parent drew; `build` has checked the fork's own models."""
    generation0 = stored.model(0)
    if asks_generation0(experiment.config.curate) and generation0.ability(Density) is None:
        name = type(generation0).__name__
        what = f"needs a model of generation 0 that provides log_density; {name} does not"
        raise InputError(Problem("curate.kind", what, "choose oracle or confidence"))


def _fill(
    folder: Path, parent: Path, g: int, config: RunConfig, described: dict[str, object]
) -> None:
    """Fill the folder of a fork with what it takes from its parent, and its own descriptions."""
    folder.mkdir()
    copy_generations(folder, parent, g)

    # Another run may have come to lie where the parent was.
    if files.sha256_file(manifest_of(folder, g)) != described["manifest"]:
        raise InputError(changed_parent(parent))

    files.write_signed(folder / layout.FORK, described)
    write_head(folder)

    # What the parent's environment.json says of pretrained networks holds for its own names.
    begun, places = as_begun(parent, config)
    write_config(folder, begun)
    write_places(folder, places)
