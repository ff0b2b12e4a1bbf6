"""`fit`, the one training loop of the course."""

import math
import os
import time
from collections.abc import Mapping

import torch
from torch import nn

from aetutor import runtime
from aetutor.train.arguments import check_kinds, check_numbers, check_score
from aetutor.train.checkpoint import Checkpoint, settings
from aetutor.train.history import History, latest
from aetutor.train.objective import Objective, reconstruct, unit
from aetutor.train.players import players, title
from aetutor.train.run import Run
from aetutor.train.schedule import warmup_cosine
from aetutor.train.source import Resident, Streamed, source
from aetutor.train.step import Recorded, Step
from aetutor.train.team import Team
from aetutor.train.validation import Score, score_name, validate

FEW = 100  # steps: below that, most networks have not learnt what they could


def fit(
    model: nn.Module,
    images,
    *,
    epochs: int = 5,
    objective: Objective | Mapping[str, Objective] = reconstruct,
    score: Score | None = None,
    batch: int = 128,
    lr: float = 4e-3,
    momentum: float = 0.9,
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

    Players (of a GAN, in notebook 06) take turns: with objective={"critic": judge, "decoder": fool}, each batch first
    moves the weights of model.critic by judge alone, then those of model.decoder by fool, through the critic that has
    moved. Each player has Adam's averages of its own, also of weights that two of them share. The sum of what they
    want says of no epoch that it is better: without a score, the weights of the last epoch are kept.

    On a CUDA GPU, the step is recorded once and replayed. What the objective draws from torch on the GPU is drawn anew
    each time; what it computes in Python (a counter of its own, say) is not: give record=False then.

    model      : nn.Module   trained in place; ends on `device`, in eval mode
    images     : ImageSet    or anything with uint8 .train and .valid: tensors (N, C, H, W), or data.Files
    epochs     : int         rounds through the training images, at least 1
    objective  : (model, x) -> (B,)  what to minimise, one number per image; x is float (B, C, H, W) in [0, 1]. Or
                             players that take turns, in order: {part: (model, x) -> (B,)}, where part names a submodule
                             such as "encoder", and its weights alone are moved
    score      : model -> number  what to judge each epoch by, in place of the objective on the validation images;
                             lower is better. Called in eval mode, without gradients. None: the objective
    batch      : int         images per step, of all processes together; an epoch's last step takes what is left
    lr         : float       AdamW's peak learning rate
    momentum   : float       AdamW's β₁, how much of the earlier gradients a step keeps, in 0…1; players that take turns
                             are steadier with 0.5
    patience   : int         stop after this many epochs in a row without a better validation objective, or score;
                             None: never
    threshold  : float       stop as soon as the validation objective per image, or the score, is this low; None: never
    seed       : int         number of the random streams that shuffle and that the objective draws from
    checkpoint : folder      where to keep what is needed to go on after a stop, written about once a second, less
                             often for large networks; if it is there, this call goes on from it. On the same CPU the
                             result is the same to the last bit
    precision  : torch.dtype float32 or bfloat16 for the products in training; by default what is faster here
    record     : bool        on a CUDA GPU, record the step as a graph
    device     : device      where to train; by default the fastest there is
    progress   : bool        show a bar
    returns    : History     one row per epoch: train, valid, seconds; of players, what each of them came to
    raises     : ValueError  if an argument is out of range, a split is empty, there are no weights to train, the
                             objective gives no (B,) that depends on them, a player is no part of the model, players
                             are to stop early without a score, or to train in several processes
    raises     : TypeError   if the model is no network, the objective no function that gives a tensor, the score none
                             that gives a number, or the images no set of uint8 tensors or files
    raises     : TrainingDiverged  if the loss is no longer finite; the best weights so far are loaded
    raises     : CheckpointError   if the checkpoint is damaged, belongs to another training, or cannot be written
    source     : Loshchilov & Hutter 2019, arXiv:1711.05101 (AdamW) and 2017, arXiv:1608.03983 (cosine); Goodfellow
                             et al. 2014, arXiv:1406.2661, algorithm 1 (turns)
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    check_numbers(
        epochs=epochs, batch=batch, lr=lr, momentum=momentum, patience=patience, threshold=threshold, seed=seed
    )
    check_kinds(model, images, objective)
    check_score(score, objective, patience=patience, threshold=threshold)
    epochs, batch = int(epochs), int(batch)  # NumPy's whole numbers will do, but not for torch's split
    where, team = runtime.device(device), Team()
    if isinstance(objective, Mapping) and team.size > 1:
        raise ValueError(
            f"objective is a mapping of players, in a team of {team.size} processes; expected one process: players that"
            " take turns train in one alone"
        )
    train, valid = sources(images, where)
    model.to(where)
    precision = precision_for(precision, model, where)
    _lay_out(model, where, precision)
    steps = math.ceil(len(train) / batch)
    rates = warmup_cosine(epochs * steps, lr)
    movers = players(model, objective, lr, where, momentum)
    lessons = [player.lesson for player in movers]
    for player in movers:
        player.lesson = team.engine(player.lesson, train)
    step = Step(movers, train.take, precision, team.size)
    if record and recordable(train, where) and team.size == 1:
        step = Recorded(step, torch.zeros(batch, dtype=torch.int64, device=where))
    shuffler = runtime.stream("batches", seed)
    named = {player.name: [] for player in movers if player.name}
    history = History(unit=unit(objective), players=named, score=score_name(score))
    run, keeper = Run(model, movers, rates, steps, history), None

    with (
        runtime.tuned(where, share=checkpoint is None) as yield_cores,
        runtime.seeded(team.draws("objective"), seed),
        bar(epochs, progress and team.rank == 0) as shown,
    ):
        if checkpoint is not None:
            said = {
                "epochs": epochs,
                "batch": batch,
                "lr": lr,
                "momentum": None if momentum == 0.9 else momentum,  # None: as where a checkpoint knows of none
                "patience": patience,
                "threshold": threshold,
            }
            said |= {"seed": seed, "objective": title(objective), "score": None if score is None else title(score)}
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
                judged = validate(model, lessons, valid, score=score, team=team, seed=seed)
                run.end_epoch(judged, time.perf_counter() - start, team)
                shown.set_postfix_str(latest(history))
                run.stopped = _verdict(run, epochs, patience, threshold)
                if keeper and (keeper.due() or run.stopped or team.size > 1):
                    keeper.save(run, team)
            history.stopped = run.stopped
        except KeyboardInterrupt:  # the notebook's stop button: hand back what has been reached
            history.stopped = f"interrupted in epoch {run.epoch}"
        finally:
            model.load_state_dict(run.best)
            model.to(memory_format=torch.contiguous_format).eval()
    return history


# --- Parts, some of which fit_many uses too -----------------------------------------------------------------------


def _verdict(run: Run, epochs: int, patience: int | None, threshold: float | None) -> str:
    # Why training ends here, or "" if it goes on.
    row, best, judge = run.history.rows[-1], run.history.best, run.history.score or "validation"
    if threshold is not None and row.valid <= threshold:
        return f"{judge} reached the threshold of {threshold:g} after epoch {row.epoch}"
    if patience is not None and row.epoch - best.epoch >= patience:
        return f"no better on {judge} for {patience} epochs, after epoch {row.epoch}"
    return all_done(epochs, run.steps) if row.epoch == epochs else ""


def all_done(epochs: int, steps: int) -> str:
    hint = f", but only {epochs * steps} steps: take a smaller batch or more epochs" if epochs * steps < FEW else ""
    return f"all {epochs} epochs done{hint}"


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


def bar(epochs: int, progress: bool):
    from tqdm.auto import tqdm
    from tqdm.notebook import tqdm_notebook

    layout = "{percentage:3.0f}% |{bar}| {n:.1f} of {total} epochs, {elapsed}, {remaining} to go{postfix}"
    look = {"disable": not progress, "leave": False, "bar_format": layout, "mininterval": 0.2}
    if not progress or not issubclass(tqdm, tqdm_notebook):
        return tqdm(total=epochs, **look)

    from IPython.display import display

    class Passing(tqdm):
        """A bar that leaves words, or nothing if it got to its end: a saved notebook would show "model not found"."""

        def close(self):
            if not self.open:
                return
            self.open = False
            reached = repr(self.container) if self.n < self.total - 1e-6 else ""
            super().close()
            shown.update({"text/plain": reached}, raw=True)

        open = True

    made = Passing(total=epochs, display=False, **look)
    # Raw, since ipywidgets 7 (Colab) would show it under no display_id.
    view = {"version_major": 2, "version_minor": 0, "model_id": made.container.model_id}
    data = {"text/plain": repr(made.container), "application/vnd.jupyter.widget-view+json": view}
    shown = display(data, raw=True, display_id=True)
    return made
