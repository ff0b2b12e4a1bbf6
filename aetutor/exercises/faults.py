"""Checks of assignment 02: leaked images, targets in another order, and the fault that the evidence points to.

What is compared with comes by another road than an answer's, such as brute force in NumPy. Data are drawn here, from
a seed that hidden tests change; the evidence is measured on trainings with each fault planted on purpose.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache

import numpy as np
import torch
from torch import Tensor

from .answers import call, number, plain, require, same, tensor

_abs, _arange, _argmax, _argmin, _isin, _mean = np.abs, np.arange, np.argmax, np.argmin, np.isin, np.mean
_nonzero, _sort, _sum, _where, _full_like = np.nonzero, np.sort, np.sum, np.where, torch.full_like
_generator, _no_grad, _rand, _randint, _randn = torch.Generator, torch.no_grad, torch.rand, torch.randint, torch.randn
_same_values, _NO_GRADIENT, _NO_STEP = torch.equal, "no gradient", "no step"
_HIDDEN = "hidden tests run when this is graded."


def check_leaks(
    leaks: Callable, *, seed: int = 0, shape: Sequence[int] = (1, 6, 5), tolerance: int = 3, copies: bool = True
) -> str:
    """Whether leaks(train, valid, tolerance=…) finds the validation images that are in the training set too.

    leaks      : (train, valid, *, tolerance) -> (M,) int64, indices into valid
    seed       : int         of the images
    shape      : (C, H, W)   of one image
    tolerance  : int         grey levels, for a second round; the first has 0
    copies     : bool        whether there are any; without, the answer is an empty tensor
    returns    : str         what was verified
    raises     : Wrong       with a hint: wraps, mean, sum, tolerance, training, repeated, mask, empty, …
    source     : the course's own
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    draw = _generator().manual_seed(seed)
    train, valid = (_randint(20, 236, (count, *shape), generator=draw, dtype=torch.uint8) for count in (40, 24))
    if copies:
        train[11] = train[10]  # two partners for one validation image
        valid[3], valid[7], valid[8], valid[20] = train[10], train[31], train[31], train[6]
        valid[5], valid[12] = train[5] + tolerance, train[2] - tolerance
        valid[15] = train[4].flip(-1)  # the same pixels in another order
        valid[20, 0, 2, 2] += tolerance + 1
    for where in _devices():
        for allowed in (0, tolerance):
            found = call(leaks, train.to(where), valid.to(where), name="leaks", tolerance=allowed)
            _check_leaks(found, train, valid, allowed=allowed, where=where)
    return f"leaks: right for {len(valid)} against {len(train)} images, with tolerance 0 and {tolerance}; {_HIDDEN}"


def _check_leaks(found, train: Tensor, valid: Tensor, *, allowed: int, where: str) -> None:
    name, a, b = f"leaks(…, tolerance={allowed})", train.flatten(1).numpy(), valid.flatten(1).numpy()
    apart = _abs(b[:, None].astype(int) - a[None])  # (valid, train, pixels)
    hits = (apart <= allowed).all(axis=2)
    want = _nonzero(hits.any(axis=1))[0]
    kept = found.dtype if isinstance(found, Tensor) else None
    require(kept != torch.bool, "mask", f"{name} is a mask of True and False; indices into valid are asked for.")
    words = (
        f"{name} finds nothing, rightly, but it is {kept}: a tensor made of an empty list needs to be told its dtype."
    )
    require(len(want) or kept in (None, torch.int64), "empty", words)
    tensor(found, name=name, shape=(None,), dtype=torch.int64)
    require(found.device.type == where, "device", f"{name} is on {found.device}, but the images are on {where}.")
    mistakes = {
        "mean": (
            (apart.mean(axis=2) <= allowed).any(axis=1),
            "it finds images that agree on average; every pixel has to be within the tolerance.",
        ),
        "sum": (_isin(b.sum(axis=1), a.sum(axis=1)), "images with the same sum of pixels may be different images."),
        "tolerance": ((apart == 0).all(axis=2).any(axis=1), "it finds exact copies only. What is tolerance for?"),
        "training": (hits.any(axis=0), "these are indices into train. Which validation images have to go?"),
    }
    for wrapped in (b[:, None] - a[None], a[None] - b[:, None]):
        rows = _nonzero((wrapped <= allowed).all(axis=2).any(axis=1))[0]
        bytewise = len(rows) < len(want) and list(rows) == sorted(plain(found))
        require(not bytewise, "wraps", f"{name} misses copies. Bytes have no negative numbers: 3 − 5 is 254.")
    mistakes = {mistake: (_nonzero(rows)[0], hint) for mistake, (rows, hint) in mistakes.items()}
    mistakes["repeated"] = _nonzero(hits)[0], "an image with two copies in train is listed twice."
    same(_sort(plain(found)), want, name=name, mistakes=mistakes)


