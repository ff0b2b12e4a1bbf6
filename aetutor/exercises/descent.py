"""Checks of assignment 01, second part: gradient descent on a tied linear autoencoder, and the choice that it leaves.

What is right is worked out in another way than the course teaches it: curvatures from differences of the loss in NumPy,
steps by powers of a matrix, and codes by their covariance.
"""

from collections.abc import Callable

import numpy as np

from .answers import Wrong, call, close, number, plain, require, same, tensor
from .gradient import _abs, _loss, _max, _places, _rng, _slopes, _tensor

_eigh, _eigvalsh, _qr, _pinv = np.linalg.eigh, np.linalg.eigvalsh, np.linalg.qr, np.linalg.pinv
_diag, _sqrt, _outer, _eye, _stack = np.diag, np.sqrt, np.outer, np.eye, np.stack
_power, _range = np.linalg.matrix_power, np.arange


def check_largest_step(
    answer: Callable, *, images: int = 40, pixels: int = 5, centred: bool = True, seed: int = 0
) -> str:
    """Whether answer(X) is the learning rate above which gradient descent leaves the optimum of a one-number code.

    answer     : function    (X) -> number
    images     : int         rows of X
    pixels     : int         columns of X
    centred    : bool        whether the images' mean is removed
    seed       : int         of the made-up images
    returns    : str         what was verified
    raises     : Wrong       with a hint, if it is not right yet
    source     : 2 over the largest eigenvalue of the second differences of the loss
    taught in  : notebooks/01_theory.ipynb
    """
    name = "largest_step"
    X = _rng(seed).normal(0, 1, (images, pixels)) * _sqrt(_range(1, pixels + 1)) + 1
    X = X - X.mean(0) * centred
    around = X - X.mean(0)
    (values, axes), covariance = _eigh(X.T @ X / images), _eigvalsh(around.T @ around / images)
    best, top = axes[:, -1:], values[-1]
    want = 2 / float(_eigvalsh(_curvatures(X, best))[-1])
    turning = "this is the limit for turning w. Is the loss curved more along w itself?"
    mistakes = {
        "half-way": (want / 2, "this step lands at the bottom in one go. How much further still ends nearer to it?"),
        "stretch": (
            2 * want,
            "this is past the limit. In the stretch, both factors of the last term of L grow with ε.",
        ),
        "turned": (1 / (top - values[-2]), turning),
        "turned-furthest": (1 / (top - values[0]), turning),
        "turned-to-nothing": (1 / top, turning),
        "unsquared": (1 / (4 * top**0.5), "singular values are no variances: they have to be squared."),
        "batch": (want / images, "Σ is the mean of x xᵀ over the images, not their sum."),
        "centred": (1 / (4 * covariance[-1]), "the images' mean was removed; Σ is the mean of x xᵀ as they are given."),
        "unbiased": (
            (1 - 1 / images) / (4 * covariance[-1]),
            "Σ is a mean over the images: divide by their number, where a covariance estimate divides by one less.",
        ),
    }
    if values[0] > 1e-9:
        hint = "this fits the smallest eigenvalue. In which order does the library return them?"
        mistakes["ascending"] = (1 / (4 * values[0]), hint)
    for dtype, place in _places():
        x = _tensor(X, dtype=dtype, device=place)
        got = number(call(answer, x, name=name), name=name)
        same(got, want, name=name, rtol=1e-3, mistakes=mistakes)
    return f"largest_step: agrees with the curvature of the loss on {images} images of {pixels} pixels."


