"""Several networks as one network with one more dimension, for `fit_many`."""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from aetutor import runtime
from aetutor.train.objective import Lesson, Objective

SIZES = {"in_features", "out_features", "in_channels", "out_channels", "code", "hidden", "width"}


class Stack(nn.Module):
    """The networks as one: each weight (…) of M networks is one weight (M, …); x (B, …) or (M, B, …) -> losses (M, B).

    A network with a smaller code is filled up with zeros. A code number that is zero, with weights zero to it and from
    it, has gradients zero on both sides, so training leaves it there; `check` makes sure. Weights that are frozen
    are stacked too, since each network has its own.
    """

    def __init__(self, models: list[nn.Module], objective: Objective):
        super().__init__()
        self.models = (models,)  # in a tuple, so that they are no parts of this module
        largest = max(models, key=lambda model: sum(weight.numel() for weight in model.parameters()))
        _check_alike(models, largest)
        self.names = [name for name, _ in largest.named_parameters()]
        lesson = Lesson(copy.deepcopy(largest), objective)
        lesson.model.requires_grad_(False)
        self.lesson = (lesson,)
        self.weights = nn.ParameterList([self.filled_up(name, largest) for name in self.names])

    def filled_up(self, name: str, largest: nn.Module) -> nn.Parameter:
        full, parts = largest.get_parameter(name), []
        for model in self.models[0]:
            part = model.get_parameter(name).detach().to(full.device)
            margins = [side for a, b in zip(full.shape, part.shape, strict=True) for side in (a - b, 0)]
            parts.append(F.pad(part, margins[::-1]) if any(margins) else part)
        return nn.Parameter(torch.stack(parts), requires_grad=full.requires_grad)

    def forward(self, x: Tensor) -> Tensor:
        weights = {f"model.{name}": weight for name, weight in zip(self.names, self.weights, strict=True)}
        one = lambda weights, x: functional_call(self.lesson[0], weights, (x,))  # noqa: E731
        own = 0 if x.dim() == 5 else None
        return torch.vmap(one, in_dims=(0, own), randomness="different")(weights, x)

    def train(self, mode: bool = True) -> "Stack":
        self.lesson[0].train(mode)
        return super().train(mode)

    def _apply(self, move, recurse=True):  # .to(device) takes the pattern of the networks along
        self.lesson[0]._apply(move)
        return super()._apply(move, recurse)

    def check(self, x: Tensor) -> None:
        """Do zeros stay zeros, and do they leave the objective as it is? Asked of one batch, before training."""
        with runtime.seeded("look"):
            loss = self.train()(x).sum()
        if loss.requires_grad:  # if it does not, the first step says so
            loss.backward()
        filled = set()
        for name, weight in zip(self.names, self.weights, strict=True):
            for number, model in enumerate(self.models[0]):
                own = model.get_parameter(name).shape
                if own == weight.shape[1:]:
                    continue
                filled.add(number)
                zeros = torch.ones_like(weight[number], dtype=torch.bool)
                zeros[tuple(slice(side) for side in own)] = False
                if weight.grad is not None and weight.grad[number][zeros].any():
                    raise ValueError(
                        f"models {number} is smaller than the largest in {name}, and there training would not leave the"
                        " zeros that fill it up at zero; networks that are trained at once may differ in code size"
                    )
        self.zero_grad()
        if filled:
            self.check_alone(x, sorted(filled))

    @torch.no_grad()
    def check_alone(self, x: Tensor, filled: list[int]) -> None:
        # An objective may ask how long the code is, as a mean over it does: then the zeros count.
        self.eval()
        found = []
        for draw in range(2):
            with runtime.seeded("look", draw):
                found.append(self(x))
        if not torch.equal(*found):  # random numbers, of which a network alone would draw others
            return
        for number in filled:
            alone = Lesson(copy.deepcopy(self.models[0][number]), self.lesson[0].objective).to(x.device).eval()(x)
            most = 0.01 * alone.abs().max()  # far above rounding, that of TF32 too
            if (alone - found[0][number]).abs().max() > most:
                raise ValueError(
                    f"models {number} is smaller than the largest, and filled up with zeros its objective is"
                    f" {found[0][number].mean():.4g} per image, not {alone.mean():.4g}; does the objective take a mean"
                    " over the code? Take the sum, or train networks of different code sizes one by one, with fit"
                )

    def keep(self, best: dict[str, Tensor], better: Tensor) -> None:
        for name, now in self.state_dict().items():
            chosen = better.view(-1, *(1 for _ in now.shape[1:]))
            best[name].copy_(torch.where(chosen, now, best[name]))

    @torch.no_grad()
    def hand_back(self) -> None:
        for name, weight in zip(self.names, self.weights, strict=True):
            for number, model in enumerate(self.models[0]):
                own = model.get_parameter(name)
                own.copy_(weight[number][tuple(slice(side) for side in own.shape)])


