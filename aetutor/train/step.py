"""One training step: as a few plain lines, and recorded once and replayed on a CUDA GPU."""

import contextlib
import math
import random
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


class Step:
    """Batch in, weights moved, sum of the batch's losses out: () of one player, (P,) of P that take turns.

    `take` makes images (B, C, H, W) of what the source hands out, a player's `lesson` makes losses (B,) of them.
    `whole` is the number of images in the batch, of which a team of `size` processes takes a share each.
    """

    def __init__(self, players: Sequence, take: Callable[[Tensor], Tensor], precision: torch.dtype, size=1):
        self.players, self.take, self.size = players, take, size
        low, where = precision != torch.float32, next(players[0].lesson.parameters()).device.type
        self.precision = torch.autocast(where, precision) if low else contextlib.nullcontext()
        self.micro = None  # images at once, if the whole batch does not fit in the GPU's memory

    def __call__(self, given: Tensor, rate: float, whole: int) -> Tensor:
        self.set_rate(rate)
        totals = []  # of the turns taken: an attempt that runs out of memory in a later one does not undo them
        while True:
            try:
                return self.move(given, whole, totals)
            except torch.cuda.OutOfMemoryError:
                at_once = min(self.micro or whole, whole)  # images
                if at_once == 1 or self.size > 1:  # in a team, the others would wait for the first attempt for ever
                    raise
            # Out here, where the error no longer holds on to the failed attempt's memory.
            self.micro = math.ceil(at_once / 2)
            torch.cuda.empty_cache()
            warnings.warn(
                f"{at_once} images at once do not fit in the GPU's memory: taking {self.micro} at a time, and one"
                " step for the whole batch as before",
                stacklevel=3,
            )

    def set_rate(self, rate: float) -> None:
        for player in self.players:
            set_rate(player.optimiser, rate)

    def zero_grad(self) -> None:
        for player in self.players:
            player.optimiser.zero_grad(set_to_none=True)

    def move(self, given: Tensor, whole: int, totals: list[Tensor] | None = None) -> Tensor:
        x = self.take(given)  # (B, C, H, W)
        totals = [] if totals is None else totals
        # The team's engine takes the mean over processes, so that each has to divide by the mean share of the batch.
        images = x.shape[-4]
        if images == 0 and self.size == 1:  # files that cannot be read
            return torch.zeros((), device=x.device)
        count = whole / self.size if self.size > 1 else images
        for player in self.players[len(totals) :]:
            totals.append(self.turn(player, x, count))
        # On the device: reading it here would stall a GPU at every step.
        return totals[0] if len(totals) == 1 else torch.stack(totals)

    def turn(self, player, x: Tensor, count: float) -> Tensor:
        player.optimiser.zero_grad(set_to_none=True)  # what another left on weights that both move, too
        player.hold(others=True)
        try:
            sums = []
            for part in x.split(self.micro, dim=-4) if self.micro else (x,):
                with self.precision:
                    loss = player.lesson(part)  # (B,), or (M, B) for fit_many's M networks
                if not loss.requires_grad:
                    raise ValueError(player.unreached)
                loss.backward(torch.full_like(loss, 1 / count))  # of the mean over the batch
                sums.append(loss.detach().sum(-1))
        finally:
            player.hold(others=False)
        player.optimiser.step()
        return sum(sums[1:], sums[0])


class Recorded:
    """A step recorded as one CUDA graph: the GPU gets its forty or so small jobs in one call instead of one by one.

    A graph replays what it has seen, at the same addresses. So the batch's index and the learning rate are written
    into tensors that stay where they are; random numbers are drawn anew at each replay, by torch's own generator.
    The first steps, and batches of another length, run as before.
    """

    eager = 3  # steps before recording: libraries set themselves up, and the optimiser makes its averages

    def __init__(self, step: Step, batch: Tensor):
        self.step, self.index = step, torch.empty_like(batch)
        self.taken, self.graph, self.aside = 0, None, torch.cuda.Stream(batch.device)

    def __call__(self, given: Tensor, rate: float, whole: int) -> Tensor:
        if given.shape != self.index.shape or self.taken < 0:  # below 0: it cannot be recorded
            return self.step(given, rate, whole)
        if self.graph is None:
            if self.taken < self.eager:
                return self.prepare(given, rate, whole)
            if not self.record(whole):
                return self.step(given, rate, whole)
        self.index.copy_(given)
        self.step.set_rate(rate)
        self.graph.replay()
        return self.total

    def prepare(self, given: Tensor, rate: float, whole: int) -> Tensor:
        here, before = torch.cuda.current_stream(), host_randomness()
        self.aside.wait_stream(here)
        with torch.cuda.stream(self.aside):
            total = self.step(given, rate, whole)
        here.wait_stream(self.aside)
        self.taken += 1
        if host_randomness() != before:
            self.give_up("it draws random numbers on the CPU, which a recording would repeat")
        return total

    def record(self, whole: int) -> bool:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        self.step.zero_grad()  # so that the gradients are made in the graph's own memory
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        unrecorded = generator.clone_state()
        try:
            with torch.cuda.graph(graph, stream=self.aside):
                self.total = self.step.move(self.index, whole)
        except RuntimeError as error:
            generator.graphsafe_set_state(unrecorded)  # or it would wait for the end of a recording that has failed
            self.give_up(str(error).splitlines()[0])
            return False
        self.graph = graph
        return True

    def give_up(self, why: str) -> None:
        self.taken = -1
        warnings.warn(
            f"the objective cannot be recorded as a CUDA graph ({why}); training runs step by step, slower but alike",
            stacklevel=4,
        )


class FusedAdam(torch.optim.AdamW):
    """AdamW on a CPU, to the same last bit, without the hooks and checks around each step.

    They are there for profilers and for settings that `fit` does not use, and cost as much as a layer of a small
    network. The kernel is the one that AdamW(fused=True) ends in.
    """

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self.param_groups[0]["params"]:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        group = self.param_groups[0]
        weights = [weight for weight in group["params"] if weight.grad is not None]
        states = [self.state[weight] for weight in weights]
        if not all(states):  # the first step makes them
            super().step()
            return
        steps, means, squares = ([state[name] for state in states] for name in ("step", "exp_avg", "exp_avg_sq"))
        torch._foreach_add_(steps, 1)
        settings = {name: group[name] for name in ("lr", "weight_decay", "eps", "amsgrad", "maximize")}
        beta1, beta2 = group["betas"]
        gradients = [weight.grad for weight in weights]
        torch._fused_adamw_(weights, gradients, means, squares, [], steps, beta1=beta1, beta2=beta2, **settings)

    step.hooked = True  # or torch would put the hooks on


def adam(parameters, lr: float, where: torch.device, momentum: float = 0.9) -> torch.optim.Optimizer:
    # Without weight decay AdamW is Adam. "Fused" is one pass over the weights instead of a dozen. A step that is
    # recorded on a GPU reads its learning rate from a tensor.
    parameters, how = list(parameters), {"weight_decay": 0.0, "fused": where.type in ("cuda", "cpu")}
    how["betas"] = (momentum, 0.999)
    if where.type == "cuda":
        return torch.optim.AdamW(parameters, lr=torch.tensor(lr, device=where), capturable=True, **how)
    of_one_type = len({weight.dtype for weight in parameters}) == 1  # which one call of the kernel takes
    return (FusedAdam if where.type == "cpu" and of_one_type else torch.optim.AdamW)(parameters, lr=lr, **how)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def host_randomness() -> tuple:
    numpy = np.random.get_state()  # noqa: NPY002 - whoever uses it, uses that
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), numpy[1].tobytes(), *numpy[2:]
