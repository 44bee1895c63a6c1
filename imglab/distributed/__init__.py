"""Several processes that run one chain together, and their launchers.

Most runs have one process; `torchrun` or `accelerate launch` starts several, which go through the
same steps. The main process alone writes files and prints to the terminal. The samples to draw and
the features to take are sharded by index and gathered again, so that every process has all of them.

Torch is not imported before `begin` joins several processes.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from imglab.distributed.launcher import launched as launched

if TYPE_CHECKING:
    import torch
    from accelerate import PartialState
    from torch import Tensor

T = TypeVar("T")

FSDP = "ACCELERATE_USE_FSDP"
"""The variable that accelerate's launcher sets if its config says `distributed_type: FSDP`."""

USE_CPU = "ACCELERATE_USE_CPU"
"""The variable that accelerate's launcher sets for its option `--cpu`."""

TIMEOUT = timedelta(days=1)
"""How long a process waits for another: the main process may prepare for an hour alone."""

_processes: PartialState | None = None
"""The processes that `begin` has joined; None while there is one."""

_group: Any = None
"""The group that carries messages: over the network, not through the memory of accelerators."""

_lend: Callable[[], AbstractContextManager[Path]] | None = None
"""Lends a file for large tensors to pass through; None: the system's temporary folder does."""

_shards_weights = False
"""Whether each process holds a shard of the weights while they are trained."""

_alone = False
"""Whether this process works by itself at the moment, within `main_first`."""

_stopping = False
"""Whether all processes have agreed to stop at the step they have reached."""


def begin() -> None:
    """Join the other processes, if a launcher has started any."""
    global _group, _processes, _shards_weights

    # The lab shards networks itself, on CPUs too, so accelerate must not see the variable.
    _shards_weights = os.environ.pop(FSDP, "").lower() == "true"
    if launched() == 1:
        return

    import torch
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    # On CPUs accelerate joins several processes only if `cpu` is set.
    cpu = not torch.cuda.is_available() or parse_flag_from_env(USE_CPU)
    _processes = PartialState(cpu=cpu, timeout=TIMEOUT)
    _group = torch.distributed.new_group(backend="gloo", timeout=TIMEOUT)


def end(*, done: bool) -> None:
    """Leave the other processes in order, if this one is done or all of them stop.

    A process that fails alone does not call the others, because it would wait for them.
    """
    global _processes

    if _processes is not None and (done or _stopping):
        _processes.destroy_process_group()
        _processes = None


def world_size() -> int:
    """Return how many processes work together at the moment."""
    if _processes is None or _alone:
        return 1
    return int(_processes.num_processes)


def rank() -> int:
    """Return the number of this process among those that work together, from 0."""
    if _processes is None or _alone:
        return 0
    return int(_processes.process_index)


def is_main() -> bool:
    """Say whether this process is the one that writes files and prints to the terminal."""
    return _processes is None or bool(_processes.is_main_process)


def prefix() -> str:
    """Return what precedes a message in the terminal: "" in the main process, else its rank."""
    if _processes is None or is_main():
        return ""
    return f"[process {_processes.process_index}] "


def is_sharded() -> bool:
    """Say whether each process holds a shard of the weights that are trained (FSDP)."""
    return _shards_weights and world_size() > 1


def is_gatherable() -> bool:
    """Say whether full tensors of trained weights can be had here.

    They can if the weights are not sharded, or if all processes stop at one step and gather them.
    """
    return not is_sharded() or _stopping


@contextmanager
def stopping() -> Iterator[None]:
    """Run what comes before all processes stop together, and wait for the other processes."""
    global _stopping
    _stopping = True
    yield
    barrier()  # a launcher ends the others as soon as one has left


