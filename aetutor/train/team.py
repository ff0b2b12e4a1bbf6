"""Several processes that train one model together, started by torchrun; or one process alone."""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from aetutor import runtime


class Team:
    # Every process holds the whole model and all images, and takes its share of each batch. Before a step, torch's
    # DistributedDataParallel averages the gradients, so that all take the same step. Alone, a team of one does nothing.

    def __init__(self):
        together = dist.is_available() and dist.is_initialized()
        self.rank, self.size = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)

    def engine(self, lesson: nn.Module, source) -> nn.Module:
        if self.size == 1:
            return lesson
        # An objective may leave a part of the network out. The engine would wait for its gradients unless it is told,
        # and telling it has a price: so we look, with one image, twice, since batch norm cannot do with one.
        (given,) = source.batches([torch.zeros(2, dtype=torch.int64, device=source.home)])
        averages = [buffer.clone() for buffer in lesson.buffers()]
        with runtime.seeded("look"):
            lesson(source.take(given)).sum().backward()
        for buffer, before in zip(lesson.buffers(), averages, strict=True):
            buffer.copy_(before)
        unused = any(weight.grad is None for weight in lesson.parameters() if weight.requires_grad)
        lesson.zero_grad()
        return nn.parallel.DistributedDataParallel(lesson, find_unused_parameters=unused)

    def share(self, index: Tensor) -> Tensor:
        return index[self.rank :: self.size]

    def agree(self, module: nn.Module) -> None:
        # The engine keeps the weights equal, but running averages (of batch norm) only from one step to the next.
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def sum(self, numbers: Tensor) -> Tensor:
        if self.size > 1:
            dist.all_reduce(numbers)
        return numbers

    def draws(self, name: str) -> str:
        # Noise on one process's images must not be the noise on another's.
        return name if self.rank == 0 else f"{name} of process {self.rank}"

    def gather(self, value) -> list:
        if self.size == 1:
            return [value]
        values = [None] * self.size
        dist.all_gather_object(values, value)
        return values