def _curvatures(X: np.ndarray, w: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """(D, D): the second derivatives of the loss at w (D, 1), by differences of differences."""

    def slopes(w):
        return _slopes(lambda v: _loss(X, v), w, step)

    pushes = step * _eye(len(w))[:, :, None]
    return _stack([(slopes(w + push) - slopes(w - push))[:, 0] / (2 * step) for push in pushes])


def check_descend(
    answer: Callable,
    *,
    shape: tuple = (4, 2),
    lr: float = 0.1,
    momentum: float | None = 0.8,
    steps: int = 5,
    seed: int = 0,
) -> str:
    """Whether answer(gradient, W, lr=, steps=, momentum=) ends where gradient descent with momentum does.

    answer     : function    (gradient, W, *, lr, steps, momentum=0.0) -> tensor of W's shape
    shape      : ints        of W
    lr         : float       handed on
    momentum   : float       handed on; None leaves the answer's own
    steps      : int         handed on
    seed       : int         of the made-up bowl
    returns    : str         what was verified
    raises     : Wrong       with a hint, if it is not right yet
    source     : on a quadratic, one step is a matrix; many steps are its power
    taught in  : notebooks/01_theory.ipynb
    """
    name, rng = "descend", _rng(seed)
    away, pull, centre = rng.normal(0, 1, shape), rng.uniform(0.5, 3, shape), rng.normal(0, 1, shape)
    mu = momentum or 0.0

    def repeated(*entries):
        """Where steps of (distance, velocity) ← [[a, b], [c, d]] · (distance, velocity) end."""
        a, b, c, d = (entry + 0 * pull for entry in entries)
        return centre + _power(_stack([_stack([a, b], -1), _stack([c, d], -1)], -2), steps)[..., 0, 0] * away

    def ends(lr, mu):
        return repeated(1 - lr * pull, mu, -lr * pull, mu)

    want, settings, k = ends(lr, mu), {} if momentum is None else {"momentum": momentum}, lr * pull
    late = "W moves by the velocity of the step before. Which of the two lines of the formula comes first?"
    mistakes = {
        "uphill": (ends(-lr, mu), "it walks uphill. A step goes against the gradient."),
        "late": (repeated(1, 1, -k, mu), late),
        "late-gradient": (repeated(1, 1, -k, mu - k), late),
    }
    if mu:
        ahead = "this is Nesterov's way: the gradient is taken ahead of W. Here it is taken at W."
        mistakes |= {
            "momentum-ignored": (ends(lr, 0.0), "it does the same without momentum. What is kept from step to step?"),
            "damped": (ends(lr * (1 - mu), mu), "the gradient is weighted with 1 − μ. The formula adds all of it."),
            "nesterov": (repeated(1 - k * (1 + mu), mu * mu, -k, mu), "this is Nesterov's way; W moves by V alone."),
            "nesterov-ahead": (repeated(1 - k, mu * (1 - k), -k, mu * (1 - k)), ahead),
        }
    for dtype, place in _places():
        W, strength, middle = (_tensor(v, dtype=dtype, device=place) for v in (centre + away, pull, centre))
        asked = []

        def gradient(w, *, strength=strength, middle=middle, asked=asked):
            slopes = strength * (w - middle)
            asked.append((slopes, plain(slopes).copy()))
            return slopes

        got = call(answer, gradient, W, name=name, lr=lr, steps=steps, **settings)
        got = tensor(got, name=name, shape=shape, like=W)
        count = (
            f"{name} calls gradient {len(asked)} times, in {steps} steps. Each step needs one, at the W of that step."
        )
        require(len(asked) == steps, "steps", count)
        kept = all(close(slopes, before, rtol=0, atol=0) for slopes, before in asked)
        require(kept, "in-place", f"{name} changes in place a gradient that it was handed. Make a new tensor.")
        same(got, want, name=name, mistakes=mistakes)
    return f"descend: right after {steps} steps of lr={lr}" + (f" with momentum={momentum}." if momentum else ".")


def check_uncorrelated(
    answer: Callable, *, images: int = 60, pixels: int = 6, code: int = 3, trained: bool = True, seed: int = 0
) -> str:
    """Whether answer(X, W) has the reconstructions of W and uncorrelated code numbers, in falling order of variance.

    answer     : function    (X, W) -> (D, Z) tensor
    images     : int         rows of X
    pixels     : int         columns of X
    code       : int         columns of W
    trained    : bool        W at the optimum and X centred, or any W and X
    seed       : int         of the made-up images and weights
    returns    : str         what was verified
    raises     : Wrong       with a hint, if it is not right yet
    source     : the two properties, measured
    taught in  : notebooks/01_theory.ipynb
    """
    name, rng = "uncorrelated", _rng(seed)
    X = rng.normal(0, 1, (images, pixels)) * _sqrt(_range(1, pixels + 1)) + 1
    if trained:
        X = X - X.mean(0)
        W = _eigh(X.T @ X)[1][:, -code:] @ _qr(rng.normal(0, 1, (code, code)))[0]
    else:
        W = rng.normal(0, pixels**-0.5, (pixels, code))
    for dtype, place in _places():
        x, w = (_tensor(values, dtype=dtype, device=place) for values in (X, W))
        got = plain(tensor(call(answer, x, w, name=name), name=name, shape=W.shape, like=w))
        values = _eigvalsh(_covariance(X @ W))[::-1]
        require(
            close(got @ got.T, W @ W.T, rtol=1e-3, atol=1e-4),
            "other-pictures",
            f"{name} changes the reconstructions: x W Wᵀ is another one with the new weights; W Wᵀ moves by "
            f"{float(_max(_abs(got @ got.T - W @ W.T))):.2g}. Which Q leave W Q Qᵀ Wᵀ alone?",
        )
        if _crossed(_covariance(X @ got)) > 1e-3:
            words = "the mean of z zᵀ is diagonal, but the means of the code numbers are in it. Remove them first."
            require(_crossed((X @ got).T @ (X @ got)) > 1e-3, "uncentred", f"{name}: {words}")
            back = X @ W @ (_pinv(W) @ got).T
            words = "the right rotation, the wrong way round. Which of Q and Qᵀ turns z = x W?"
            require(_crossed(_covariance(back)) > 1e-3, "transposed", f"{name}: {words}")
            worst = _crossed(_covariance(X @ got))
            raise Wrong("correlated", f"{name}: two of the code numbers still have a correlation of {worst:.2g}.")
        found = _diag(_covariance(X @ got))
        falls = all(found[:-1] >= found[1:] - 1e-4 * values[0])
        require(falls, "order", f"{name}: no correlations are left, but the variances do not fall from first to last.")
        same(found, values, name=f"the variances of the code numbers of {name}", rtol=1e-3, atol=1e-4)
    return f"{name}: the same pictures, and {code} uncorrelated code numbers in falling order, on {images} images."


def _covariance(codes: np.ndarray) -> np.ndarray:
    around = codes - codes.mean(0)
    return around.T @ around / len(codes)


def _crossed(matrix: np.ndarray) -> float:
    """The largest correlation in a covariance matrix; one between numbers that hardly vary counts for little."""
    variances = _diag(matrix)
    scale = _sqrt(_outer(variances, variances).clip(0)) + 1e-3 * _max(matrix)
    return float(_max(_abs(matrix - _diag(variances)) / scale))
