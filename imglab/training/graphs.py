"""Steps of a fit that a GPU records once and replays.

A step of a small network is a thousand short operations, and the GPU waits for Python to ask for
each of them. A CUDA graph asks for all of them at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

LossOf = Callable[[Mapping[str, Tensor]], Tensor]
"""The loss of a batch's columns, a scalar."""

WARM_UP = 3
"""Steps before the recording, in which libraries choose and load what they compute with."""

RECORDS = True
"""Whether steps are recorded where they can be; only a comparison switches it off."""

log = logging.getLogger(__name__)


class RecordedGradient:
    """The gradient of a loss, recorded for a batch and replayed for all others.

    All batches have columns of the same names, shapes and types. The operations are those of a
    step that is not recorded, and so is the gradient.
    """

    def __init__(self, weights: Iterable[nn.Parameter]) -> None:
        self._weights = list(weights)
        self._gradients: list[Tensor | None] = []
        self._batch: dict[str, Tensor] = {}
        self._loss: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, loss_of: LossOf, batch: Mapping[str, Tensor]) -> Tensor | None:
        """Leave the gradient of a batch's loss in the weights; return the loss, a scalar.

        Returns None, with no gradients, where the loss cannot be recorded: it asks the GPU for a
        number, say, on which it then depends, or there is too little memory.
        """
        if self._graph is None and RECORDS:
            self._graph = self._record(loss_of, batch)
        if self._graph is None:
            return None

        for name, column in batch.items():
            self._batch[name].copy_(column)
        self._graph.replay()
        for weight, gradient in zip(self._weights, self._gradients, strict=True):
            weight.grad = gradient
        return self._loss

    def _record(self, loss_of: LossOf, batch: Mapping[str, Tensor]) -> torch.cuda.CUDAGraph | None:
        """Record the loss of columns like these and its gradient; None where that cannot be done.

        The numbers that a recording draws are put back: the step draws what it would have drawn.
        """
        device = self._weights[0].device
        drawn = torch.cuda.get_rng_state(device)
        drawn_on_cpu = torch.get_rng_state()
        self._batch = {name: column.to(device, copy=True) for name, column in batch.items()}
        try:
            self._warm_up(loss_of)
            if not torch.equal(drawn_on_cpu, torch.get_rng_state()):
                raise RuntimeError("the loss draws on the CPU, which would be the same each time")
            return self._captured(loss_of)
        except RuntimeError as error:
            self._forget_gradients()
            self._batch = {}
            log.info("steps are not recorded: %s", str(error).partition("\n")[0])
            return None
        finally:
            torch.cuda.set_rng_state(drawn, device)
            torch.set_rng_state(drawn_on_cpu)

    def _warm_up(self, loss_of: LossOf) -> None:
        """Take some steps beside the stream of all other work, as a recording asks for.

        The last one raises RuntimeError where the loss waits for the GPU: a recording that fails
        in the middle leaves torch's memory in disorder.
        """
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        before = torch.cuda.get_sync_debug_mode()
        try:
            with torch.cuda.stream(beside):
                for step in range(WARM_UP):
                    self._forget_gradients()
                    if step == WARM_UP - 1:
                        torch.cuda.set_sync_debug_mode("error")
                    loss_of(self._batch).backward()
        finally:
            torch.cuda.set_sync_debug_mode(before)
        torch.cuda.current_stream().wait_stream(beside)
        self._forget_gradients()

    def _captured(self, loss_of: LossOf) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # Where it fails, the stream of all other work is the current one again.
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
            loss = loss_of(self._batch)
            loss.backward()

        self._loss = loss.detach()
        self._gradients = [weight.grad for weight in self._weights]
        return graph

    def _forget_gradients(self) -> None:
        for weight in self._weights:
            weight.grad = None


class RecordedWork:
    """Work on memory that stays in its place: recorded at the second call, then replayed.

    At the first call libraries choose and load what they compute with, and memory is reserved.
    Work that cannot be recorded is done each time.
    """

    def __init__(self) -> None:
        self._was_done = False
        self._can_be_recorded = True
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, work: Callable[[], None]) -> None:
        """Do the work, the same at each call."""
        if self._graph is None and self._was_done and self._can_be_recorded and RECORDS:
            self._graph = self._recorded(work)
        if self._graph is None:
            work()
            self._was_done = True
        else:
            self._graph.replay()

    def _recorded(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph | None:
        graph = torch.cuda.CUDAGraph()
        try:
            # Where it fails, the stream of all other work is the current one again.
            with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
                work()
        except RuntimeError as error:
            self._can_be_recorded = False
            log.info("steps of Muon are not recorded: %s", str(error).partition("\n")[0])
            return None
        return graph
