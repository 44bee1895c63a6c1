"""Gathers rows in each of several processes and writes what it took; started by torchrun."""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

import torch

from imglab import distributed
from imglab.store.temporaries import temporary_beside

MIB = 2**20

ROUNDS = 12
"""So many that other work hardly disturbs all of them: the quickest round counts."""


def memory() -> int:
    """Return the bytes that are in this process's own memory, without files that it maps."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


def rows_of(rank: int, size: int) -> torch.Tensor:
    """Return as many rows of a kilobyte as rank and size say."""
    values = torch.arange(size // 1024 * 1024, dtype=torch.int64) * (rank + 3)
    return (values >> 7).to(torch.uint8).view(-1, 1024)


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    size = int(sys.argv[2]) * MIB
    distributed.begin()
    distributed.meet_in(partial(temporary_beside, folder / "rows"))
    rank = distributed.rank()
    rows = rows_of(rank, size)
    everything = torch.empty(2 * len(rows), 1024, dtype=torch.uint8)
    torch.distributed.all_gather_into_tensor(everything, rows, group=distributed._group)
    raw = []
    ours = []
    for _ in range(ROUNDS):
        distributed.barrier()
        began = time.perf_counter()
        torch.distributed.all_gather_into_tensor(everything, rows, group=distributed._group)
        raw.append(time.perf_counter() - began)

        distributed.barrier()
        began = time.perf_counter()
        gathered = distributed.gather_rows([rows])
        ours.append(time.perf_counter() - began)
        assert gathered is not None
        assert torch.equal(gathered, everything), "the same bytes"
    del everything, gathered

    # Rows of different numbers, of which only the first process has any, and none at all.
    before = memory()
    gathered = distributed.gather_rows(list(rows.split(100)))
    grown = memory() - before
    assert gathered is not None
    assert torch.equal(gathered[len(rows) :], rows_of(1, size))
    few = distributed.gather_rows([torch.arange(5)[:, None] * 2.5][rank:])
    assert few is not None
    assert few.tolist() == [[2.5 * row] for row in range(5)]
    assert distributed.gather_rows([]) is None

    report = {"raw": min(raw), "ours": min(ours), "grown": grown, "share": size}
    (folder / f"rank{rank}.json").write_text(json.dumps(report))
    distributed.end(done=True)


if __name__ == "__main__":
    main()
    os._exit(0)
