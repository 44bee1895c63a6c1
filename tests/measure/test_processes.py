"""Two processes that share a generation's scores out have the numbers of one."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from imglab import distributed
from imglab.measure import Measure, floors
from imglab.metrics import points, split_gaussians, splits, strips, tiles
from imglab.samples import Samples
from tests.measure.test_measure import gaussian
from tests.metrics.references import normal
from tests.text_fixtures import finish as result


def scores_of(seed: int) -> dict[str, Any]:
    """Score a set in many strips, with the floor of a large pool, most of it estimated."""
    points.SMALL = 0
    tiles.TILE = 16
    split_gaussians.NARROW = 2
    sizes: dict[str, Any] = {"most": 100}
    vars(floors)["steps_before"] = partial(splits.steps_before, **sizes)
    vars(floors)["split_scores"] = partial(splits.split_scores, **sizes, whole=3)
    measure = Measure(gaussian(dimensions=3, n=120), floor_splits=6)
    result(measure.prepare())
    samples = Samples.drawn(normal(90, 3, seed).float())
    scores = result(measure.scores(samples, samples.data))
    return {**scores.values, "floor": dict(scores.floor)}


def score_in_process(rank: int, folder: str, queue: Any) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/sync", rank=rank, world_size=2
    )

    class Processes:
        num_processes = 2
        process_index = rank
        is_main_process = rank == 0

    distributed._processes = Processes()
    queue.put(scores_of(5))
    distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_score_what_one_does(tmp_path, monkeypatch):
    patched = [(points, "SMALL"), (tiles, "TILE"), (split_gaussians, "NARROW")]
    patched += [(floors, "steps_before"), (floors, "split_scores")]
    for module, name in patched:
        monkeypatch.setattr(module, name, getattr(module, name))
    expected = scores_of(5)

    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [
        context.Process(target=score_in_process, args=(rank, str(tmp_path), queue))
        for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    scores = [queue.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert scores == [expected, expected]


def test_strips_are_joined_in_their_order(monkeypatch):
    """Two processes, one after the other, with what each would receive of the other."""
    rows = [slice(start, start + 2) for start in range(0, 8, 2)]
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(4, 5, generator=generator, dtype=torch.float64) ** 9

    def added(numbers):
        total = strips.sums(5)
        for number in numbers:
            part = tiles.Tile(None, None, rows[number], slice(0, 5), values, values)  # type: ignore[arg-type]
            total.add(part, values[number])
        return total

    alone = added(range(4))
    monkeypatch.setattr(strips, "processes", lambda: 2)
    first, second = added([0, 2]), added([1, 3])
    monkeypatch.setattr(distributed, "all_gather", lambda _: [first._strips, second._strips])
    first.gather()
    assert torch.equal(first.values, alone.values)
