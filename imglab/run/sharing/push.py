"""Pushing: a run, the model of a generation, or what a generation drew."""

from __future__ import annotations

import tempfile
from pathlib import Path

from imglab.errors import InputError, Problem
from imglab.run.export import export
from imglab.run.sharing.cards import model_card, run_card, samples_card
from imglab.run.sharing.places import CARD, Place
from imglab.store.faults import check_run
from imglab.store.layout import generation_folder
from imglab.store.listing import is_being_written
from imglab.store.reading import parse_generation, read_metrics
from imglab.store.sealed_config import read_sealed


def push(source: str, place: Place, *, samples: bool = False, private: bool = False) -> str:
    """Push RUN, or the model of RUN@G, or its samples; return what was pushed, in a few words.

    samples  of RUN@G: push what the generation drew, as files that other programs read
    private  of the hub: nobody else may see it

    Raises InputError for a run that is damaged or being written, and for what a place refuses.
    """
    run = Path(source)
    g = None
    if not run.is_dir():
        run, g = parse_generation(source)
    if is_being_written(run):
        what = "is being written by another process"
        raise InputError(Problem(str(run), what, "wait for it, or stop it"))
    if samples and g is None:
        what = "a whole run holds its samples already"
        raise InputError(Problem("--samples", what, f"name a generation: {source}@0"))
    check_run(run)

    name = run.resolve().name
    config = read_sealed(run / "config.yaml").model_dump(mode="json")
    rows = read_metrics(run)
    if not rows:
        raise InputError(Problem(str(run), "has no finished generation", "let it run first"))

    if g is None:
        place.put(run, run_card(name, config, rows), "dataset", private=private)
        return f"the run {name}, {len(rows)} generations"
    if samples:
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder) / "samples"
            count = export(source, files)
            card = samples_card(name, g, config, rows, count)
            place.put(files, card, "dataset", private=private)
        return f"{count:,} samples of generation {g} of {name}"

    folder_of_model = generation_folder(run, g) / "model"
    if not folder_of_model.is_dir():
        what = f"generation {g} keeps no model"
        raise InputError(Problem(source, what, "push the run, or its samples"))
    text = ""
    if (folder_of_model / CARD).is_file():
        text = (folder_of_model / CARD).read_text()
    place.put(folder_of_model, model_card(name, g, config, rows, text), "model", private=private)
    return f"the model of generation {g} of {name}"
