"""What the training of every network shares: how many steps, how fast, on which samples, and its checkpoint."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from imglab import distributed, seeds
from imglab.config.section import TrainingPlan
from imglab.errors import DIVERGED, InputError, Problem, Stopped
from imglab.samples import Samples, TrainingSet

WARMUP = 0.05
HELD = 1 / 8
"""Share of the memory where a network is trained that a training set may take there, as one tensor; larger ones stay
where they are, memory-mapped, and are read batch by batch."""


def new_accelerator() -> Accelerator:
    """Return what places networks on devices and joins processes; precision is the models' own affair."""
    return Accelerator(mixed_precision="no")


def device() -> torch.device:
    """Return where networks are trained and drawn from."""
    found: torch.device = new_accelerator().device
    return found


def prepared(accelerated: Accelerator, network: nn.Module, optimizer: Any) -> tuple[nn.Module, Any]:
    """Return network and optimizer, ready to train: joined with those of the other processes, if there are any."""
    if distributed.world_size() == 1 or distributed.is_sharded():
        return network.to(accelerated.device), optimizer
    made: tuple[nn.Module, Any] = accelerated.prepare(network, optimizer)
    return made


def unwrapped(accelerated: Accelerator, network: nn.Module) -> nn.Module:
    """Return the network that `prepared` was given, with nothing of other processes or of a compiler around it."""
    made: nn.Module = accelerated.unwrap_model(network, keep_torch_compile=False)
    return made


def divided(network: nn.Module, *, by_block: bool = True) -> nn.Module:
    """Return what is trained in a network's place: itself or, with FSDP, a copy whose weights lie in parts.

    Of each weight every process has a part, and so of its gradient, its moments and its average; a block of layers is
    put together while it works (Zhao et al. 2023, 2304.11277). `gathered` gives the whole network back.

    by_block  False where the network uses parts of its blocks from outside: then it is put together as a whole
    """
    if not distributed.is_sharded():
        return network
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    where = device()
    mesh = init_device_mesh(where.type, (distributed.world_size(),))
    made: nn.Module = copy.deepcopy(network.cpu()).to(where)
    made = made.to(memory_format=torch.contiguous_format)  # what lies otherwise cannot be divided
    for block in _blocks(made) if by_block else ():
        fully_shard(block, mesh=mesh)
    fully_shard(made, mesh=mesh)
    return made


def gathered(trained: nn.Module, network: nn.Module) -> nn.Module:
    """Return the network that `divided` was given, with what was learned in its place."""
    if trained is network:
        return network
    learned = {**dict(trained.named_parameters()), **dict(trained.named_buffers())}
    with torch.no_grad():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            tensor.copy_(full_tensor(learned[name]))
    return network.to(device())


def full_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor of which every process may have a part, put together; all have to ask for it."""
    found: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found


def _led(tensor: Tensor) -> Tensor:
    return tensor.cpu() if distributed.is_main() else tensor.new_empty(0)


def _blocks(network: nn.Module) -> list[nn.Module]:
    """Return the members of a network's outermost lists of layers."""
    found: list[nn.Module] = []
    for inner in network.children():
        found += (
            [each for each in inner if each is not None]
            if isinstance(inner, nn.ModuleList)
            else _blocks(inner)
        )
    return found


