"""Checks of assignment 02: leaked images, and targets in another order.

What is compared with comes by another road than an answer's, such as brute force in NumPy. Data are drawn here, from
a seed that hidden tests change.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .answers import Wrong, call, close, number, plain, require, same, tensor

_abs, _arange, _argmax, _argmin, _isin, _mean = np.abs, np.arange, np.argmax, np.argmin, np.isin, np.mean
_minimum, _nonzero, _sort, _sum = np.minimum, np.nonzero, np.sort, np.sum
_where, _zeros = np.where, np.zeros
_generator, _rand, _randint, _randn = torch.Generator, torch.rand, torch.randint, torch.randn
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
    raises     : Wrong       with a hint: wraps, strict, mean, sum, tolerance, training, missed, repeated, …
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
        valid[18], valid[16] = train[9], train[8]
        train[9, 0, 1, 1], valid[18, 0, 1, 1] = 0, 255  # no copies, but neighbours where bytes wrap round
        train[8, 0, 1, 1], valid[16, 0, 1, 1] = 40, 168
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
    wrapped = [b[:, None] - a[None], a[None] - b[:, None], _abs(b.view("int8")[:, None] - a.view("int8")[None])]
    wrapped.append(_minimum(*wrapped[:2]))
    words = (
        "the difference is taken in bytes, which wrap round: 3 − 5 is 254 there, and 0 and 255 are 255 apart, not 1."
    )
    ways = [("wraps", (rows <= allowed).all(axis=2).any(axis=1), words) for rows in wrapped]
    if allowed == 0:  # where nothing is below it
        ways.append(("strict", _zeros(len(b)), "it finds nothing. At most means that the tolerance itself is allowed."))
    ways += [
        ("tolerance", (apart == 0).all(axis=2).any(axis=1), "it finds exact copies only. What is tolerance for?"),
        ("mean", (apart.mean(axis=2) <= allowed).any(axis=1), "images may agree on average; every pixel has to."),
        ("sum", _isin(b.sum(axis=1), a.sum(axis=1)), "images with the same sum of pixels may be different images."),
        ("training", hits.any(axis=0), "these are indices into train. Which validation images have to go?"),
    ]
    found, right = [int(i) for i in _sort(plain(found))], [int(i) for i in want]
    for mistake, rows, hint in ways:
        require(found == right or found != list(_nonzero(rows)[0]), mistake, f"{name}: {hint}")
    extra, missed = len(set(found) - set(right)), len(set(right) - set(found))
    hint = f"{name} takes {extra} for copies that are none, and misses {missed}."
    require(not extra, "value", hint)
    hint = f"{name} misses copies. Is the difference taken in a type that holds −2 and 255 exactly? "
    require(not missed, "missed", hint + "Bytes wrap round, and dividing by 255 rounds.")
    require(found == right, "repeated", f"{name}: an image with two copies in train is listed twice.")


def check_aligned(
    aligned: Callable,
    *,
    seed: int = 0,
    shape: Sequence[int] = (1, 6, 5),
    count: int = 40,
    noise: float = 1.2,
    dark: float = 0.0,
    blank: bool = False,
) -> str:
    """Whether aligned(inputs, targets) is the share of inputs that correlate best with their own target.

    aligned    : (inputs, targets) -> float, both (N, C, H, W)
    seed       : int         of the images
    shape      : (C, H, W)   of one image
    count      : int         pairs in a set, at least 21
    noise      : float       standard deviation, as a share of the images' own
    dark       : float       share of the contrast that inputs lose, with a lamp of as much as they lose put on
    blank      : bool        whether some inputs and a target are of one grey
    returns    : str         what was verified
    raises     : Wrong       with a hint: distance, cosine, channels, columns, blank, nan, batch, …
    source     : the course's own
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    settings = {"shape": tuple(shape), "count": count, "noise": noise, "dark": dark, "blank": blank}
    sets = [_pairs(seed + moved, moved=moved, **settings) for moved in (9, 20)]
    rows = [_shares(*pair) for pair in sets]  # {way: share} of each set
    hints = {
        "distance": "this is the share with the nearest target; a dark input is near any dark image.",
        "cosine": "each image's own mean is to be subtracted first.",
        "channels": "the mean is one number for an image, over all its channels and pixels.",
        "columns": "each input looks for its target; here targets look for inputs.",
    }
    if blank:
        hints = {"blank": "an input of one grey agrees with no target, its own included."} | hints
    values = {way: [row[way] for row in rows] for way in ("right", *hints)}
    mistakes = {way: (values[way], hint) for way, hint in hints.items()}
    for where in _devices():
        shares = [call(aligned, a.to(where), b.to(where), name="aligned") for a, b in sets]
        shares = [number(share, name="aligned") for share in shares]
        hint = (
            "aligned: next to none agree as soon as one target is of one grey. What is 0 / 0, and is nan the largest?"
        )
        require(not blank or max(shares) > 2.5 / count, "nan", hint)
        _same_each(shares, values["right"], name="aligned", each="set", batch=count, mistakes=mistakes)
    return f"aligned: right for two sets of {count} pairs, some of them in another order; {_HIDDEN}"