def check_aligned(
    aligned: Callable, *, seed: int = 0, noise: float = 1.2, dark: float = 0.0, blank: bool = False
) -> str:
    """Whether aligned(inputs, targets) is the share of inputs that correlate best with their own target.

    aligned    : (inputs, targets) -> float, both (N, C, H, W)
    seed       : int         of the images
    noise      : float       standard deviation, as a share of the images' own
    dark       : float       share of the contrast that inputs lose, with a lamp of as much as they lose put on
    blank      : bool        whether some inputs are of one grey
    returns    : str         what was verified
    raises     : Wrong       with a hint: distance, cosine, columns, blank, batch, …
    source     : the course's own
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    sets = [_pairs(seed + moved, moved=moved, noise=noise, dark=dark, blank=blank) for moved in (9, 20)]
    rows = [_shares(*pair) for pair in sets]  # {way: share} of each set
    hints = {
        "distance": "this is the share with the nearest target; a dark input is near any dark image.",
        "cosine": "each image's own mean is to be subtracted first.",
        "columns": "each input looks for its target; here targets look for inputs.",
        "blank": "an input of one grey agrees with no target, its own included.",
    }
    values = {way: [row[way] for row in rows] for way in ("right", *hints)}
    mistakes = {way: (values[way], hint) for way, hint in hints.items() if blank or way != "blank"}
    for where in _devices():
        shares = [call(aligned, a.to(where), b.to(where), name="aligned") for a, b in sets]
        shares = [number(share, name="aligned") for share in shares]
        same(shares, values["right"], name="aligned (of two sets)", batch=len(sets[0][0]), mistakes=mistakes)
    return f"aligned: right for two sets of {len(sets[0][0])} pairs, some of them in another order; {_HIDDEN}"


def check_name_fault(
    name_fault: Callable, training_run: Callable, *, faults: Sequence[str], count: int = 1, start: int = 0, **settings
) -> str:
    """Whether name_fault(evidence) names what is wrong with training runs, from evidence that is measured here.

    name_fault : evidence -> one of faults; evidence is a dict, its entries as in the question
    training_run : (fault, *, number, **settings) -> a run with model, step, train, valid, inputs, targets and scale
    faults     : strs        the first is "none"
    count, start : int       runs of each fault, and the number of the first
    settings   : anything    for training_run
    returns    : str         what was verified
    raises     : Wrong       with a hint: unknown, missed, false-alarm, confused
    source     : the course's own
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    right = 0
    for turn in range(start, start + count):
        for fault in faults:
            evidence = _evidence(training_run, fault, turn, tuple(settings.items()))
            found = call(name_fault, deepcopy(evidence), name="name_fault")
            told = f"For a run with the evidence {evidence}, name_fault says {found!r}. "
            require(found in faults, "unknown", told + f"It should be one of {', '.join(faults)}.")
            require(found == fault or fault != faults[0], "false-alarm", told + "Nothing is wrong with that run.")
            require(found == fault or found != faults[0], "missed", told + "Which entry would a healthy run not have?")
            hint = "A fault can show in several entries: which of them is a cause, which a consequence?"
            require(found == fault, "confused", told + hint)
            right += 1
    return f"name_fault: right for {right} runs; {_HIDDEN}"


# --- What the checks measure with ------------------------------------------------------------------------------


def _devices() -> list[str]:
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def _pairs(seed: int, *, moved: int, noise: float, dark: float, blank: bool) -> tuple[Tensor, Tensor]:
    """Inputs and targets, (40, 1, 6, 5); the first inputs, as many as are moved, have another's target."""
    draw = _generator().manual_seed(seed)
    targets = _rand(40, 1, 6, 5, generator=draw) * _rand(40, 1, 1, 1, generator=draw).add(0.5)
    inputs = targets + noise * targets.std() * _randn(targets.shape, generator=draw)
    inputs = (1 - dark) * inputs + dark * _rand(40, 1, 1, 1, generator=draw)
    inputs[:moved] = inputs[:moved].roll(1, 0)
    if blank:
        inputs[0], inputs[30:34] = 0.3, 0.0
    return inputs, targets


def _shares(inputs: Tensor, targets: Tensor) -> dict[str, float]:
    """The share that is aligned, and what it becomes by other readings of the question."""
    a, b = (images.flatten(1).double().numpy() for images in (inputs, targets))
    cosine, correlation = (_cosines(*pair) for pair in ((a, b), [_centred(part) for part in (a, b)]))
    own, flat = _arange(len(a)), a.std(axis=1) < 1e-9
    near = _argmin(((a[:, None] - b[None]) ** 2).sum(axis=2), axis=1)
    best = _argmax(correlation, axis=1)
    return {
        "right": float(_mean((best == own) & (correlation.diagonal() > 1e-6))),
        "distance": float(_mean(near == own)),
        "cosine": float(_mean(_argmax(cosine, axis=1) == own)),
        "columns": float(_mean(_argmax(correlation, axis=0) == own)),
        "blank": float(_mean(_where(flat, own == 0, best == own))),  # of all zeros, argmax takes the first
    }


def _centred(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(axis=1, keepdims=True)


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b.T / (_sum(a * a, axis=1)[:, None] ** 0.5 * _sum(b * b, axis=1) ** 0.5 + 1e-12)


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
