"""A network in training: its steps, its optimiser and the average of its weights."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from imglab import distributed, seeds
from imglab.errors import DIVERGED, Stopped
from imglab.samples import Samples
from imglab.training.batches import check_batch
from imglab.training.checkpoint import fit_state, restore_fit
from imglab.training.devices import forget_compiled, join_processes, new_accelerator, unwrap
from imglab.training.gradients import add_gradients, has_batch_norm
from imglab.training.graphs import RecordedGradient
from imglab.training.lora import Adapters, merge_adapters, with_adapters
from imglab.training.memory import is_out_of_memory
from imglab.training.optimizer import new_optimizer
from imglab.training.recipe import Recipe
from imglab.training.sharding import full_tensor, gather_model, shard_model
from imglab.training.threads import Threads, split

if TYPE_CHECKING:
    from diffusers.training_utils import EMAModel

    from imglab.model import GenerativeModel

Batch: TypeAlias = Mapping[str, Tensor]
"""What a loss reads in one step: tensors by name, each with one row for each example."""

NO_MEMORY = (
    "there is not enough memory for one example at a time; what was finished is kept. "
    "Use smaller samples or a smaller model"
)
NO_MOMENTS = (
    "there is not enough memory for what the optimiser keeps of each weight; "
    "use a smaller model, or lora"
)
log = logging.getLogger(__name__)


class Objective(Protocol):
    """What a network is trained to do."""

    def batch(self, samples: Samples, step: int) -> Batch:
        """Return what the loss reads of a step's samples, with everything random in it.

        It is drawn for the whole batch at once, from (seed, step): each process, or each part of
        a batch, then takes its rows, and the steps are the same for any number of them.
        """
        ...

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss over the rows of a batch, a scalar; a column `WEIGHT` weighs them.

        network  the one that is trained, perhaps with a wrapper around it: call it as a function
        """
        ...


