"""Checks of assignment 01, third part: places where the gradient of a tied linear autoencoder is zero, and ways out.

The stationary points are built from their definition, and the loss itself, a short way along a direction, is the judge.
"""

from collections.abc import Callable

import numpy as np

from .answers import Wrong, call, plain, require, tensor
from .gradient import _loss, _places, _rng, _tensor

_qr, _norm, _finite = np.linalg.qr, np.linalg.norm, np.isfinite
_array, _diag, _sqrt = np.array, np.diag, np.sqrt


def check_way_out(
    answer: Callable,
    *,
    axes: tuple = (1,),
    code: int = 1,
    images: int = 30,
    pixels: int = 5,
    variances: tuple | None = None,
    centred: bool = True,
    seed: int = 0,
) -> str:
    """Whether answer(X, W) is a direction in which the loss falls from a stationary W, and None at the lowest.

    answer     : function    (X, W) -> (D, Z) tensor of length one, or None
    axes       : ints        the principal axes that W spans, 0 for the first; the code is rotated
    code       : int         columns of W
    images     : int         rows of X
    pixels     : int         columns of X, where no variances are given
    variances  : numbers     mean squares of the images along the axes, falling; None makes some up
    centred    : bool        whether the images' mean is zero; else it lies along the first axis
    seed       : int         of the made-up images
    returns    : str         what was verified
    raises     : Wrong       with a hint, if it is not right yet
    source     : the loss itself, a short way along the direction
    taught in  : notebooks/01_theory.ipynb
    """
    name, rng = "way_out", _rng(seed)
    spread = _array(variances or [9.0, 4.0, 3.0, *(0.5**place for place in range(pixels - 3))], dtype=float)
    drawn = rng.normal(0, 1, (images, len(spread)))
    drawn = drawn - drawn.mean(0)
    if not centred:
        drawn[:, 0] = 1
    V = _qr(rng.normal(0, 1, (len(spread), len(spread))))[0]
    X = _qr(drawn)[0] @ _diag(_sqrt(images * spread)) @ V.T
    W = V[:, list(axes)] @ _qr(rng.normal(0, 1, (code, code)))[0][: len(axes)]
    missed = max((value for place, value in enumerate(spread) if place not in axes), default=0.0)
    carried = min(spread[list(axes)]) if len(axes) == code else 0.0
    spanned = ("axis " if len(axes) == 1 else "axes ") + ", ".join(str(axis + 1) for axis in axes)
    place = "the lowest W" if missed <= carried else f"a W that spans {spanned}" if axes else "W = 0"
    where = f"At {place}, of shape {W.shape}," + ("" if centred else " for images whose mean is not zero,")
    for dtype, device in _places():
        x, w = (_tensor(values, dtype=dtype, device=device) for values in (X, W))
        got = call(answer, x, w, name=name)
        if got is None:
            words = "returns None, but there are directions in which the loss falls."
            require(missed <= carried, "gave-up", f"{where} {name} {words}")
            continue
        if missed <= carried:
            words = "should return None: no direction leads down."
            require(
                missed < carried, "rounding", f"{where} {name} {words} Are two numbers compared that are equal here?"
            )
            raise Wrong("no-exit", f"{where} {name} {words}")
        way = plain(tensor(got, name=name, shape=W.shape, like=w))
        words = "is not finite. Is something of length zero divided by it?"
        require(bool(_finite(way).all()), "nan", f"{where} {name} {words}")
        length = float(_norm(way))
        require(abs(length - 1) < 1e-3, "length", f"{where} {name} has the length {length:.4g} and should have 1.")
        here, there, back = (_loss(X, W + t * way) for t in (0, 1e-3, -1e-3))
        bend = (there + back - 2 * here) / 1e-6
        words = f"{where} the loss {{}} along {name}: its curvature there is {bend:.3g}; a way out has a negative one."
        require(bend < 1e-3, "uphill", words.format("rises"))
        require(bend < -1e-3, "flat", words.format("stays as it is"))
    done = "returns None, as it should, at" if missed <= carried else "finds a way out of"
    return f"{name}: {done} {place}, of shape {W.shape}."