# --- What the checks measure with ------------------------------------------------------------------------------


def _devices() -> list[str]:
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def _same_each(got: Sequence, want: Sequence, *, name: str, each: str, **settings) -> None:
    """same for several numbers; the hint for an unknown difference says where it is, and not how large."""
    try:
        same(got, want, name=name, **settings)
    except Wrong as wrong:
        if wrong.mistake != "value":
            raise
        rows = enumerate(zip(got, want, strict=True), 1)
        place, ours, right = next((i, a, b) for i, (a, b) in rows if not close(a, b))
        side = "large" if ours > right else "small"
        raise Wrong(
            "value", f"{name} is {ours:.6g} for {each} {place} of {len(got)}, and that is too {side}."
        ) from None


def _pairs(seed: int, *, shape, count: int, moved: int, noise: float, dark: float, blank: bool) -> tuple:
    """Inputs and targets, (count, *shape); the first inputs, as many as are moved, have another's target."""
    draw = _generator().manual_seed(seed)
    targets = _rand(count, *shape, generator=draw) * _rand(count, 1, 1, 1, generator=draw).add(0.5)
    if shape[0] > 1:  # channels of their own brightness, which tell images apart
        targets += 0.5 * _rand(count, shape[0], 1, 1, generator=draw)
    inputs = targets + noise * targets.std() * _randn(targets.shape, generator=draw)
    inputs = (1 - dark) * inputs + dark * _rand(count, 1, 1, 1, generator=draw)
    inputs[:moved] = inputs[:moved].roll(1, 0)
    if blank:
        inputs[0], inputs[-10:-6], targets[-5] = 0.3, 0.0, 0.5
    return inputs, targets


def _shares(inputs: Tensor, targets: Tensor) -> dict[str, float]:
    """The share that is aligned, and what it becomes by other readings of the question."""
    a, b = (images.flatten(1).double().numpy() for images in (inputs, targets))
    planes = [images.flatten(2).double().numpy() for images in (inputs, targets)]
    planes = [(part - part.mean(axis=2, keepdims=True)).reshape(len(a), -1) for part in planes]
    cosine, correlation, apart = (_cosines(*pair) for pair in ((a, b), [_centred(part) for part in (a, b)], planes))
    own, flat = _arange(len(a)), a.std(axis=1) < 1e-7
    near = _argmin(((a[:, None] - b[None]) ** 2).sum(axis=2), axis=1)
    best = _argmax(correlation, axis=1)
    return {
        "right": float(_mean((best == own) & (correlation.diagonal() > 1e-6))),
        "distance": float(_mean(near == own)),
        "cosine": float(_mean(_argmax(cosine, axis=1) == own)),
        "channels": float(_mean(_argmax(apart, axis=1) == own)),
        "columns": float(_mean(_argmax(correlation, axis=0) == own)),
        "blank": float(_mean(_where(flat, own == 0, best == own))),  # of all zeros, argmax takes the first
    }


def _centred(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(axis=1, keepdims=True)


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b.T / (_sum(a * a, axis=1)[:, None] ** 0.5 * _sum(b * b, axis=1) ** 0.5 + 1e-12)
