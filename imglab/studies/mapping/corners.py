"""Whether the data suffice at all corners of a map, before its first chain runs."""

from __future__ import annotations

from functools import partial

from imglab.config.schema import RunConfig
from imglab.config.shared_problems import SharedProblems
from imglab.errors import ProblemCollector
from imglab.modality import Modality
from imglab.running.build import build_modality, build_regime
from imglab.running.checks import check_sizes
from imglab.store import files
from imglab.studies.mapping.config import MapConfig


def check_corners(asked: MapConfig, config: RunConfig, modality: Modality) -> None:
    """Raise InputError unless the chains at all corners of a map have the samples they need.

    No model is built. Numbers of samples rise or fall along an axis, so that corners suffice.

    config, modality  a chain of the map and its data, which corners with the same data share
    """
    corners = asked.corners()
    shared = SharedProblems(asked.where, "corners", len(corners))
    groups: dict[bytes, list[str]] = {}
    for label, corner in corners.items():
        groups.setdefault(_data_of(corner), []).append(label)

    # Data are built one after the other: all at once may not fit into memory.
    for data, labels in groups.items():
        first = corners[labels[0]]
        place = f"{asked.where}: {labels[0]}"
        of_group: Modality | None = modality
        if data != _data_of(config):
            of_group = shared.run(labels[0], place, partial(_build, first, place))
        if of_group is None:
            continue
        for label in labels:
            place = f"{asked.where}: {label}"
            shared.run(label, place, partial(_check, corners[label], of_group, place))
    shared.finish()


def _build(config: RunConfig, where: str) -> Modality | None:
    collector = ProblemCollector(where)
    modality = collector.run(partial(build_modality, config))
    collector.finish()
    return modality


def _check(config: RunConfig, modality: Modality, where: str) -> None:
    collector = ProblemCollector(where)
    regime = collector.run(partial(build_regime, config))
    collector.run(partial(check_sizes, config, modality, regime))
    collector.finish()


def _data_of(config: RunConfig) -> bytes:
    return files.json_bytes(config.model_dump(mode="json")["modality"])
