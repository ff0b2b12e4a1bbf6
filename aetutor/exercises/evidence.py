"""Checks of assignment 02: the fault that the evidence points to, measured on trainings with each fault planted."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache

import torch

from .answers import call, require

_full_like, _no_grad, _same_values = torch.full_like, torch.no_grad, torch.equal
_NO_GRADIENT, _NO_STEP, _HIDDEN = "no gradient", "no step", "hidden tests run when this is graded."


def check_name_fault(
    name_fault: Callable,
    training_run: Callable,
    *,
    faults: Sequence[str],
    count: int = 1,
    start: int = 0,
    faint: float = 1.0,
    **settings,
) -> str:
    """Whether name_fault(evidence) names what is wrong with training runs, from evidence that is measured here.

    name_fault : evidence -> one of faults; evidence is a dict, its entries as in the question
    training_run : (fault, *, number, **settings) -> a run with model, step, train, valid, inputs, targets and scale
    faults     : strs        the first is "none"
    count, start : int       runs of each fault, and the number of the first
    faint      : float       what errors and floors are multiplied by, as if images differed less from each other
    settings   : anything    for training_run
    returns    : str         what was verified
    raises     : Wrong       with a hint: unknown, play, missed, false-alarm, confused
    source     : the course's own
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    right = 0
    for turn in range(start, start + count):
        for fault in faults:
            evidence = dict(_evidence(training_run, fault, turn, tuple(settings.items())))
            evidence |= {entry: faint * evidence[entry] for entry in ("error", "floor")}
            found = call(name_fault, deepcopy(evidence), name="name_fault")
            told = f"For a run with the evidence {evidence}, name_fault says {found!r}. "
            require(found in faults, "unknown", told + f"It should be one of {', '.join(faults)}.")
            hint = "Nearly all inputs are aligned. What is measured needs some play."
            strict = found == "other order" != fault and evidence["aligned"] > 0.9
            require(not strict, "play", told + hint)
            hint = "Nothing is wrong with that run." + (" Is an error small by itself?" if faint < 1 else "")
            require(found == fault or fault != faults[0], "false-alarm", told + hint)
            require(found == fault or found != faults[0], "missed", told + "Which entry would a healthy run not have?")
            hint = "A fault can show in several entries: which of them is a cause, which a consequence?"
            require(found == fault, "confused", told + hint)
            right += 1
    return f"name_fault: right for {right} runs; {_HIDDEN}"


# --- What the checks measure with ------------------------------------------------------------------------------


@cache
def _evidence(training_run: Callable, fault: str, number: int, settings: tuple) -> dict:
    """What the question's table defines, measured on fresh copies of a run."""
    runs = [training_run(fault, number=number, **dict(settings)) for _ in range(3)]
    model, before = runs[0].model, {name: p.detach().clone() for name, p in runs[0].model.named_parameters()}
    for _ in range(3):
        runs[0].step()
    still = {name: p for name, p in model.named_parameters() if _same_values(p, before[name])}
    idle = {name: _NO_GRADIENT if p.grad is None or not p.grad.any() else _NO_STEP for name, p in still.items()}
    for p in runs[1].model.parameters():
        p.grad = _full_like(p, 1e6)
    runs[1].step()
    left = max(float(p.grad.abs().max()) for p in runs[1].model.parameters() if p.grad is not None)
    for _ in range(120):
        runs[2].step()
    run, x = runs[2], runs[2].valid / runs[2].scale
    with _no_grad():
        x_hat = run.model(x)
    images = [{image.numpy().tobytes() for image in part} for part in (run.train, run.valid)]
    a, b = (part.flatten(1).double() for part in (run.inputs, run.targets))
    a, b = (part - part.mean(1, keepdim=True) for part in (a, b))
    match = (a @ (b / b.norm(dim=1, keepdim=True)).T).argmax(1)
    return {
        "copies": len(images[0] & images[1]),
        "aligned": round(float((match == torch.arange(len(match))).double().mean()), 3),
        "brightest": float(run.inputs.max()),
        "idle": idle,
        "cleared": left < 1e5,
        "error": float((x_hat - x).square().mean()),
        "floor": float((run.train.double().mean(0) / run.scale - x).square().mean()),
    }
