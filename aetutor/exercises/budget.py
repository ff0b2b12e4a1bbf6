"""Checks of assignment 02, second half: an error budget, what PCA needs for it, and a network that keeps to it."""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from .answers import Wrong, call, close, kind, number, require, tensor
from .faults import _same_each

_array, _eye, _mean, _svd, _zeros = np.array, np.eye, np.mean, np.linalg.svd, np.zeros
_cat, _generator, _no_grad, _randn, _Module = torch.cat, torch.Generator, torch.no_grad, torch.randn, nn.Module
_HIDDEN = "hidden tests run when this is graded."


def check_pca_numbers_needed(
    pca_numbers_needed: Callable, *, seed: int = 0, shape: Sequence[int] = (1, 6, 5), ends: bool = False
) -> str:
    """Whether pca_numbers_needed(train, valid, budget=…) is the smallest code with which PCA stays within a budget.

    pca_numbers_needed : (train, valid, *, budget) -> int; ValueError where no number is enough
    seed       : int         of the images
    shape      : (C, H, W)   of one image
    ends       : bool        whether to ask for budgets that need no number, and that no number meets
    returns    : str         what was verified
    raises     : Wrong       with a hint: one-more, one-less, train, own-mean, not-centred, unmet, unreachable, …
    source     : Pearson 1901, doi:10.1080/14786440109462720; the checks are the course's own
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    draw = _generator().manual_seed(seed)
    size = math.prod(shape)
    mix = _randn(8, size, generator=draw) * 0.7 ** torch.arange(8)[:, None]
    train, valid = (
        (110 + 25 * _randn(count, 8, generator=draw) @ mix + 6 * _randn(count, size, generator=draw) + shift)
        .clamp(0, 255).to(torch.uint8).unflatten(1, tuple(shape)) for count, shift in ((20, 0), (30, 6))
    )  # fmt: skip
    errors = _pca_errors(train, valid)
    levels = [1, 2, 3, 5, 8]
    budgets = [(errors[k - 1] + 3 * errors[k]) / 4 for k in levels]
    if ends:
        budgets.append(errors[0] * 1.1)
    found = []
    for budget in budgets:
        try:
            needed = call(pca_numbers_needed, train, valid, name="pca_numbers_needed", budget=float(budget))
        except Wrong as wrong:
            if not isinstance(wrong.__cause__, ValueError):
                raise
            hint = f"For a budget that can be met it stops with ValueError: {wrong.__cause__}. "
            hint += "In which unit is e(k), and which direction comes first?"
            raise Wrong("unmet", hint) from wrong.__cause__
        whole = isinstance(needed, int | np.integer) and not isinstance(needed, bool)
        require(whole, "type", f"pca_numbers_needed should be an int, but it is {kind(needed)}.")
        found.append(int(needed))
    own, uncentred = (_pca_errors(train, valid, mean=mean) for mean in ("own", "none"))
    ways = {
        "train": (_pca_errors(train, train), "this is right for the training images. Fit on them, measure on valid."),
        "own-mean": (own, "the mean of valid is none of the decoder's business: subtract that of train."),
        "not-centred": (uncentred, "what PCA decodes to is the mean image plus a sum of pictures."),
        "per-image": (errors * size, "the budget is per pixel, not per image."),
        "unscaled": (errors * 255**2, "the budget is for intensities in [0, 1]."),
    }
    want = _array([_fewest(errors, budget) for budget in budgets])
    mistakes = {"one-more": (want + 1, "it is one more than needed."), "one-less": (want - 1, "it is one too few.")}
    for mistake, (wrong, hint) in ways.items():
        mistakes[mistake] = _array([_fewest(wrong, budget) for budget in budgets]), hint
    _same_each(found, want, name="pca_numbers_needed", each="budget", rtol=0, atol=0.1, mistakes=mistakes)
    if ends:
        try:
            needed = pca_numbers_needed(train, valid, budget=float(errors[-1]) / 2)
        except ValueError:
            return f"pca_numbers_needed: right for {len(budgets)} budgets, and where none is enough; {_HIDDEN}"
        except Exception as error:
            raise Wrong(
                "unreachable", f"Where no code is enough it stops with {type(error).__name__}: {error}"
            ) from error
        raise Wrong("unreachable", f"It says {needed} where even all numbers are not enough: raise ValueError.")
    return f"pca_numbers_needed: right for {len(budgets)} budgets; {_HIDDEN}"


def check_deliver(
    deliver: Callable,
    images,
    *,
    error: float,
    code: int,
    weights: int,
    unseen: Tensor | None = None,
    allowed: float | None = None,
) -> str:
    """Whether deliver(images) returns an autoencoder that keeps to three bounds.

    deliver    : images -> nn.Module with .encode and .decode
    images     : with uint8 .train and .valid (N, C, H, W)
    error      : float       most squared error per pixel
    code       : int         most numbers in the code
    weights    : int         most numbers in the network
    unseen     : (N, C, H, W)  uint8, images that deliver never gets; None: the error is measured on .valid alone
    allowed    : float       most squared error per pixel on them; None: as on .valid
    returns    : str         what was verified
    raises     : Wrong       with a hint: code, weights, mode, bypass, budget, leak, …
    source     : the course's own
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    model = call(deliver, images, name="deliver")
    parts = callable(getattr(model, "encode", None)) and callable(getattr(model, "decode", None))
    fits = isinstance(model, nn.Module) and parts
    require(fits, "type", f"deliver should return a network with .encode and .decode, but it is {kind(model)}.")
    hint = "The network has no weights that PyTorch knows of. Are its layers in a plain list instead of nn.ModuleList?"
    require(model.state_dict(), "weights", hint)
    held = sum(_sizes(model).values())
    require(held <= weights, "weights", f"The network holds {held:,} numbers; {weights:,} are allowed.")
    valid = _error_of(model, images.valid, code=code)
    hint = f"The error on the validation images is {valid:.4f} per pixel; {error} is allowed."
    require(valid <= error, "budget", hint)
    if unseen is None:
        return f"deliver: at most {code} numbers, {held:,} weights, error {valid:.4f} per pixel; {_HIDDEN}"
    apart, allowed = _error_of(model, unseen, code=code), error if allowed is None else allowed
    hint = f"The error is {apart:.4f} on images that it never had; {allowed} is allowed. On valid it is {valid:.4f}. "
    require(apart <= allowed or apart <= 1.15 * valid, "leak", hint + "What were the weights fitted to?")
    require(apart <= allowed, "budget", hint + "It is within the budget there, but without room to spare.")
    return f"deliver: {held:,} weights, error {valid:.4f} per pixel, and {apart:.4f} on other images."


