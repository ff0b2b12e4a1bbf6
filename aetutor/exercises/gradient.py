"""Checks of assignment 01, first half: the loss of a tied linear autoencoder and its gradient.

What is right is worked out in another way than the course teaches it, from differences of the loss in NumPy.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .answers import Wrong, attached, call, close, plain, require, same, tensor

_rng, _zeros, _max, _abs, _equal = np.random.default_rng, np.zeros, np.max, np.abs, np.array_equal
_tensor, _cuda, _grad = torch.tensor, torch.cuda.is_available, torch.autograd.grad
_float32, _float64, _inference = torch.float32, torch.float64, torch.inference_mode


def _drawn(images: int, pixels: int, code: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images in 0…1, one in each row, and weights of a size that keeps signals from growing."""
    rng = _rng(seed)
    return rng.uniform(0, 1, (images, pixels)), rng.normal(0, pixels**-0.5, (pixels, code))


def _loss(X: np.ndarray, W: np.ndarray) -> float:
    return float(((X @ W @ W.T - X) ** 2).sum() / len(X))


def _slopes(f: Callable, W: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """Central differences of f in each entry of W."""
    slopes = _zeros(W.shape)
    for place in np.ndindex(*W.shape):
        nudge = _zeros(W.shape)
        nudge[place] = step
        slopes[place] = (f(W + nudge) - f(W - nudge)) / (2 * step)
    return slopes


def _places() -> list[tuple[torch.dtype, str]]:
    return [(_float64, "cpu"), (_float32, "cpu")] + ([(_float32, "cuda")] if _cuda() else [])


def _frugal(answer: Callable, X: Tensor, W: Tensor, *, name: str) -> None:
    """Wrong if the products of matrices take more work than those in the right order do, with room to spare."""
    from torch.utils.flop_counter import FlopCounterMode  # costs a tenth of a second, which only this check should pay

    with FlopCounterMode(display=False) as counter:
        call(answer, X, W, name=name)
    products, room = counter.get_total_flops() // 2, 10 * X.numel() * W.shape[1]
    require(
        products <= room,
        "expensive",
        f"{name} multiplies {products:,} pairs of numbers for {len(X)} images of {X.shape[1]} pixels and a code of "
        f"{W.shape[1]}; {room:,} would be plenty. A matrix of pixels × pixels is built somewhere: which product comes "
        "first?",
    )


def _flows(loss: Tensor, w: Tensor, X: np.ndarray, *, name: str) -> None:
    """Wrong if the gradient that flows through the loss is not its slope, along one direction drawn at random."""
    (slopes,) = call(_grad, loss, w, name=f"The gradient through {name}", retain_graph=True, allow_unused=True)
    W, step = plain(w), 1e-4
    way = _rng(len(W)).normal(0, 1, W.shape)
    slopes = _zeros(W.shape) if slopes is None else plain(slopes)
    want = (_loss(X, W + step * way) - _loss(X, W - step * way)) / (2 * step)
    size = float(((slopes**2).sum() * (way**2).sum()) ** 0.5)
    require(
        close((slopes * way).sum(), want, rtol=1e-3, atol=1e-4 * size),
        "half-detached",
        f"{name} has the right value, but the gradient that flows through it is not that of the loss. W is used twice: "
        "is one of the two places, or the loss itself, cut off by .detach(), .data or no_grad()?",
    )


def check_tied_loss(
    answer: Callable, *, images: int = 5, pixels: int = 7, code: int = 2, seed: int = 0, frugal: bool = False
) -> str:
    """Whether answer(X, W) is the loss of x̂ = x W Wᵀ: squared error, summed over pixels, mean over images.

    answer     : function    (X, W) -> () tensor
    images     : int         rows of X
    pixels     : int         columns of X
    code       : int         columns of W
    seed       : int         of the made-up images and weights
    frugal     : bool        also count its multiplications
    returns    : str         what was verified
    raises     : Wrong       with a hint, if it is not right yet
    source     : the definition, in NumPy
    taught in  : notebooks/01_theory.ipynb
    """
    X, W = _drawn(images, pixels, code, seed)
    for dtype, place in _places():
        x = _tensor(X, dtype=dtype, device=place)
        w = _tensor(W, dtype=dtype, device=place, requires_grad=True)
        name = "tied_loss"
        got = tensor(call(answer, x, w, name=name), name=name, shape=(), like=w)
        same(got, _loss(X, W), name=name, batch=images, pixels=pixels)
        _flows(attached(got, name=name), w, X, name=name)
        if frugal:
            _frugal(answer, x, w, name=name)
    return f"tied_loss: right for {images} × {pixels} images and a code of {code}, and gradients flow through it."


def check_numeric_gradient(
    answer: Callable,
    *,
    shape: tuple = (4, 3),
    step: float | None = None,
    dtype: str = "float32",
    gives: str = "tensor",
    seed: int = 0,
) -> str:
    """Whether answer(f, W, step=…) is the gradient of f by central differences, where autograd sees nothing.

    answer     : function    (f, W, *, step=1e-5) -> float64 tensor of W's shape
    shape      : ints        of W; with two sizes or more, W is a transposed view
    step       : float       handed on; None leaves the answer's own
    dtype      : str         of W, "float32" or "float64"
    gives      : str         what f returns: "tensor" of no dimension, "float", or tensor of shape "(1, 1)"
    seed       : int         of the made-up weights
    returns    : str         what was verified
    raises     : Wrong       with a hint, if it is not right yet
    source     : the central difference of Σ w³ + (Σ w)², multiplied out, which holds for any step
    taught in  : notebooks/01_theory.ipynb
    """
    name = "numeric_gradient"
    W = _tensor(_rng(seed).normal(0, 1, shape[::-1]), dtype={"float32": _float32, "float64": _float64}[dtype])
    W = W.permute(tuple(range(W.ndim))[::-1])
    before, given, kept = plain(W).copy(), [], []

    def f(w):
        given.append(w)
        kept.append(_equal(plain(W), before))
        values = plain(w)
        total = float((values**3).sum() + values.sum() ** 2)  # no graph: autograd has nothing to follow
        return total if gives == "float" else _tensor([[total]] if gives == "(1, 1)" else total, dtype=w.dtype)

    try:
        got = call(answer, f, W, name=name, **({} if step is None else {"step": step}))
    except Wrong as wrong:
        if wrong.mistake == "fails" and "grad" in str(wrong.__cause__):
            words = "f may be any function, also one that autograd cannot follow, such as this one"
            raise Wrong("autograd", f"{name} asks autograd: {words}. Call f at W ± step instead.") from wrong
        raise
    require(
        all(kept),
        "in-place",
        f"{name} changes W while it works, and puts it back. W.double() is W itself where W is float64 already, and so "
        "is a view of it. Make a new tensor: W.clone(), or W + push.",
    )
    got = tensor(got, name=name, shape=shape, dtype=_float64)
    require(
        all(tuple(w.shape) == shape and w.dtype == _float64 for w in given),
        "precision",
        f"{name} should call f with float64 tensors of W's shape; in float32 the difference of two "
        "nearly equal numbers has hardly a digit left.",
    )
    h, w = step or 1e-5, plain(W)
    want = 3 * w**2 + h**2 + 2 * w.sum()
    for side in (h, -h):
        require(
            not close(got, want + (3 * w + 1) * side, rtol=1e-7, atol=1e-7),
            "one-sided",
            f"{name} looks to one side only. f(W + h) − f(W) keeps an error of the order of h. "
            "Which difference does not?",
        )
    ignored = 3 * w**2 + 2 * w.sum()
    hint = f"it does the same whatever `step` is; here step={step}."
    if len(given) != 2 * W.numel():
        hint = f"this is not the two-point formula above with the `step` that was handed on; here step={step}."
    same(got, want, name=name, rtol=1e-7, atol=1e-7, mistakes={"step": (ignored, hint)} if step else None)
    settings = (f", with step={step}" if step else "") + ("" if gives == "tensor" else f", where f returns {gives}")
    return f"{name}: right for a W of shape {shape}, {dtype}{settings}."


def check_tied_gradient(
    answer: Callable, *, images: int = 6, pixels: int = 5, code: int = 2, seed: int = 0, frugal: bool = False
) -> str:
    """Whether answer(X, W) is the gradient of the tied loss by W, without autograd.

    answer     : function    (X, W) -> (D, Z) tensor
    images     : int         rows of X
    pixels     : int         columns of X
    code       : int         columns of W
    seed       : int         of the made-up images and weights
    frugal     : bool        also count its multiplications
    returns    : str         what was verified
    raises     : Wrong       with a hint, if it is not right yet
    source     : central differences of the loss, in NumPy
    taught in  : notebooks/01_theory.ipynb
    """
    name = "tied_gradient"
    X, W = _drawn(images, pixels, code, seed)
    want = _slopes(lambda w: _loss(X, w), W)
    # The two halves: what one W does to the loss while the other one is held.
    encoder = _slopes(lambda w: float(((X @ w @ W.T - X) ** 2).sum() / images), W)
    decoder = want - encoder
    forgotten = "this holds for {} alone. W stands in two places; what does the other one add?"
    mistakes = {
        "encoder-only": (encoder, forgotten.format("the W that makes the code")),
        "decoder-only": (decoder, forgotten.format("the W that makes the picture")),
        "doubled": (2 * encoder, "the code's half is counted twice. The two halves are two different matrices."),
        "doubled-decoder": (2 * decoder, "the picture's half is counted twice. The two halves are different matrices."),
    }
    for dtype, place in _places():
        x, w = (_tensor(values, dtype=dtype, device=place) for values in (X, W))
        got = tensor(_without_autograd(answer, x, w, name=name), name=name, shape=W.shape, like=w)
        atol = 1e-5 * float(_max(_abs(want)))
        same(got, want, name=name, atol=atol, batch=images, pixels=pixels, mistakes=mistakes)
        if frugal:
            _frugal(answer, x, w, name=name)
    return f"tied_gradient: right for {images} × {pixels} images and a code of {code}, without autograd."


def _without_autograd(answer: Callable, X: Tensor, W: Tensor, *, name: str):
    try:
        with _inference():  # nothing is recorded here, so that backward() finds nothing
            return call(answer, X, W, name=name)
    except Wrong as wrong:
        if wrong.mistake != "fails":
            raise
        call(answer, X, W, name=name)
        raise Wrong("autograd", f"{name} asks autograd. Write the formula out: products of X, W and x̂ − x.") from wrong
