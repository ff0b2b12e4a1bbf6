"""Several processes that train one model together, started by torchrun; or one process alone."""

import torch.distributed as dist
from torch import Tensor, nn


class Team:
    # Every process holds the whole model and all images, and takes its share of each batch. Before a step, torch's
    # DistributedDataParallel averages the gradients, so that all take the same step. Alone, a team of one does nothing.

    def __init__(self):
        together = dist.is_available() and dist.is_initialized()
        self.rank, self.size = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)

    def engine(self, lesson: nn.Module) -> nn.Module:
        if self.size == 1:
            return lesson
        # An objective may leave a part of the network out, and torch has to be told that it may.
        return nn.parallel.DistributedDataParallel(lesson, find_unused_parameters=True)

    def share(self, index: Tensor) -> Tensor:
        return index[self.rank :: self.size]

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
