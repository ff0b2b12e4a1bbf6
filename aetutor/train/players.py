"""Who moves in a training step: the whole network by one objective, or parts of it that take turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aetutor.train.objective import Lesson, Objective
from aetutor.train.step import adam


@dataclass
class Player:
    # A lesson x -> (B,), the optimiser of the weights that it moves, and the weights that hold still meanwhile: the
    # loss flows through them, but leaves no gradient on them, which saves its computation and cannot leak into a
    # later turn. The one player of an ordinary training has no name.

    lesson: nn.Module
    optimiser: torch.optim.Optimizer
    name: str = ""
    others: Sequence[Tensor] = ()

    def hold(self, others: bool) -> None:
        for weight in self.others:
            weight.requires_grad_(not others)

    @property
    def unreached(self) -> str:
        result, whose = ("the objective's result", "the model's weights")
        if self.name:
            result, whose = f"the result of the objective of {self.name!r}", f"the weights of {self.name!r}"
        return (
            f"{result} does not depend on {whose}; call the model that it is given,"
            " without .detach(), .item(), .numpy() or torch.no_grad()"
        )


def players(
    model: nn.Module,
    objective: Objective | Mapping[str, Objective],
    lr: float,
    where: torch.device,
    momentum: float = 0.9,
) -> list[Player]:
    if not isinstance(objective, Mapping):
        return [Player(Lesson(model, objective), adam(model.parameters(), lr, where, momentum))]
    trained, found = _trained(model), []
    for name, own in objective.items():
        weights = _trained(model.get_submodule(name))
        mine = set(map(id, weights))  # two players may share weights: each has averages of its own
        others = [weight for weight in trained if id(weight) not in mine]
        found.append(Player(Lesson(model, own, name), adam(weights, lr, where, momentum), name, others))
    return found


def check_players(model: nn.Module, objective: Mapping) -> None:
    if not objective:
        raise ValueError("objective is an empty mapping; expected {part: objective}, a part of the model per player")
    kind = type(model).__name__
    parts = dict(model.named_modules(remove_duplicate=False))
    able = [part for part, module in parts.items() if part and _trained(module)]
    for name, own in objective.items():
        if not isinstance(name, str):
            raise TypeError(f"objective has the key {name!r}; expected the name of a part of the model: a str")
        if name not in parts or not name:
            listed = ", ".join(able[:12]) + (", …" if len(able) > 12 else "")
            raise ValueError(
                f"objective has the key {name!r}, but {kind} has no such part; with weights to train it has: {listed}"
            )
        if name not in able:
            raise ValueError(
                f"objective has the key {name!r}, a part of {kind} with no weights to train: none that requires a"
                " gradient"
            )
        if not callable(own):
            raise TypeError(
                f"objective[{name!r}] is {own!r}; expected a function of (model, x) that gives a number per image"
            )


def title(objective: Objective | Mapping[str, Objective]) -> str:
    # What a checkpoint knows an objective by; the order of turns is a part of it.
    if isinstance(objective, Mapping):
        return ", ".join(f"{name}: {title(own)}" for name, own in objective.items())
    return getattr(objective, "__qualname__", type(objective).__name__)


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in module.parameters() if weight.requires_grad]
