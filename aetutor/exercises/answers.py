"""How an answer is read and compared: what it is first, then its shape, its dtype, its place, and only then its values.

Students' code runs in the same process, and some of it replaces functions of torch or numpy, by accident or not. So all
that decides a verdict is kept here by a name of its own, taken when the module is imported, and values are compared in
float64 by numpy, whose arrays cannot be patched.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

_abs, _all, _allclose, _argmax, _array, _float64 = np.abs, np.all, np.allclose, np.argmax, np.asarray, np.float64
_isfinite, _isnan, _ndarray, _number = np.isfinite, np.isnan, np.ndarray, np.number
_clone, _cpu, _detach, _equal, _to = Tensor.clone, Tensor.cpu, Tensor.detach, torch.equal, Tensor.to
_is_tensor, _parameter, _double = torch.is_tensor, torch.nn.Parameter, torch.float64
_isclose, _unravel = math.isclose, np.unravel_index


class Wrong(AssertionError):
    """An answer that is not right yet; the message is a hint: what is off and where to look, never the solution.

    mistake    : name of the mistake, such as "transposed"; the class report counts them
    hint       : the sentences that the student reads
    returns    : the error, to be raised
    raises     : nothing
    source     : the course's own
    taught in  : notebooks/assignments/README.md
    """

    def __init__(self, mistake: str, hint: str):
        super().__init__(hint)
        self.mistake = mistake


def require(truth: bool, mistake: str, hint: str) -> None:
    """Raise Wrong(mistake, hint) unless truth is true."""
    if not truth:
        raise Wrong(mistake, hint)


def call(answer: Callable, *inputs, name: str, **settings):
    """What answer(*inputs, **settings) returns; Wrong if it is unwritten, fails, or changes a tensor it was given."""
    require(callable(answer), "missing", f"{name} should be a function, but it is {kind(answer)}.")
    before = [(value, _clone(_detach(value))) for value in (*inputs, *settings.values()) if _is_tensor(value)]
    try:
        result = answer(*inputs, **settings)
    except Exception as error:
        if isinstance(error, NotImplementedError) and not error.args:  # torch raises it, too, but with words
            raise Wrong("unanswered", f"{name} is not written yet: put your code in place of the last line.") from None
        given = ", ".join(map(describe, inputs))
        words = f"{type(error).__name__}: {error}"
        raise Wrong("fails", f"{name}({given}) stops with {words}") from error
    for value, old in before:
        if not (old.shape == value.shape and _equal(old, _detach(value))):
            raise Wrong(
                "in-place",
                f"{name} changes the tensor of shape {tuple(old.shape)} that it is given, and its caller still needs "
                "that. Make a new one: x = x + 1 where x += 1, x.clamp(0, 1) where x.clamp_(0, 1) stood.",
            )
    return result


def kind(value) -> str:
    """A type, with the article, for a sentence."""
    name = type(value).__name__
    return "None (is a return missing?)" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def describe(value) -> str:
    """A value, short enough for a hint."""
    if _is_tensor(value):
        return f"tensor of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 40 else kind(value)


def number(value, *, name: str) -> float:
    """A finite float from a Python number, a NumPy scalar, or a tensor or array of one element; else Wrong."""
    if isinstance(value, bool) or not isinstance(value, int | float | _number | _ndarray | Tensor):
        raise Wrong("type", f"{name} should be a number, but it is {kind(value)}.")
    if isinstance(value, Tensor | _ndarray):
        require(
            math.prod(value.shape) == 1,
            "shape",
            f"{name} should be one number, but its shape is {tuple(value.shape)}. Over what is the sum or mean taken?",
        )
        value = plain(value).reshape(())
    value = float(value)
    require(math.isfinite(value), "nan", f"{name} is {value}. Is there a log(0), a 0/0 or an overflow on the way?")
    return value


def tensor(value, *, name: str, shape: tuple, dtype: torch.dtype | None = None, like: Tensor | None = None) -> Tensor:
    """The tensor itself once type, shape, dtype and device are right; else Wrong.

    shape may hold None where any size will do. With like, dtype and device are those of that tensor.
    """
    if isinstance(value, _ndarray):
        raise Wrong("type", f"{name} should be a torch tensor, but it is a NumPy array. Stay in torch all the way.")
    require(
        type(value) in (Tensor, _parameter), "type", f"{name} should be a torch tensor, but it is {kind(value)}."
    )  # a subclass could bring an equality of its own
    found, wanted = tuple(value.shape), tuple(shape)
    fits = len(found) == len(wanted) and all(w in (None, f) for f, w in zip(found, wanted, strict=True))
    if not fits:
        if len(found) > 1 and found == wanted[::-1]:
            raise Wrong("transposed", f"{name} has the shape {found}, which is {wanted} transposed.")
        words = (
            "(" + ", ".join("any" if w is None else str(w) for w in wanted) + ("," if len(wanted) == 1 else "") + ")"
        )
        raise Wrong("shape", f"{name} should have the shape {words}, but it has {found}.")
    if like is not None:
        dtype = like.dtype
        require(
            value.device == like.device,
            "device",
            f"{name} is on {value.device}, but what it was computed from is on {like.device}. "
            "Make new tensors with torch.zeros_like(x), torch.randn_like(x) or device=x.device.",
        )
    require(
        dtype is None or value.dtype == dtype,
        "dtype",
        f"{name} should be {dtype}, but it is {value.dtype}. Is there a conversion on the way, or NumPy's float64?",
    )
    return value


def attached(value: Tensor, *, name: str) -> Tensor:
    """The tensor itself if gradients flow through it; else Wrong."""
    require(
        value.requires_grad,
        "detached",
        f"{name} is cut off from the graph, so nothing before it can learn. Where does .detach(), .item(), .data, "
        "torch.tensor(…), NumPy or no_grad() stand between the inputs and it?",
    )
    return value


def plain(value) -> np.ndarray:
    """A float64 array of a tensor, an array or a number."""
    if _is_tensor(value):
        value = _to(_cpu(_detach(value)), _double).numpy()
    return _array(value, dtype=_float64)


def close(got, want, *, rtol: float = 1e-4, atol: float = 1e-6) -> bool:
    """Whether two of the same shape agree; a size or two that differ, or a nan, never do."""
    got, want = plain(got), plain(want)
    return got.shape == want.shape and bool(_allclose(got, want, rtol=rtol, atol=atol))


def same(
    got,
    want,
    *,
    name: str,
    rtol: float = 1e-4,
    atol: float = 1e-6,
    batch: int | None = None,
    pixels: int | None = None,
    mistakes: Mapping[str, tuple[object, str]] | None = None,
) -> None:
    """Raise Wrong unless got is want within the tolerance, with a hint where the difference is one that is known.

    mistakes {name: (the value that this mistake leads to, hint)} are looked for first, in their order; then what
    happens anywhere: nan, transposed, sign, and a constant factor, such as the number of images (batch) or of pixels.
    """
    if close(got, want, rtol=rtol, atol=atol):
        return
    for mistake, (value, hint) in (mistakes or {}).items():
        if close(got, value, rtol=rtol, atol=atol):
            raise Wrong(mistake, f"{name}: {hint}")
    got, want = plain(got), plain(want)
    require(got.shape == want.shape, "shape", f"{name} should have the shape {want.shape}, but it has {got.shape}.")
    if not _all(_isfinite(got)):
        words = "nan" if _isnan(got).any() else "infinite"
        raise Wrong("nan", f"{name} is {words} in places. Is there a log(0), a 0/0 or an overflow on the way?")
    if got.ndim == 2 and got.shape[0] == got.shape[1] and close(got.T, want, rtol=rtol, atol=atol):
        raise Wrong("transposed", f"{name} is transposed: rows and columns have changed places.")
    _factor(got, want, name=name, rtol=max(rtol, 1e-3), atol=atol, batch=batch, pixels=pixels)
    if got.size == 1:  # how far off would be the solution
        got, want = float(got.reshape(())), float(want.reshape(()))
        raise Wrong("value", f"{name} is {got:.6g}, and that is too {'large' if got > want else 'small'}.")
    worst = _unravel(_argmax(_abs(got - want)), got.shape)
    size, where = float(_abs(got - want)[worst]), list(map(int, worst))
    raise Wrong(
        "value", f"{name} has the right form but wrong values: it is {got[worst]:.6g} at {where}, off by {size:.2g}."
    )


def _factor(got, want, *, name: str, rtol: float, atol: float, batch: int | None, pixels: int | None) -> None:
    """Raise Wrong where got is want times a constant, and say which one."""
    power = float((want * want).sum())
    ratio = float((got * want).sum()) / power if power else 0.0
    if not ratio or _isclose(ratio, 1, rel_tol=0.005) or not _allclose(got, ratio * want, rtol=rtol, atol=atol):
        return
    known = [(-1.0, "sign", "has the wrong sign.")]
    for count, mistake, what in ((batch, "batch", "images"), (pixels, "pixels", "pixels")):
        if count and count > 1:
            known.append((float(count), mistake, f"is summed over the {count} {what} where their mean is asked for."))
            known.append((1 / count, mistake, f"is averaged over the {count} {what} where their sum is asked for."))
    if batch and pixels and batch * pixels > 1:
        known.append((1 / (batch * pixels), "pixels", "is averaged over images and pixels, as F.mse_loss does it."))
    known += [
        (2.0, "factor", "is twice what it should be."),
        (0.5, "factor", "is half of what it should be. Is there a ½ too many, or a 2 lost on the way?"),
    ]
    for value, mistake, words in known:
        if _isclose(ratio, value, rel_tol=rtol):
            raise Wrong(mistake, f"{name} {words}")
    if got.size > 1:  # of a single number, any value is a multiple
        raise Wrong("factor", f"{name} is {ratio:.4g} times what it should be, everywhere.")
