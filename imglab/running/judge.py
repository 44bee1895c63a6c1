"""Score the stored samples of a finished run with further extractors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from imglab.config.schema import RunConfig
from imglab.errors import InputError, Problem
from imglab.images.extractor_settings import JudgeChoice
from imglab.images.modality import ImageModality
from imglab.metrics import Undefined
from imglab.metrics.rank_correlation import spearman_of_defined
from imglab.running.export import read_samples
from imglab.running.places import config_of, modality_of
from imglab.store import files
from imglab.store.faults import check_run
from imglab.store.layout import JUDGES, count_finished
from imglab.store.reading import metric_value, read_metrics

WHERE = "--judge"


def judge(
    run: Path, sections: Sequence[JudgeChoice], changes: Sequence[str] = ()
) -> dict[str, Any]:
    """Score every generation of a finished run; write judges.json and return what it holds.

    sections     extractors as in `modality.judges`; those that train do so on the real training set
    changes      say where the run's data lie now (`places.config_of`)

    generations  for each generation the run's own `fid`, and what each judge says
    agreement    Spearman's correlation of the run's FID and each judge's over the generations
    reasons      why an agreement or a score is undefined

    The manifests of the run do not list the file. Raises InputError if the run is not finished or
    does not hold images.
    """
    rows = read_metrics(run)
    config, modality = _finished_images(run, changes)

    with TemporaryDirectory() as folder:
        judges = modality.judges(sections, WHERE, Path(folder))

    generations = []
    reasons: dict[str, str] = {}
    # The judges see what the run's own scores are about.
    held_out = modality.real(config.measure.reference)
    stage = "samples" if config.measure.samples is None else "evaluation"
    for row in rows:
        g = row["generation"]
        samples = read_samples(run, g, modality, stage)
        scores = judges.metrics(samples, held_out=held_out)
        generations.append({"generation": g, "fid": row["fid"], **scores.values})
        reasons |= {f"{name} {g}": reason for name, reason in scores.reasons.items()}

    agreement = _agreement(generations, reasons)
    result = {"generations": generations, "agreement": agreement, "reasons": reasons}
    files.write_json(run / JUDGES, result)
    return result


def _finished_images(run: Path, changes: Sequence[str]) -> tuple[RunConfig, ImageModality]:
    """Return the config and the data of a run; InputError unless it is a finished one of images."""
    config = config_of(run, changes)
    done = count_finished(run)
    if done < config.generations:
        what = f"{done} of {config.generations} generations are finished"
        raise InputError(Problem(str(run), what, "run the same command again to finish it"))
    check_run(run)

    modality = modality_of(run, config)
    if not isinstance(modality, ImageModality):
        what = f"judges score images; this run has {type(modality).__name__}"
        raise InputError(Problem(str(run), what, "give a run of the modality image"))
    return config, modality


def _agreement(
    generations: Sequence[dict[str, Any]], reasons: dict[str, str]
) -> dict[str, float | None]:
    """Correlate each judge's FID with the run's; add to `reasons` why one is undefined."""
    agreement: dict[str, float | None] = {}
    for name in generations[0]["fid_by_judge"]:
        of_run = [metric_value(row, "fid") for row in generations]
        of_judge = [metric_value(row, f"fid_by_judge.{name}") for row in generations]
        try:
            agreement[name] = spearman_of_defined(of_run, of_judge)
        except Undefined as error:
            agreement[name] = None
            reasons[f"agreement.{name}"] = str(error)
    return agreement