class Paced:
    # An optimiser with a learning rate of 1, whose steps are shortened for each network to its own: Adam's steps are in
    # proportion to it. (torch's fused AdamW has one rate for a whole tensor.)

    def __init__(self, optimiser: torch.optim.Optimizer, shares: list[float] | None):
        self.optimiser, self.param_groups, self.zero_grad = optimiser, optimiser.param_groups, optimiser.zero_grad
        self.weights, self.shares = [w for w in optimiser.param_groups[0]["params"] if w.requires_grad], None
        if shares is not None:
            shares = torch.tensor(shares, device=self.weights[0].device)
            self.shares = [shares.view(-1, *(1 for _ in weight.shape[1:])) for weight in self.weights]

    @torch.no_grad()
    def step(self) -> None:
        if self.shares is None:
            self.optimiser.step()
            return
        before = [weight.clone() for weight in self.weights]
        self.optimiser.step()
        for weight, old, share in zip(self.weights, before, self.shares, strict=True):
            weight.copy_(old.lerp_(weight, share))


# --- Parts ------------------------------------------------------------------------------------------------------


def _check_alike(models: list[nn.Module], largest: nn.Module) -> None:
    expected, taken = _traits(largest), set()
    for number, model in enumerate(models):
        own = {id(weight) for weight in model.parameters()}
        if own & taken:
            raise ValueError(f"models {number} has weights that a model before it has too; expected weights of its own")
        taken |= own
        if list(model.buffers()):
            raise ValueError(f"models {number} has buffers ({type(model).__name__}): fit_many trains weights only")
        if {weight.dtype for weight in model.parameters()} != {torch.float32}:
            raise ValueError(f"models {number} has weights that are not float32; fit_many trains float32 only")
        found, missing = _traits(model), "missing"
        for name in expected | found:
            mine, its = found.get(name, missing), expected.get(name, missing)
            if not _fits(mine, its):
                raise ValueError(
                    f"models {number} is of another kind than the largest: {name} is {_shown(mine)}, not {_shown(its)};"
                    " expected the same layers and settings, and no more than other first weights and code sizes"
                )


def _traits(model: nn.Module) -> dict[str, object]:
    # All that makes a network what it is, but for its weights and its sizes, by name.
    found, internal = {}, vars(nn.Module()).keys()
    for name, module in model.named_modules():
        found[f"layer {name}" if name else "it"] = type(module)
        settings = {k: v for k, v in vars(module).items() if k not in internal and k not in SIZES}
        found |= {f"{name}.{k}".strip("."): value for k, value in settings.items()}
    for name, weight in model.named_parameters():
        found |= {f"shape of {name}": weight.shape, f"{name}.requires_grad": weight.requires_grad}
    return found


def _shown(value) -> str:
    if isinstance(value, torch.Size):
        return str(tuple(value))
    return getattr(value, "__name__", None) or f"{value!r:.80}"  # of a class and of a function


def _fits(mine, its) -> bool:
    if isinstance(mine, torch.Size) and isinstance(its, torch.Size):  # a smaller one is filled up
        return len(mine) == len(its) and all(a <= b for a, b in zip(mine, its, strict=True))
    if isinstance(mine, Tensor) and isinstance(its, Tensor):
        return torch.equal(mine, its)
    try:
        return bool(mine == its)
    except (RuntimeError, ValueError, TypeError):  # what cannot be compared
        return mine is its
