"""All that training changes, in one place, so that it can be put down and taken up again."""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aetutor import runtime
from aetutor.train.history import History, Row
from aetutor.train.players import Player
from aetutor.train.team import Team


class TrainingDiverged(RuntimeError):
    """The loss became infinite or not a number.

    returns    : RuntimeError  the model holds the best weights reached before
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """


class Run:
    """Where a training stands: its network and optimisers, the step it has come to, and the best weights so far."""

    def __init__(self, model: nn.Module, players: Sequence[Player], rates: list[float], steps: int, history: History):
        self.model, self.rates, self.steps, self.history = model, rates, steps, history
        self.optimisers = {f"optimiser{number or ''}": player.optimiser for number, player in enumerate(players)}
        self.where = next(model.parameters()).device
        self.best = copy.deepcopy(model.state_dict())
        self.epoch, self.step, self.seen, self.seconds, self.stopped = 1, 0, 0, 0.0, ""
        self.losses = torch.zeros(steps, len(players), device=self.where)  # sums over the images of this epoch's steps

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
        sums = team.sum(torch.cat([self.losses.flatten(), self.losses.new_tensor([self.seen])])).cpu().double()
        losses, seen = sums[:-1].view(self.losses.shape), sums[-1]  # (steps, P)
        row = Row(self.epoch, (losses.sum() / seen).item(), score, seconds)
        self.history.rows.append(row)
        each = dict(zip(self.history.players, (losses.sum(0) / seen).tolist(), strict=False))  # {} without names
        for name, loss in each.items():
            self.history.players[name].append(loss)
        if not (math.isfinite(row.train) and math.isfinite(row.valid)):
            self.history.stopped = "diverged"
            broken = (~losses.isfinite()).any(1).nonzero().flatten().tolist()
            step = broken[0] if broken else self.steps - 1
            rate = self.rates[(self.epoch - 1) * self.steps + step]
            of_each = f" ({', '.join(f'{name} {loss:.4g}' for name, loss in each.items())})" if each else ""
            raise TrainingDiverged(
                f"epoch {self.epoch}, step {step + 1} of {self.steps}: train {row.train:.4g}{of_each}, valid"
                f" {row.valid:.4g}, learning rate {rate:.3g} (peak {max(self.rates):g}). Usual causes: a learning rate"
                " too high (try a tenth), a log or a division by 0 in the objective. The model holds the best weights"
                " from before."
            )
        if row is self.history.best:
            self.best = copy.deepcopy(self.model.state_dict())
        self.epoch, self.step, self.seen, self.seconds = self.epoch + 1, 0, 0, 0.0
        return row

    def put_down(self, team: Team) -> tuple[dict, dict[str, Tensor]]:
        """Everything as numbers in words (for JSON) and tensors by name (for safetensors)."""
        progress = {name: getattr(self, name) for name in ("epoch", "step", "seen", "seconds", "stopped")}
        progress["rows"] = [list(row) for row in self.history.rows]
        progress["players"] = self.history.players
        progress["threads"] = torch.get_num_threads()
        tensors = {"losses": self.losses, "random": torch.stack(team.gather(_random_state(self.where)))}
        tensors |= {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for group, optimiser in self.optimisers.items():
            for number, averages in optimiser.state_dict()["state"].items():
                tensors |= {f"{group}.{number}.{name}": value for name, value in averages.items()}
        return progress, tensors

    def take_up(self, progress: dict, tensors: dict[str, Tensor], team: Team) -> None:
        groups = {"model": {}, "best": {}} | {name: {} for name in self.optimisers}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            if group in self.optimisers:
                number, _, rest = rest.partition(".")
                groups[group].setdefault(int(number), {})[rest] = value
            elif rest:
                groups[group][rest] = value
        self.model.load_state_dict(groups["model"])
        self.best = copy.deepcopy(self.model.state_dict())  # on the right device, in the right order
        for name, value in self.best.items():
            value.copy_(groups["best"][name])
        for group, optimiser in self.optimisers.items():
            optimiser.load_state_dict(optimiser.state_dict() | {"state": groups[group]})
            for weight, averages in optimiser.state.items():
                for name in averages.keys() - {"step"}:  # laid out in memory as the weight is: fused Adam relies on it
                    averages[name] = torch.empty_like(weight).copy_(averages[name])
        self.losses.copy_(tensors["losses"].view_as(self.losses))  # (steps,) in older checkpoints
        _set_random_state(tensors["random"][team.rank], self.where)
        for name in ("epoch", "step", "seen", "seconds", "stopped"):
            setattr(self, name, progress[name])
        self.history.rows = [Row(*row) for row in progress["rows"]]
        self.history.players = progress.get("players", {})
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
