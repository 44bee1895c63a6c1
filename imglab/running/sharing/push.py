"""Pushing: a run, the model of a generation, or what a generation drew."""

from __future__ import annotations

import tempfile
from pathlib import Path

from imglab.config.merge import flattened
from imglab.errors import InputError, Problem
from imglab.running.export import export
from imglab.running.sharing.cards import Described
from imglab.running.sharing.places import CARD, Place
from imglab.store.faults import check_run
from imglab.store.layout import generation_folder
from imglab.store.listing import is_being_written, is_run
from imglab.store.reading import parse_generation
from imglab.store.sealed_config import read_sealed


def paths_inside(source: str) -> list[str]:
    """Return the absolute paths in a run's config, which is pushed with a whole run."""
    config = Path(source) / "config.yaml"
    if not config.is_file():
        return []
    values = dict(flattened(read_sealed(config).model_dump(mode="json"))).values()
    return sorted({each for each in values if isinstance(each, str) and each.startswith("/")})


def push(source: str, place: Place, *, samples: bool = False, private: bool = False) -> str:
    """Push RUN, or the model of RUN@G, or its samples; return what was pushed, in a few words.

    samples  of RUN@G: push what the generation drew, as files that other programs read
    private  of the hub: nobody else may see it

    Raises InputError for a run that is damaged or being written, and for what a place refuses.
    """
    run, g = _checked(source, samples=samples)
    described = Described.of(run)
    if g is None:
        place.put(run, described.run_card(), "dataset", private=private)
        return f"the run {described.name}, {len(described.rows)} generations"
    if samples:
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder) / "samples"
            count = export(source, files)
            place.put(files, described.samples_card(g, count), "dataset", private=private)
        return f"{count:,} samples of generation {g} of {described.name}"

    model = generation_folder(run, g) / "model"
    if not model.is_dir():
        what = f"generation {g} keeps no model"
        raise InputError(Problem(source, what, "push the run, or its samples"))
    text = ""
    if (model / CARD).is_file():
        text = (model / CARD).read_text()
    place.put(model, described.model_card(g, text), "model", private=private)
    return f"the model of generation {g} of {described.name}"


def _checked(source: str, *, samples: bool) -> tuple[Path, int | None]:
    """Return the run, and the generation if one is named, that may be pushed."""
    run = Path(source)
    g = None
    if "@" in source and not run.is_dir():
        run, g = parse_generation(source)
    if not is_run(run):
        raise InputError(Problem(str(run), "is not a run directory", "name a run, or RUN@G"))
    if is_being_written(run):
        what = "is being written by another process"
        raise InputError(Problem(str(run), what, "wait for it, or stop it"))
    if samples and g is None:
        what = "a whole run holds its samples already"
        raise InputError(Problem("--samples", what, f"name a generation: {source}@0"))
    check_run(run)
    return run, g