def _fill(tensor: Any, value: Tensor) -> Any:
    """Copy a whole value into a tensor of which this process may have a part; return the tensor."""
    if hasattr(tensor, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(value.to(tensor.device), tensor.device_mesh, tensor.placements)
    return tensor.copy_(value)


def check_norm(norm: Tensor, seen: int) -> None:
    """Raise Stopped, before a step that would spoil the weights, where the gradient has no finite norm."""
    found = float(full_tensor(norm))
    if not math.isfinite(found):
        raise Stopped(f"the gradient became {found} after {seen} samples; {DIVERGED}")


def batch_shard(n: int) -> tuple[slice, float]:
    """Return this process's rows of a batch of n, and the weight that makes gradients' mean over processes that of all.

    The gradients of several processes are averaged; a mean loss over `rows`, times `weight`, then gives the gradient of
    the mean loss over the whole batch.
    """
    rows = distributed.shard(n)
    check_batch(n)
    return slice(rows.start, rows.stop), len(rows) * distributed.world_size() / n


def check_batch(n: int) -> None:
    """Raise InputError unless every process gets something of a batch of n."""
    if n < distributed.world_size():
        what = f"{n} cannot be shared out to {distributed.world_size()} processes"
        raise InputError(
            Problem("model.training.batch", what, "as many as processes, or more; fine_tuning too")
        )


def mean_loss(loss: float) -> float:
    """Return the mean over processes of a loss that `batch_shard` has weighted: the loss of the whole batch."""
    found = distributed.all_gather(loss)
    return sum(found) / len(found)


def step_count(plan: TrainingPlan, examples: int, budget: float) -> int:
    """Return the steps that spend a budget of examples, or the plan's epochs over them; at least one."""
    return max(1, round((plan.epochs * examples if plan.epochs else budget) / plan.batch))


def learning_rate_factor(done: float, plan: TrainingPlan) -> float:
    """Share of the learning rate at this share of the steps."""
    if done < WARMUP:
        return (done + 1e-3) / WARMUP
    if plan.decay == "none":
        return 1.0
    return 0.55 + 0.45 * math.cos(math.pi * (done - WARMUP) / (1 - WARMUP))


def set_learning_rate(optimizer: torch.optim.Optimizer, done: float, plan: TrainingPlan) -> None:
    """Set the learning rate for this share of the steps."""
    for group in optimizer.param_groups:
        group["lr"] = plan.learning_rate * learning_rate_factor(done, plan)


class Batches:
    """Batches by step: permutations of the training set, one after the other, each from (seed, epoch).

    With `join` above 1 an example is that many successive samples, and where the first one begins moves from epoch
    to epoch; a batch then has `join` rows for each example, in order.
    """

    def __init__(self, train: TrainingSet, size: int, seed: int, *, join: int = 1) -> None:
        where = device()
        self._train = train
        self._held = _on(where, train.all()) if train.nbytes < HELD * _memory(where) else None
        self._size, self._seed, self._join = size, seed, join
        self._orders: dict[int, Tensor] = {}

    @property
    def examples(self) -> int:
        """How many examples an epoch has."""
        return max(1, len(self._train) // self._join)

    def __getitem__(self, step: int) -> Samples:
        n, first = self.examples, step * self._size
        places = torch.arange(first, first + self._size)
        epochs = places // n
        starts = torch.cat(
            [
                self._order(epoch)[places[epochs == epoch] % n]
                for epoch in torch.unique(epochs).tolist()
            ]
        )
        rows = (starts[:, None] + torch.arange(self._join)) % len(self._train)
        return (
            self._train.rows(rows.flatten()) if self._held is None else self._held[rows.flatten()]
        )

    def _order(self, epoch: int) -> Tensor:
        """Return the first rows of the examples of an epoch."""
        if epoch not in self._orders:
            kept = {last: order for last, order in self._orders.items() if last == epoch - 1}
            generator = seeds.generator(self._seed, "epoch", epoch)
            order = torch.randperm(self.examples, generator=generator) * self._join
            if self._join > 1:
                order += torch.randint(self._join, (1,), generator=generator)
            self._orders = {**kept, epoch: order}
        return self._orders[epoch]


def _on(where: torch.device, samples: Samples) -> Samples:
    condition = None if samples.condition is None else samples.condition.to(where)
    return Samples(samples.data.to(where), condition, samples.origin, samples.source)


def _memory(where: torch.device) -> int:
    """Bytes of memory that a device has."""
    if where.type == "cuda":
        return int(torch.cuda.mem_get_info(where)[1])
    return (
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if hasattr(os, "sysconf")
        else 8 << 30
    )


def fit_state(step: int, weights: Mapping[str, Tensor], optimizer: Any) -> dict[str, Tensor]:
    """Everything that the rest of a fit depends on; noise and order follow from (seed, step) alone.

    Of weights that lie in parts the process that leads has all, one put together after the other; others get nothing.
    """
    moments = optimizer.state_dict()["state"]
    state = {f"weights.{name}": tensor.detach() for name, tensor in weights.items()}
    state |= {
        f"optimizer.{at}.{name}": tensor
        for at, found in moments.items()
        for name, tensor in found.items()
    }
    if distributed.is_sharded():
        state = {name: _led(full_tensor(tensor)) for name, tensor in state.items()}
    return {"step": torch.tensor(step), **state}


def restore_fit(
    state: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    trained: Sequence[nn.Parameter],
    optimizer: Any,
) -> int:
    """Take back what `fit_state` gave; `trained` are the optimizer's parameters. Return the step to go on with."""
    with torch.no_grad():
        for name, tensor in weights.items():
            _fill(tensor, state[f"weights.{name}"])
    moments: dict[int, dict[str, Tensor]] = {at: {} for at, _ in enumerate(trained)}
    for key, tensor in state.items():
        if key.startswith("optimizer."):
            _, number, moment = key.split(".")
            like = trained[int(number)].detach()
            # The fused optimizer walks through memory: moments must lie as their weights do (channels last).
            kept = (
                torch.empty_like(like) if tensor.shape == like.shape else torch.empty_like(tensor)
            )
            moments[int(number)][moment] = _fill(kept, tensor)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return int(state["step"])