def shard(n: int) -> range:
    """Return which of n items, in order, this process works on."""
    return range(rank() * n // world_size(), (rank() + 1) * n // world_size())


def barrier() -> None:
    """Wait until all processes have reached this point."""
    if world_size() > 1:
        _torch_distributed().barrier(group=_group)


def broadcast(value: T) -> T:
    """Return the value that the main process has."""
    if world_size() == 1:
        return value

    values = [value]
    _torch_distributed().broadcast_object_list(values, src=0, group=_group)
    return values[0]


def any_process(flag: bool) -> bool:
    """Say whether the flag is set in any process."""
    return any(all_gather(flag))


def all_gather(value: T) -> list[T]:
    """Return the value of each process, in the order of the ranks."""
    if world_size() == 1:
        return [value]

    values: list[Any] = [None] * world_size()
    _torch_distributed().all_gather_object(values, value, group=_group)
    return values


def meet_in(lend: Callable[[], AbstractContextManager[Path]]) -> None:
    """Let large tensors pass from process to process through files that all processes see.

    lend  lends the path of such a file, which does not exist yet, to the main process
    """
    global _lend
    _lend = lend


def gather_rows(parts: list[Tensor]) -> Tensor | None:
    """Join the rows of all processes, in the order of the ranks; None: there are none at all.

    parts  the rows of this process, tensors of one dtype, [B, ...] each; the list is emptied

    Each process writes its rows into one file and maps all of it, so that it holds its own rows in
    memory and nobody else's. The file has no name any more when this returns. Where the processes
    do not see one folder, the rows are sent to all of them.
    """
    if world_size() == 1:
        return _joined(parts)

    with _file_of_rows() as path:
        rows = _passed_through(path, parts)
        barrier()
    return rows


def _passed_through(path: Path, parts: list[Tensor]) -> Tensor | None:
    """Join the rows of all processes through an empty file."""
    if not all(all_gather(path.exists())):
        arrived = [rows for rows in all_gather(_joined(parts)) if rows is not None]
        return _joined(arrived)

    # What each process has: how many rows, of which shape and dtype.
    counts = all_gather(sum(map(len, parts)))
    kinds = all_gather([(part.shape[1:], part.dtype) for part in parts[:1]])
    described = [kind for of_process in kinds for kind in of_process]
    rows = None
    if described:
        shape, dtype = described[0]
        values = math.prod(shape)
        start = sum(counts[: rank()]) * values * dtype.itemsize
        _write_rows(path, start, parts)
        barrier()
        rows = _mapped(path, (sum(counts), *shape), dtype)
    return rows


@contextmanager
def _file_of_rows() -> Iterator[Path]:
    """Create the file through which rows pass, tell all processes where it is, and remove it."""
    if not is_main():
        yield broadcast(Path())
        return

    lend = _lend or _in_a_folder_of_its_own
    with lend() as path:
        path.touch(0o600)
        try:
            yield broadcast(path)
        finally:
            path.unlink()


@contextmanager
def _in_a_folder_of_its_own() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, "rows")


def _write_rows(path: Path, start: int, parts: list[Tensor]) -> None:
    """Write rows into a file from the byte `start` on, and forget them."""
    import torch

    with path.open("r+b") as file:
        file.seek(start)
        while parts:
            file.write(parts.pop(0).contiguous().view(-1).view(torch.uint8).numpy().data)


def _mapped(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Map the rows in a file; what is written into the tensor stays in this process."""
    import torch

    values = math.prod(shape)
    if not values:
        return torch.empty(shape, dtype=dtype)
    return torch.from_file(str(path), shared=False, size=values, dtype=dtype).view(shape)


def _joined(parts: list[Tensor]) -> Tensor | None:
    """Join the rows of this process and empty the list."""
    import torch

    if not parts:
        return None
    joined = torch.cat(parts)
    parts.clear()
    return joined


@contextmanager
def main_first() -> Iterator[None]:
    """Let the main process go through the block alone, then the others, who find what it wrote.

    Within the block each process works by itself: `world_size` is 1.
    """
    global _alone
    several = world_size() > 1
    if several and not is_main():
        barrier()

    _alone = several
    try:
        yield
    finally:
        _alone = False

    if several and is_main():
        barrier()


def _torch_distributed() -> Any:
    import torch

    return torch.distributed