# --- What the checks measure with ------------------------------------------------------------------------------


def _pca_errors(train: Tensor, valid: Tensor, *, mean: str = "train") -> np.ndarray:
    """Squared error per pixel on valid with 0, 1, 2, … directions of an SVD of train, each one tried."""
    a, b = (images.flatten(1).double().numpy() / 255 for images in (train, valid))
    middle = _zeros(a.shape[1]) if mean == "none" else _mean(a, axis=0)
    start = _mean(b, axis=0) if mean == "own" else middle
    directions = _svd(a - middle, full_matrices=False)[2][: len(a) - (mean != "none")]
    left = [(b - start) @ (_eye(a.shape[1]) - directions[:k].T @ directions[:k]) for k in range(len(directions) + 1)]
    return _array([_mean(part**2) for part in left])


def _fewest(errors: np.ndarray, budget: float) -> int:
    """The first place where the errors are within the budget; -1 if they never are."""
    return int((errors <= budget).argmax()) if (errors <= budget).any() else -1


def _sizes(part, seen: dict[int, int] | None = None) -> dict[int, int]:
    """How many numbers each tensor has that a network holds, in lists and dicts of its modules, too; by id."""
    seen = {} if seen is None else seen
    if id(part) in seen:
        return seen
    if isinstance(part, Tensor | np.ndarray):
        seen[id(part)] = math.prod(part.shape)
    elif isinstance(part, nn.Module | Mapping | list | tuple | set):
        seen[id(part)] = 0
        inside = vars(part) if isinstance(part, nn.Module) else part
        for inner in inside.values() if isinstance(inside, Mapping) else inside:
            _sizes(inner, seen)
    return seen


def _error_of(model: nn.Module, pixels: Tensor, *, code: int) -> float:
    """Squared error per pixel; the codes are decoded by a copy that has never seen the images."""
    try:
        decoder = deepcopy(model)
    except Exception as error:
        hint = f"The network cannot be copied ({type(error).__name__}: {error}). What does it hold besides weights?"
        raise Wrong("bypass", hint) from error
    where, total = next(iter(model.state_dict().values())).device, 0.0
    for start in range(0, len(pixels), 500):
        x = pixels[start : start + 500].to(where) / 255
        with _no_grad():
            z = call(model.encode, x, name="encode")
            tensor(z, name="the code", shape=(len(x), None), dtype=torch.float32)
            require(z.shape[1] <= code, "code", f"The code has {z.shape[1]} numbers; {code} are allowed.")
            alone = _cat([call(model.encode, x[i : i + 2], name="encode") for i in range(0, min(6, len(x)), 2)])
            hint = "An image's code depends on the images beside it. Is the network in eval mode?"
            require(close(alone, z[: len(alone)], rtol=1e-2, atol=1e-3), "mode", hint)
            x_hat = call(decoder.decode, z.flip(0), name="decode").flip(0)  # other order: nothing can be kept by place
        tensor(x_hat, name="the reconstruction", shape=tuple(x.shape), like=x)
        total += number((x_hat - x).square().sum(), name="the error")
    return total / math.prod(pixels.shape)
