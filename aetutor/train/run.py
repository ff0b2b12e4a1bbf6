"""All that training changes, in one place, so that it can be put down and taken up again."""

import copy
import math

import torch
from torch import Tensor, nn

from aetutor import runtime
from aetutor.train.history import History, Row
from aetutor.train.team import Team


class TrainingDiverged(RuntimeError):
    """The loss became infinite or not a number.

    returns    : RuntimeError  the model holds the best weights reached before
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """


class Run:
    """Where a training stands: its network and optimiser, the step it has come to, and the best weights so far."""

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, rates: list[float], steps: int, unit: str):
        self.model, self.optimiser, self.rates, self.steps = model, optimiser, rates, steps
        self.where = next(model.parameters()).device
        self.history, self.best = History(unit=unit), copy.deepcopy(model.state_dict())
        self.epoch, self.step, self.seen, self.seconds, self.stopped = 1, 0, 0, 0.0, ""
        self.losses = torch.zeros(steps, device=self.where)  # sum over the images of each step of this epoch

    @property
    def rate(self) -> float:
        return self.rates[(self.epoch - 1) * self.steps + self.step]

    def note(self, loss: Tensor, images: int) -> None:
        self.losses[self.step] = loss
        self.seen += images
        self.step += 1

    def sound(self) -> bool:
        """Whether nothing has become infinite or not a number since the last epoch ended."""
        return all(value.isfinite().all() for value in (self.losses[: self.step], *self.model.parameters()))

    def end_epoch(self, score: float, seconds: float, team: Team) -> Row:
        sums = team.sum(torch.cat([self.losses, self.losses.new_tensor([self.seen])])).cpu().double()
        losses, seen = sums[:-1], sums[-1]
        row = Row(self.epoch, (losses.sum() / seen).item(), score, seconds)
        self.history.rows.append(row)
        if not (math.isfinite(row.train) and math.isfinite(row.valid)):
            self.history.stopped = "diverged"
            broken = (~losses.isfinite()).nonzero().flatten().tolist()
            step = broken[0] if broken else self.steps - 1
            rate = self.rates[(self.epoch - 1) * self.steps + step]
            raise TrainingDiverged(
                f"epoch {self.epoch}, step {step + 1} of {self.steps}: train {row.train:.4g}, valid {row.valid:.4g},"
                f" learning rate {rate:.3g} (peak {max(self.rates):g}). Usual causes: a learning rate too high (try a"
                " tenth), a log or a division by 0 in the objective. The model holds the best weights from before."
            )
        if row is self.history.best:
            self.best = copy.deepcopy(self.model.state_dict())
        self.epoch, self.step, self.seen, self.seconds = self.epoch + 1, 0, 0, 0.0
        return row

    def put_down(self, team: Team) -> tuple[dict, dict[str, Tensor]]:
        """Everything as numbers in words (for JSON) and tensors by name (for safetensors)."""
        progress = {name: getattr(self, name) for name in ("epoch", "step", "seen", "seconds", "stopped")}
        progress["rows"] = [list(row) for row in self.history.rows]
        progress["threads"] = torch.get_num_threads()
        tensors = {"losses": self.losses, "random": torch.stack(team.gather(_random_state(self.where)))}
        tensors |= {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for number, averages in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in averages.items()}
        return progress, tensors

    def take_up(self, progress: dict, tensors: dict[str, Tensor], team: Team) -> None:
        groups = {"model": {}, "best": {}, "optimiser": {}}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            if group == "optimiser":
                number, _, rest = rest.partition(".")
                groups[group].setdefault(int(number), {})[rest] = value
            elif rest:
                groups[group][rest] = value
        self.model.load_state_dict(groups["model"])
        self.best = copy.deepcopy(self.model.state_dict())  # on the right device, in the right order
        for name, value in self.best.items():
            value.copy_(groups["best"][name])
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": groups["optimiser"]})
        for weight, averages in self.optimiser.state.items():
            for name in averages.keys() - {"step"}:  # laid out in memory as the weight is, which fused Adam relies on
                averages[name] = torch.empty_like(weight).copy_(averages[name])
        self.losses.copy_(tensors["losses"])
        _set_random_state(tensors["random"][team.rank], self.where)
        for name in ("epoch", "step", "seen", "seconds", "stopped"):
            setattr(self, name, progress[name])
        self.history.rows = [Row(*row) for row in progress["rows"]]
        if progress["threads"] <= runtime.cpus():  # sums over a batch are split among threads, which changes last bits
            torch.set_num_threads(progress["threads"])


def _random_state(where: torch.device) -> Tensor:
    states = [torch.get_rng_state()]
    if where.type in ("cuda", "mps"):
        states.append(getattr(torch, where.type).get_rng_state())
    return torch.cat(states)


def _set_random_state(state: Tensor, where: torch.device) -> None:
    length = len(torch.get_rng_state())
    torch.set_rng_state(state[:length].clone())  # of a part of a tensor, torch reads the beginning of the whole
    if where.type in ("cuda", "mps"):
        getattr(torch, where.type).set_rng_state(state[length:].clone())
