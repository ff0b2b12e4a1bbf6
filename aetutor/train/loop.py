"""`fit`, the one training loop of the course."""

import math
import numbers
import os
import time

import torch
from torch import nn

from aetutor import runtime
from aetutor.train.checkpoint import Checkpoint, settings
from aetutor.train.history import History
from aetutor.train.objective import Lesson, Objective, reconstruct, unit
from aetutor.train.run import Run
from aetutor.train.schedule import warmup_cosine
from aetutor.train.source import Resident, Streamed, source
from aetutor.train.step import Recorded, Step, adam
from aetutor.train.team import Team

FEW = 100  # steps: below that, most networks have not learnt what they could


def fit(
    model: nn.Module,
    images,
    *,
    epochs: int = 5,
    objective: Objective = reconstruct,
    batch: int = 128,
    lr: float = 4e-3,
    patience: int | None = None,
    threshold: float | None = None,
    seed: int = 0,
    checkpoint: str | os.PathLike | None = None,
    precision: torch.dtype | None = None,
    record: bool = True,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> History:
    """Trains a model on images, in place, and leaves it with the weights that did best on the validation images.

    The learning rate rises over the first tenth of the steps and then falls along half a cosine to zero.

    On a CUDA GPU, the step is recorded once and replayed. What the objective draws from torch on the GPU is drawn anew
    each time; what it computes in Python (a counter of its own, say) is not: give record=False then.

    model      : nn.Module   trained in place; ends on `device`, in eval mode
    images     : ImageSet    or anything with uint8 .train and .valid: tensors (N, C, H, W), or data.Files
    epochs     : int         rounds through the training images, at least 1
    objective  : (model, x) -> (B,)  what to minimise, one number per image; x is float (B, C, H, W) in [0, 1]
    batch      : int         images per step, of all processes together; an epoch's last step takes what is left
    lr         : float       AdamW's peak learning rate
    patience   : int         stop after this many epochs in a row without a better validation objective; None: never
    threshold  : float       stop as soon as the validation objective per image is this low; None: never
    seed       : int         number of the random streams that shuffle and that the objective draws from
    checkpoint : folder      where to keep what is needed to go on after a stop, written about once a second, less
                             often for large networks; if it is there, this call goes on from it. On the same CPU the
                             result is the same to the last bit
    precision  : torch.dtype float32 or bfloat16 for the products in training; by default what is faster here
    record     : bool        on a CUDA GPU, record the step as a graph
    device     : device      where to train; by default the fastest there is
    progress   : bool        show a bar
    returns    : History     one row per epoch: train, valid, seconds
    raises     : ValueError  if an argument is out of range, a split is empty, there are no weights to train, or the
                             objective gives no (B,) that depends on them
    raises     : TypeError   if the model is no network, the objective no function that gives a tensor, or the images
                             no set of uint8 tensors or files
    raises     : TrainingDiverged  if the loss is no longer finite; the best weights so far are loaded
    raises     : CheckpointError   if the checkpoint is damaged, belongs to another training, or cannot be written
    source     : Loshchilov & Hutter 2019, arXiv:1711.05101 (AdamW) and 2017, arXiv:1608.03983 (cosine)
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    check_numbers(epochs=epochs, batch=batch, lr=lr, patience=patience, threshold=threshold, seed=seed)
    check_kinds(model, images, objective)
    epochs, batch = int(epochs), int(batch)  # NumPy's whole numbers will do, but not for torch's split
    where, team = runtime.device(device), Team()
    train, valid = sources(images, where)
    model.to(where)
    precision = precision_for(precision, model, where)
    _lay_out(model, where, precision)
    steps = math.ceil(len(train) / batch)
    rates = warmup_cosine(epochs * steps, lr)
    optimiser, lesson = adam(model.parameters(), lr, where), Lesson(model, objective)
    step = Step(team.engine(lesson, train), train.take, optimiser, precision, team.size)
    if record and recordable(train, where) and team.size == 1:
        step = Recorded(step, torch.zeros(batch, dtype=torch.int64, device=where))
    shuffler = runtime.stream("batches", seed)
    run, keeper = Run(model, optimiser, rates, steps, unit(objective)), None

    with (
        runtime.tuned(where, share=checkpoint is None) as yield_cores,
        runtime.seeded(team.draws("objective"), seed),
        bar(epochs, progress and team.rank == 0) as shown,
    ):
        if checkpoint is not None:
            said = {"epochs": epochs, "batch": batch, "lr": lr, "patience": patience, "threshold": threshold}
            said |= {"seed": seed, "objective": getattr(objective, "__qualname__", type(objective).__name__)}
            said |= {"precision": str(precision), "device": where.type, "processes": team.size}
            keeper = Checkpoint(checkpoint, settings(model, images.train, images.valid, **said))
            keeper.open(run, team)
            shown.update(run.epoch - 1 + run.step / steps)
        for _ in range(run.epoch - 1):  # the orders of epochs done before a stop, so that the next one is the next
            torch.randperm(len(train), generator=shuffler)
        try:
            while not run.stopped:
                start = time.perf_counter() - run.seconds
                order = torch.randperm(len(train), generator=shuffler)
                todo = order.to(train.home).split(batch)[run.step :]
                model.train()
                for index, given in zip(todo, train.batches([team.share(i) for i in todo]), strict=True):
                    yield_cores()
                    run.note(step(given, run.rate, len(index)), len(given))
                    shown.update(len(index) / len(train))
                    if keeper and keeper.due() and team.size == 1:
                        run.seconds = time.perf_counter() - start
                        keeper.save(run, team)
                score = _score(lesson, valid, team, seed)
                row = run.end_epoch(score, time.perf_counter() - start, team)
                shown.set_postfix_str(f"train {row.train:.4g}, valid {row.valid:.4g} {run.history.unit}")
                run.stopped = _verdict(run, epochs, patience, threshold)
                if keeper and (keeper.due() or run.stopped or team.size > 1):
                    keeper.save(run, team)
            run.history.stopped = run.stopped
        except KeyboardInterrupt:  # the notebook's stop button: hand back what has been reached
            run.history.stopped = f"interrupted in epoch {run.epoch}"
        finally:
            model.load_state_dict(run.best)
            model.to(memory_format=torch.contiguous_format).eval()
    return run.history


# --- Parts, some of which fit_many uses too -----------------------------------------------------------------------


def _verdict(run: Run, epochs: int, patience: int | None, threshold: float | None) -> str:
    # Why training ends here, or "" if it goes on.
    row, best = run.history.rows[-1], run.history.best
    if threshold is not None and row.valid <= threshold:
        return f"validation reached the threshold of {threshold:g} after epoch {row.epoch}"
    if patience is not None and row.epoch - best.epoch >= patience:
        return f"no better on validation for {patience} epochs, after epoch {row.epoch}"
    return all_done(epochs, run.steps) if row.epoch == epochs else ""


def all_done(epochs: int, steps: int) -> str:
    hint = f", but only {epochs * steps} steps: take a smaller batch or more epochs" if epochs * steps < FEW else ""
    return f"all {epochs} epochs done{hint}"


def _score(lesson: Lesson, valid: Resident | Streamed, team: Team, seed: int) -> float:
    lesson.eval()
    team.agree(lesson)
    at_once = max(1, min(250, 2**24 // math.prod(valid.shape)))  # of large images fewer, for memory's sake
    parts = torch.arange(len(valid), device=valid.home).split(at_once)[team.rank :: team.size]
    total, seen = torch.zeros((), device=valid.where), 0
    # The same random numbers every time, or a noisy objective would make epochs better and worse by luck.
    with torch.no_grad(), runtime.seeded("validation", seed):
        for given in valid.batches(parts):
            total += lesson(valid.take(given)).sum()
            seen += len(given)
    total, seen = team.sum(torch.stack([total, total.new_tensor(seen)])).tolist()
    if not seen:
        raise ValueError("not one of the validation images could be read; see images.valid.unreadable")
    return total / seen


def sources(images, where: torch.device) -> tuple[Resident | Streamed, Resident | Streamed]:
    train, valid = source("train", images, where), source("valid", images, where)
    if train.shape != valid.shape:
        raise ValueError(
            f"images.train holds images of shape {train.shape}, images.valid of {valid.shape}; expected one shape"
        )
    return train, valid


def recordable(train: Resident | Streamed, where: torch.device) -> bool:
    return where.type == "cuda" and train.home.type == "cuda"


def precision_for(wanted: torch.dtype | None, model: nn.Module, where: torch.device) -> torch.dtype:
    if wanted not in (None, torch.float32, torch.bfloat16):
        raise ValueError(f"precision is {wanted!r}; expected torch.float32, torch.bfloat16, or None for the faster")
    if {weight.dtype for weight in model.parameters()} != {torch.float32}:
        return torch.float32  # the reader has chosen
    return wanted or runtime.precision(where, parameters=sum(weight.numel() for weight in model.parameters()))


def _lay_out(model: nn.Module, where: torch.device, precision: torch.dtype) -> None:
    # Convolutions run faster where the channels of a pixel lie side by side: on a CPU, and on a GPU in bfloat16.
    sides = {weight.dim() for weight in model.parameters()}
    if 4 in sides and max(sides) == 4 and (where.type == "cpu" or precision == torch.bfloat16):
        model.to(memory_format=torch.channels_last)


def check_kinds(model: nn.Module, images, objective: Objective) -> None:
    if not isinstance(model, nn.Module):
        found = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"model is {found}; expected a network (nn.Module) such as models.DenseAutoencoder(code=32)")
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError(f"model, {type(model).__name__}, has no weights to train: none that requires a gradient")
    if not (hasattr(images, "train") and hasattr(images, "valid")):
        raise TypeError(
            f"fit takes an ImageSet with .train and .valid, got {type(images).__name__}: data.load or data.from_arrays"
            " makes one"
        )
    if not callable(objective):
        raise TypeError(f"objective is {objective!r}; expected a function of (model, x) that gives a number per image")


def check_numbers(*, epochs, batch, lr, patience=None, threshold=None, seed=0) -> None:
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool):
        raise ValueError(f"seed is {seed!r}; expected a whole number such as 0")
    for name, value in [("epochs", epochs), ("batch", batch), ("patience", patience)]:
        if value is None and name == "patience":
            continue
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number of 1 or more")
    if not (isinstance(lr, (int, float)) and 0 < lr < math.inf):
        raise ValueError(f"lr is {lr!r}; expected a positive number such as 0.004")
    if threshold is not None and not (isinstance(threshold, (int, float)) and not math.isnan(threshold)):
        raise ValueError(f"threshold is {threshold!r}; expected a number in the objective's unit, or None")


def bar(epochs: int, progress: bool):
    from tqdm.auto import tqdm

    layout = "{percentage:3.0f}% |{bar}| {n:.1f} of {total} epochs, {elapsed}, {remaining} to go{postfix}"
    return tqdm(total=epochs, disable=not progress, leave=False, bar_format=layout, mininterval=0.2)
