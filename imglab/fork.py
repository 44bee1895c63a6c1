"""Forks: a new run that shares another's finished generations and goes on from there under other rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imglab import files, runs
from imglab.config import RunConfig, differences, load_config, validate_config, with_changes
from imglab.errors import InputError, Problem
from imglab.experiment import Experiment, Run, check_folder, config_hash, read_sealed, write_config

FORK = "fork.json"
SHARED_KEYS = ("modality", "measure", "shown", "seed")
"""What the generations that are shared were drawn, shown and measured with."""


def fork(source: str, out: Path, config: Path | None = None, changes: Sequence[str] = ()) -> Run:
    """Make the run directory `out` with the generations of `source`, `RUN@G`, up to G; return the run that goes on.

    Its config is the one at `config`, or else the parent's, with `changes`. The prefix is hard-linked (copied across
    file systems), so that the fork survives the parent's deletion. Called again it returns the same run.
    Raises InputError where G is not finished, or the config differs in what the shared generations depend on.
    """
    parent, g = runs.parse_generation(source)
    stored = read_sealed(parent / "config.yaml")
    wanted = _config(stored, config, changes, where=str(config or source))
    _check(stored, wanted, g, source)
    described = {
        "parent": parent.resolve().name,
        "generation": g,
        "manifest": files.sha256_file(runs.generation_folder(parent, g) / runs.MANIFEST),
        "config": config_hash(stored),
    }
    made = (out / FORK).is_file()
    if made and runs.read_json(out / FORK, tuple(described)) != described:
        raise InputError(Problem(str(out), f"is a fork of something else than {source}", "choose another --out"))
    check_folder(out, FORK, "no fork of this run")
    resolved = wanted.model_copy(update={"threads": stored.threads, "samples": wanted.samples or stored.samples})
    run = Run(resolved, out, where=str(config or source))
    if not made:
        _check_start(run.experiment, parent, g)
        files.make_folder(out.parent)
        files.write_atomically(out, lambda folder: _fill(folder, parent, g, resolved, described))
    return run


def _config(stored: RunConfig, path: Path | None, changes: Sequence[str], where: str) -> RunConfig:
    if path is None:
        return validate_config(with_changes(stored.model_dump(mode="json"), changes), where)
    found = load_config(path, changes)
    if not isinstance(found, RunConfig):
        raise InputError(Problem(where, "holds several chains", "give a config of one"))
    return found


def _check(stored: RunConfig, wanted: RunConfig, g: int, source: str) -> None:
    problems = [
        Problem(f"{source}: {key}", f"the shared generations have {was!r}, the fork {now!r}", "leave it as it was")
        for key, was, now in differences(stored.model_dump(mode="json"), wanted.model_dump(mode="json"))
        if key.split(".")[0] in SHARED_KEYS
    ]
    if wanted.generations <= g + 1:
        what = f"{wanted.generations} leaves nothing to do after generation {g}"
        problems.append(Problem(f"{source}: generations", what, f"--set generations={g + 2} or more"))
    if problems:
        raise InputError(problems)


def _check_start(experiment: Experiment, parent: Path, g: int) -> None:
    """Raise InputError where the fork's first own generation cannot start from the parent's last."""
    if experiment.config.start != "previous" or len(experiment.models) > 1:
        return
    try:
        experiment.models[0].check_start(experiment.load_model(runs.generation_folder(parent, g) / "model"))
    except ValueError as error:
        remedy = "leave the model as it was, or choose start: scratch"
        raise InputError(Problem("model", f"cannot start from generation {g}: {error}", remedy)) from None


def _fill(folder: Path, parent: Path, g: int, config: RunConfig, described: dict[str, object]) -> None:
    folder.mkdir()
    kept = [runs.generation_folder(parent, past) for past in range(g + 1)]
    for source in [*kept, parent / "shared", parent / "environment.json", *sorted(parent.glob(FORK))]:
        name = "fork_parent.json" if source.name == FORK else source.name
        files.link(source, folder / name)
    files.write_json(folder / FORK, described)
    write_config(folder, config)