class Trainer:
    """A network in training, as one process holds it: its weights, their optimiser and average."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, seed: int, *, steps: int, in_threads: bool = False
    ) -> None:
        """Prepare a fit; `in_threads` is explained at `imglab.training.fit.fit`."""
        check_batch(recipe.batch)
        self._recipe = recipe
        self._seed = seed
        self._accelerator = new_accelerator()
        self._parts = 1

        # Adapters are trained in place of the weights, and with FSDP a sharded copy is trained.
        self._whole = _prepare_network(network, recipe, seed)
        learner = shard_model(self._whole, by_block=recipe.shard_blocks)
        if recipe.compile:
            learner.compile()

        self._weights: dict[str, nn.Parameter] = {}
        for name, weight in learner.named_parameters():
            if weight.requires_grad:
                self._weights[name] = weight
        device = self._accelerator.device
        optimizer = new_optimizer(learner, self._weights, recipe, device)
        self._network, self._optimizer = join_processes(self._accelerator, learner, optimizer)

        self._threads = Threads(device)
        keeps_nothing = in_threads and not recipe.compile and not has_batch_norm(learner)
        alone = keeps_nothing and distributed.world_size() == 1
        self._in_threads = alone and len(self._threads) > 1
        self._recorded: RecordedGradient | None = None
        if alone and device.type == "cuda":
            self._recorded = RecordedGradient(self._weights.values())

        self._average: EMAModel | None = None
        decay = recipe.averaging_decay(steps)
        if decay is not None:
            warms_up = recipe.half_life is None
            self._average = _new_average(self._weights.values(), decay, warms_up=warms_up)
            self._average.to(device)

    def backward(self, objective: Objective, batch: Batch, step: int) -> float:
        """Leave the gradient of the batch's mean loss; return this process's share of the loss.

        Where memory runs out, it begins again and works on the batch in twice as many parts. That
        gives the same gradient, except for dropout, where a network has it.
        """
        while True:
            try:
                with seeds.isolated(self._seed, "dropout", step):
                    before = torch.get_rng_state()
                    loss = self._accumulate(objective, batch)
                    if not self._in_threads or torch.equal(before, torch.get_rng_state()):
                        return loss

                # Which thread drew first is chance that no seed fixes.
                self._in_threads = False
            except RuntimeError as error:
                self._use_more_parts(error, _rows(batch))

    def _accumulate(self, objective: Objective, batch: Batch) -> float:
        self._optimizer.zero_grad()
        # A recording keeps the memory of a step: the moments need theirs first.
        if self._recorded is not None and self._optimizer.state:
            loss = self._recorded(partial(self._loss_of_all, objective), batch)
            if loss is not None:
                return float(loss)
            self._recorded = None

        loss_of = partial(self._share_of_loss, objective, batch)
        total = 0.0
        for rows in split(distributed.shard(_rows(batch)), self._parts):
            shares = self._threads.shares(rows)
            if self._in_threads and len(shares) > 1:
                total += add_gradients(self._threads, self._weights.values(), loss_of, shares)
            else:
                loss = loss_of(rows)
                self._accelerator.backward(loss)
                total += float(loss.detach())
        return total

    def _loss_of_all(self, objective: Objective, batch: Batch) -> Tensor:
        return self._share_of_loss(objective, batch, range(_rows(batch)))

    def _share_of_loss(self, objective: Objective, batch: Batch, rows: range) -> Tensor:
        """Return the mean loss of some rows, times their share of the batch.

        Parts add up, and the gradients of several processes are averaged.
        """
        part = {name: column[rows.start : rows.stop] for name, column in batch.items()}
        device = self._accelerator.device.type
        # What a thread casts is not for others: they would share a graph.
        autocast = torch.autocast(
            device, torch.bfloat16, enabled=self._recipe.bf16, cache_enabled=not self._in_threads
        )
        with autocast:
            mean = objective.loss(self._network, part)
        return mean * (len(rows) * distributed.world_size() / _rows(batch))

    def _use_more_parts(self, error: RuntimeError, n: int) -> None:
        """Work on batches of n in more parts after an error of too little memory; raise others."""
        if not is_out_of_memory(error):
            raise error
        if distributed.world_size() > 1:
            raise Stopped(f"{error}; use a smaller batch") from error
        if self._parts >= n:
            raise Stopped(NO_MEMORY) from error

        self._parts = min(2 * self._parts, n)
        self._recorded = None
        log.warning(
            "out of memory in a fit: batches of %d are worked on in %d parts from here on",
            n,
            self._parts,
        )

    def clip_gradient(self, loss: float, *, seen: int) -> None:
        """Scale the gradient down to `max_norm` where it is larger.

        Raises Stopped where gradient or loss are not finite: a step would spoil the weights.

        seen  samples before this step, for the message
        """
        norm = self._accelerator.clip_grad_norm_(self._weights.values(), self._recipe.max_norm)
        _check_finite("gradient", float(full_tensor(norm)), seen)
        _check_finite("loss", loss, seen)

    def update(self, learning_rate: float) -> None:
        """Take one step of the optimiser along the gradient, and go on with the average."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        try:
            self._optimizer.step()
        except RuntimeError as error:
            # The first step makes the moments.
            if is_out_of_memory(error):
                raise Stopped(NO_MOMENTS) from error
            raise

        if self._average is not None:
            self._average.step(self._weights.values())

    def state(self, step: int) -> dict[str, Tensor]:
        """Return the state of a checkpoint after so many steps."""
        return fit_state(step, self._changing(), self._optimizer)

    def restore(self, state: Mapping[str, Tensor] | None) -> int:
        """Take back the state of a checkpoint, if any; return after how many steps it was taken."""
        if state is None:
            return 0
        step = restore_fit(state, self._changing(), self._optimizer)
        if self._average is not None:
            self._average.optimization_step = step
        return step

    def looked_at(
        self, around: Callable[[Any], GenerativeModel] | None
    ) -> Callable[[], GenerativeModel] | None:
        """Return what makes a model of the network as it stands; None where it cannot be copied."""
        if around is None or self._recipe.compile or distributed.world_size() > 1:
            return None
        return lambda: around(self._copy())

    def _copy(self) -> nn.Module:
        """Return a copy of the network, its weights averaged where asked."""
        network = copy.deepcopy(unwrap(self._accelerator, self._network))
        if self._average is not None:
            weights = [weight for weight in network.parameters() if weight.requires_grad]
            self._average.copy_to(weights)
        return network.eval()

    def _changing(self) -> dict[str, Tensor]:
        """Return all tensors that a step changes, by their names in a checkpoint."""
        if self._average is None:
            return dict(self._weights)

        tensors: dict[str, Tensor] = {}
        for name, weight in self._weights.items():
            tensors[f"network.{name}"] = weight
        for number, tensor in enumerate(self._average.shadow_params):
            tensors[f"average.{number}"] = tensor
        return tensors

    def finish(self) -> tuple[nn.Module, Adapters | None]:
        """Return the whole network, its weights averaged where asked, and any adapters in it."""
        if self._average is not None:
            self._average.copy_to(self._weights.values())
        self._recorded = None
        self._optimizer.zero_grad()

        network = gather_model(unwrap(self._accelerator, self._network), self._whole)
        if self._recipe.compile:
            forget_compiled(network)
        if self._recipe.lora is None:
            return network.eval(), None

        adapters = Adapters.of(network)
        return merge_adapters(network).eval(), adapters


def _prepare_network(network: nn.Module, recipe: Recipe, seed: int) -> nn.Module:
    network.train()
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)
    if recipe.lora is None:
        return network
    return with_adapters(network, recipe.lora, seed, recipe.lora_task)


def _new_average(weights: Iterable[nn.Parameter], decay: float, *, warms_up: bool) -> EMAModel:
    # diffusers takes seconds to import, and language models have no average.
    from diffusers.training_utils import EMAModel

    sharded = distributed.is_sharded()
    return EMAModel(weights, decay=decay, use_ema_warmup=warms_up, foreach=not sharded)


def _rows(batch: Batch) -> int:
    return len(next(iter(batch.values())))


def _check_finite(name: str, value: float, seen: int) -> None:
    if not math.isfinite(value):
        raise Stopped(f"the {name} became {value} after {seen} samples; {DIVERGED}")
