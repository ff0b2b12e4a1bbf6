"""`fit_many`: many small networks trained at once, as one network with one more dimension."""

import copy
import math
import numbers
import time
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from aetutor import runtime
from aetutor.train.arguments import check_kinds, check_numbers
from aetutor.train.history import History, Row
from aetutor.train.loop import all_done, bar, precision_for, recordable, sources
from aetutor.train.objective import Objective, reconstruct, unit
from aetutor.train.players import Player
from aetutor.train.schedule import warmup_cosine
from aetutor.train.source import Resident
from aetutor.train.stack import Paced, Stack
from aetutor.train.step import Recorded, Step, adam


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
    """Trains many networks of one kind at once, each as `fit` would without patience, threshold and checkpoint.

    They may differ in their first weights, in learning rate, in the seed that shuffles, in the images they are trained
    on, and in code size: smaller networks are filled up with zeros, which training leaves at zero. One batched
    program keeps a GPU busy that each of them alone would leave idle.

    models     : sequence of nn.Module  of one class, without buffers (such as batch norm's averages); each is
                             trained in place, as by `fit`
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
    raises     : TypeError   if models is no sequence of networks, images holds no tensors, or the objective is a
                             mapping: players take turns in `fit` alone
    source     : torch.func.stack_module_state and vmap, PyTorch documentation, Model ensembling
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    models = list(models) if isinstance(models, Sequence | nn.ModuleList) else models
    if not isinstance(models, list) or not models:
        raise TypeError(f"models is {type(models).__name__}; expected a list of at least one network")
    if isinstance(objective, Mapping):
        raise TypeError(
            "objective is a mapping of players; fit_many takes one (model, x) -> (B,) for all weights of a network:"
            " train players that take turns with fit"
        )
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
    step = Step([Player(stack, optimiser)], train.take, one)
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
    at_once = max(1, min(250, 2**24 // math.prod(images.shape) // len(stack.models[0])))
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
