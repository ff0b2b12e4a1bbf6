"""`fit_many`: many small networks trained at once, as one network with one more dimension."""

import copy
import math
import numbers
import time
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from aetutor import runtime
from aetutor.train.history import History, Row
from aetutor.train.loop import all_done, bar, check_kinds, check_numbers, precision_for, recordable, sources
from aetutor.train.objective import Lesson, Objective, reconstruct, unit
from aetutor.train.schedule import warmup_cosine
from aetutor.train.source import Resident
from aetutor.train.step import Recorded, Step, adam

SIZES = {"in_features", "out_features", "in_channels", "out_channels", "code", "hidden", "width"}


def fit_many(
    models: Sequence[nn.Module],
    images,
    *,
    epochs: int = 5,
    objective: Objective = reconstruct,
    batch: int = 128,
    lr: float | Sequence[float] = 4e-3,
    seed: int | Sequence[int] = 0,
    folds: int | None = None,
    precision: torch.dtype | None = None,
    record: bool = True,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> list[History]:
    """Trains many networks of one kind at once, each as `fit` would; what differs between them is up to you.

    They may differ in their first weights, in learning rate, in the seed that shuffles, in the images they are trained
    on, and in code size: smaller networks are filled up with zeros, which training leaves at zero. As one batched
    program they take less time than one after the other, on a GPU by far.

    models     : sequence of nn.Module  of one class, without buffers; each is trained in place as by `fit`
    images     : ImageSet    with uint8 tensors .train and .valid (N, C, H, W)
    epochs     : int         rounds through the training images, at least 1
    objective  : (model, x) -> (B,)  what to minimise; the random numbers that it draws differ from model to model
    batch      : int         images per step and model
    lr         : float or floats  AdamW's peak learning rate, of all or of each
    seed       : int or ints number of the random stream that shuffles, for all or for each
    folds      : int         model i is trained on all training images but fold i mod `folds` of that many, and
                             validated on that fold, not on images.valid; None: no folds
    precision  : torch.dtype float32 or bfloat16 for the products in training; by default what is faster here
    record     : bool        on a CUDA GPU, record the step as a graph (see `fit`)
    device     : device      where to train; by default the fastest there is
    progress   : bool        show a bar
    returns    : list of History  one for each model; where one diverged, its `stopped` says so, and the others go on
    raises     : ValueError  if an argument is out of range, or the models are not of one kind
    raises     : TypeError   if models is no sequence of networks, or images holds no tensors
    source     : torch.func.stack_module_state and vmap, PyTorch documentation, Model ensembling
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    models = list(models) if isinstance(models, Sequence | nn.ModuleList) else models
    if not isinstance(models, list) or not models:
        raise TypeError(f"models is {type(models).__name__}; expected a list of at least one network")
    count = len(models)
    lrs, seeds = _each("lr", lr, count), _each("seed", seed, count)
    for one_lr, one_seed in zip(lrs, seeds, strict=True):
        check_numbers(epochs=epochs, batch=batch, lr=one_lr, seed=one_seed)
    for model in models:
        check_kinds(model, images, objective)
    epochs, batch, where = int(epochs), int(batch), runtime.device(device)
    train, valid = sources(images, where)
    if not (isinstance(train, Resident) and isinstance(valid, Resident)):
        raise TypeError("fit_many takes images that fit in memory (uint8 tensors), not streamed files; use fit")
    stack = Stack(models, objective).to(where)
    stack.check(train.take(torch.arange(min(len(train), 8), device=train.home)))
    train_of, valid_of = _parts(len(train), len(valid), folds, count)  # (M, n) or (n,) each
    scored = train if folds else valid

    steps = math.ceil(train_of.shape[-1] / batch)
    peak, shares = (lrs[0], None) if len(set(lrs)) == 1 else (1.0, lrs)
    rates = warmup_cosine(epochs * steps, peak)
    optimiser = Paced(adam(stack.parameters(), peak, where), shares)
    one = precision_for(precision, models[0], where)
    step = Step(stack, train.take, optimiser, one)
    shared = len(set(seeds)) == 1 and not folds  # then every model gets the same batch, gathered once
    shufflers = [runtime.stream("batches", one) for one in (seeds[:1] if shared else seeds)]
    if record and recordable(train, where):
        like = torch.zeros(batch if shared else (count, batch), dtype=torch.int64, device=where)
        step = Recorded(step, like)
    histories = [History(unit=unit(objective)) for _ in models]
    best = copy.deepcopy(stack.state_dict())
    losses = torch.zeros(steps, count, device=where)

    with (
        runtime.tuned(where) as yield_cores,
        runtime.seeded("objective", seeds[0]),
        bar(epochs, progress) as shown,
    ):
        try:
            for epoch in range(1, epochs + 1):
                start = time.perf_counter()
                order = torch.stack([torch.randperm(train_of.shape[-1], generator=one) for one in shufflers])  # (M, n)
                order = (train_of.gather(1, order) if folds else order[0] if shared else order).to(train.home)
                stack.train()
                for number, index in enumerate(order.split(batch, dim=-1)):
                    yield_cores()
                    rate = rates[(epoch - 1) * steps + number]
                    losses[number] = step(index, rate, index.shape[-1])
                    shown.update(index.shape[-1] / train_of.shape[-1])
                valids = _scores(stack, scored, valid_of, seeds[0]).tolist()
                trains = (losses.cpu().double().sum(0) / train_of.shape[-1]).tolist()
                seconds = time.perf_counter() - start
                better = []
                for history, one_train, one_valid in zip(histories, trains, valids, strict=True):
                    if history.stopped.startswith("diverged"):
                        better.append(False)
                        continue
                    history.rows.append(row := Row(epoch, one_train, one_valid, seconds))
                    if not (math.isfinite(row.train) and math.isfinite(row.valid)):
                        history.stopped = f"diverged in epoch {epoch}; the best weights from before are kept"
                    better.append(row is history.best and not history.stopped.startswith("diverged"))
                stack.keep(best, torch.tensor(better, device=where))
                if all(history.stopped.startswith("diverged") for history in histories):
                    break
            ends = all_done(epochs, steps)
        except KeyboardInterrupt:
            ends = f"interrupted in epoch {epoch}"
        finally:
            stack.load_state_dict(best)
            stack.hand_back()
            for model in models:
                model.to(where).eval()
    for history in histories:
        if not history.stopped.startswith("diverged"):
            history.stopped = ends
    if broken := [number for number, history in enumerate(histories) if history.stopped.startswith("diverged")]:
        warnings.warn(f"the loss of models {broken} is no longer finite; see their histories", stacklevel=2)
    return histories


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


def _parts(train: int, valid: int, folds: int | None, count: int) -> tuple[Tensor, Tensor]:
    if folds is None:
        return torch.arange(train), torch.arange(valid)
    if not isinstance(folds, numbers.Integral) or not 2 <= folds <= train:
        raise ValueError(f"folds is {folds!r}; expected a whole number from 2 to {train}, the training images")
    folds = int(folds)
    size, everything = train // folds, torch.randperm(train, generator=runtime.stream("folds"))
    held_out = [everything[(i % folds) * size : (i % folds + 1) * size] for i in range(count)]
    rest = [torch.cat([everything[: i % folds * size], everything[(i % folds + 1) * size :]]) for i in range(count)]
    return torch.stack(rest), torch.stack(held_out)


def _scores(stack: Stack, images: Resident, index: Tensor, seed: int) -> Tensor:
    stack.eval()
    at_once = max(1, min(1000, 2**24 // math.prod(images.shape) // len(stack.models[0])))
    with torch.no_grad(), runtime.seeded("validation", seed):
        parts = [stack(images.take(part)).sum(-1) for part in index.to(images.home).split(at_once, dim=-1)]
    return torch.stack(parts).sum(0) / index.shape[-1]


def _each(name: str, value, count: int) -> list:
    value = value.tolist() if hasattr(value, "tolist") else value  # NumPy's arrays, and torch's
    if not isinstance(value, Sequence) or isinstance(value, str):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} holds {len(value)} values for {count} models; expected one for each, or a single one")
    return list(value)


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
