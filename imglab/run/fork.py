"""Forks: a new run that shares another's finished generations and goes on from there under other rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imglab.config import kinds
from imglab.config.load import load_config, validate_config
from imglab.config.merge import differences, with_changes
from imglab.config.schema import RunConfig
from imglab.config.sections import DensityCuration
from imglab.errors import InputError, Problem
from imglab.model import Density
from imglab.run.build import Experiment
from imglab.run.environment import describe_environment
from imglab.run.run import Run
from imglab.store import files, hashes, layout, reading
from imglab.store.reader import RunFolder
from imglab.store.sealed_config import config_hash, read_sealed, write_config
from imglab.store.verify import check_run

SHARED_KEYS = ("modality", "measure", "shown", "seed")
"""What the generations that are shared were drawn, shown and measured with."""


def fork(source: str, out: Path, config: Path | None = None, changes: Sequence[str] = ()) -> Run:
    """Make the run directory `out` with the generations of `source`, `RUN@G`, up to G; return the run that goes on.

    Its config is the one at `config`, or else the parent's, with `changes`. The prefix is hard-linked (copied across
    file systems), so that the fork survives the parent's deletion. Called again it returns the same run.
    Raises InputError where G is not finished, or the config differs in what the shared generations depend on.
    """
    made = (out / layout.FORK).is_file()
    if made:
        return _again(source, out, config, changes)
    parent, g = reading.parse_generation(source)
    stored = read_sealed(parent / "config.yaml")
    wanted = _config(stored, config, changes, where=str(config or source))
    _check(stored, wanted, g, source)
    if out.exists() and (not out.is_dir() or any(out.iterdir()) or out.resolve() == Path.cwd()):
        raise InputError(
            Problem(str(out), "is there already", "give a fork a new directory with --out")
        )
    described = {
        "parent": parent.resolve().name,
        "generation": g,
        "manifest": files.sha256_file(layout.generation_folder(parent, g) / layout.MANIFEST),
        "config": config_hash(stored),
    }
    resolved = wanted.model_copy(
        update={"threads": stored.threads, "samples": wanted.samples or stored.samples}
    )
    run = Run(resolved, out, where=str(config or source))
    check_run(parent)
    _check_start(run.experiment, parent, g)
    files.make_folder(out.parent)
    files.write_atomically(out, lambda folder: _fill(folder, parent, g, resolved, described))
    return run


def wanted_config(
    source: str, out: Path, config: Path | None = None, changes: Sequence[str] = ()
) -> RunConfig:
    """Return the config of what `fork` makes, or has made."""
    made = (out / layout.FORK).is_file()
    stored = read_sealed((out if made else reading.parse_generation(source)[0]) / "config.yaml")
    return _config(stored, config, changes, where=str(config or source))


def _again(source: str, out: Path, config: Path | None, changes: Sequence[str]) -> Run:
    """Return the fork that was made before; its parent may be gone by now."""
    described = files.read_signed(out / layout.FORK, ("parent", "generation", "manifest"))
    folder, _, number = source.rpartition("@")
    if (Path(folder).resolve().name, number) != (described["parent"], str(described["generation"])):
        what = f"is a fork of {described['parent']}@{described['generation']}, not of {source}"
        raise InputError(Problem(str(out), what, "choose another --out"))
    manifest = layout.generation_folder(Path(folder), int(number)) / layout.MANIFEST
    if manifest.is_file() and files.sha256_file(manifest) != described["manifest"]:
        raise InputError(
            Problem(str(out), f"is a fork of another {source} than this", "choose another --out")
        )
    wanted = _config(read_sealed(out / "config.yaml"), config, changes, where=str(config or source))
    return Run(wanted, out, where=str(config or source))


def _config(stored: RunConfig, path: Path | None, changes: Sequence[str], where: str) -> RunConfig:
    if path is None:
        return validate_config(with_changes(stored.model_dump(mode="json"), changes), where)
    found = load_config(path, changes)
    if not isinstance(found, RunConfig):
        raise InputError(Problem(where, "holds several chains", "give a config of one"))
    return found


def _check(stored: RunConfig, wanted: RunConfig, g: int, source: str) -> None:
    problems = [
        Problem(
            f"{source}: {key}",
            f"the shared generations have {was!r}, the fork {now!r}",
            "leave it as it was",
        )
        for key, was, now in differences(
            stored.model_dump(mode="json"), wanted.model_dump(mode="json")
        )
        if key.split(".")[0] in SHARED_KEYS
    ]
    if wanted.generations <= g + 1:
        what = f"{wanted.generations} leaves nothing to do after generation {g}"
        problems.append(
            Problem(f"{source}: generations", what, f"--set generations={g + 2} or more")
        )
    if wanted.threads not in ("auto", stored.threads):
        what = f"the shared generations used {stored.threads}, the fork asks for {wanted.threads}"
        problems.append(Problem(f"{source}: threads", what, "leave it as it was"))
    if stored.regime != wanted.regime and _uses_fresh(wanted) and _uses_fresh(stored):
        what = "another regime would take fresh data that the shared generations have seen"
        problems.append(
            Problem(f"{source}: regime", what, "use real: resampled, or leave the regime as it was")
        )
    if problems:
        raise InputError(problems)


def _uses_fresh(config: RunConfig) -> bool:
    """Say whether some generation of a run takes fresh real data."""
    regime = kinds.bound_regime(config.regime)

    # A config may leave `samples` to the size of the data; a large number is some share of any.
    left = config.samples or 10**9
    return any(regime.fresh(left, generation=g) for g in range(1, config.generations))


def _check_start(experiment: Experiment, parent: Path, g: int) -> None:
    """Raise InputError where one of the fork's first own generations cannot go on from what is shared."""
    made_with = reading.read_environment(parent).get("base")
    if made_with != describe_environment(experiment.modality, experiment.bases)["base"]:
        what = "the shared generations began with another base model"
        raise InputError(
            Problem("base", what, "leave `base`, `start` and pretrained networks as they were")
        )
    turns, start, stored = len(experiment.models), experiment.config.start, RunFolder(parent)
    drawn = stored.samples(g)
    for h in range(g + 1, min(g + 1 + turns, experiment.config.generations)):
        model = experiment.models[h % turns]
        if model.conditional and drawn.condition is None:
            what = f"trains on classes, which the samples of generation {g} do not have"
            raise InputError(Problem("model", what, "leave the model as it was"))
        source = h % turns if start == "base" else h - turns
        if (
            start == "scratch"
            or not 0 <= source <= g
            or (start == "base" and experiment.bases[h % turns] is not None)
        ):
            continue
        try:
            model.check_start(
                experiment.load_model(layout.generation_folder(parent, source) / "model")
            )
        except ValueError as error:
            remedy = "leave the model as it was, or choose start: scratch"
            raise InputError(
                Problem("model", f"cannot start from generation {source}: {error}", remedy)
            ) from error
    pool = [stored.accepted(past) for past in range(g + 1)]
    left = [
        len(stored.samples(past)) if kept is None else len(kept) for past, kept in enumerate(pool)
    ]
    try:
        sizes = [len(experiment.modality.real("train")), *left]
        experiment.regime(sizes, generation=g + 1, seed=0)
    except ValueError as error:
        what = f"asks the shared generations for more than they have: {error}"
        raise InputError(
            Problem("regime", what, "choose another regime, or ask for less")
        ) from error
    first = experiment.load_model(layout.generation_folder(parent, 0) / "model")
    if isinstance(experiment.config.curate, DensityCuration) and first.ability(Density) is None:
        what = f"generation 0's model, a {type(first).__name__}, knows no density"
        raise InputError(Problem("curate.kind", what, "choose oracle or confidence"))


def _fill(
    folder: Path, parent: Path, g: int, config: RunConfig, described: dict[str, object]
) -> None:
    folder.mkdir()
    kept = [layout.generation_folder(parent, past) for past in range(g + 1)]
    if (parent / "shared").is_dir():  # a repair may have set it aside
        hashes.link(parent / "shared", folder / "shared")
    for source in [*kept, parent / "environment.json", *sorted(parent.glob(layout.FORK))]:
        name = layout.FORK_PARENT if source.name == layout.FORK else source.name
        files.link(source, folder / name)
    files.write_signed(folder / layout.FORK, described)
    write_config(folder, config)
