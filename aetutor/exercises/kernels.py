"""What is right in assignment 03: PyTorch's own layers asked for sizes, and kernels laid down one after another."""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .answers import require

_conv, _transposed, _transposed2, _silu, _relu = F.conv1d, F.conv_transpose1d, F.conv_transpose2d, F.silu, F.relu
_zeros, _empty, _randn, _generator = torch.zeros, torch.empty, torch.randn, torch.Generator
_Conv, _Transposed, _Upsample = nn.Conv2d, nn.ConvTranspose2d, nn.Upsample


def chain(n: int, layers: Sequence[Mapping[str, int]]) -> list[int] | None:
    """Sizes along a chain of convolutions, as PyTorch's have them; None where it refuses a kernel that does not fit."""
    sizes = [n]
    for layer in layers:
        how = {name: layer[name] for name in ("stride", "padding", "dilation") if name in layer}
        try:
            sizes.append(_conv(_zeros(1, 1, sizes[-1]), _zeros(1, 1, layer["kernel"]), **how).shape[-1])
        except RuntimeError:
            return None
    return sizes


def mistaken(n: int, layers, *, rounded=math.floor, span=lambda k, d: d * (k - 1) + 1, ends: int = 2) -> list[int]:
    """The same by formula (2), with room for a mistake in it."""
    sizes = [n]
    for layer in layers:
        room = sizes[-1] + ends * layer.get("padding", 0) - span(layer["kernel"], layer.get("dilation", 1))
        sizes.append(rounded(room / layer.get("stride", 1)) + 1)
    return sizes


def needed(small: int, large: int, *, kernel: int, stride: int, padding: int, dilation: int) -> int | None:
    """The output padding that leads from small to large: the one of all that PyTorch accepts, or None."""
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    for output_padding in range(max(stride, dilation)):
        try:
            out = _transposed(_zeros(1, 1, small), _zeros(1, 1, kernel), output_padding=output_padding, **how)
        except RuntimeError:  # no pixel is left
            continue
        if out.shape[-1] == large:
            return output_padding
    return None


def counted(shape: Sequence[int], layers: Sequence[Mapping]) -> dict[str, int]:
    """Weights and multiplications of real layers without memory, and what the known mistakes would count."""
    x, square = (_empty(1, *size, device="meta") for size in (shape, (shape[0], shape[1], shape[1])))
    names = "weights", "without bias", "bias by input", "count", "by output", "by input", "square", "with bias"
    found = dict.fromkeys(names, 0)
    for layer in layers:
        if layer["kind"] == "upsample":
            x, square = (_Upsample(scale_factor=layer["factor"])(picture) for picture in (x, square))
            continue
        turned = layer["kind"] == "transposed"
        how = {name: layer[name] for name in ("stride", "padding", "output_padding") if name in layer}
        built = (_Transposed if turned else _Conv)(x.shape[1], layer["channels"], layer["kernel"], device="meta", **how)
        if turned:  # who takes one size for both sides takes one output padding, too
            how["output_padding"] = layer["output_padding"][0]
        alike = (_Transposed if turned else _Conv)(x.shape[1], layer["channels"], layer["kernel"], device="meta", **how)
        weights, biases, y, other = built.weight.numel(), built.bias.numel(), built(x), alike(square)
        places = (x if turned else y)[0, 0].numel()
        found["weights"] += weights + biases
        found["without bias"] += weights
        found["bias by input"] += weights + x.shape[1]
        found["count"] += weights * places
        found["by output"] += weights * y[0, 0].numel()
        found["by input"] += weights * x[0, 0].numel()
        found["square"] += weights * (square if turned else other)[0, 0].numel()
        found["with bias"] += (weights + biases) * places
        x, square = y, other
    return found


def laid(
    small: int,
    *,
    kernel: int,
    stride: int,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
    near: bool = False,
) -> np.ndarray:
    """How often each pixel of one side is written; near is the mistake of adding pixels at the near end."""
    counts = np.zeros((small - 1) * stride + dilation * (kernel - 1) + 1 + output_padding, dtype=np.int64)
    for weight in range(kernel):
        start = weight * dilation + output_padding * near
        counts[start : start + (small - 1) * stride + 1 : stride] += 1
    return counts[padding : max(len(counts) - padding, padding)]


def even(kernel: int, stride: int) -> bool:
    """Whether all pixels far from a border are written equally often."""
    counts = laid(4 * kernel + 4, kernel=kernel, stride=stride)[kernel:-kernel]
    return len(set(counts.tolist())) == 1


def smallest(small: int, large: int, *, stride: int, largest: int) -> int | None:
    """The smallest kernel of a layer from small to large that writes evenly and leaves no pixel out, or None."""
    for kernel in range(1, largest + 1):
        for padding in range(kernel if even(kernel, stride) else 0):
            for output_padding in range(stride):
                side = laid(small, kernel=kernel, stride=stride, padding=padding, output_padding=output_padding)
                if len(side) == large and side.min() > 0:
                    return kernel
    return None


def decoder(case: str, seed: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """A decoder (B, 2, 3, 4) -> (B, 2, 11, 15) of z alone, and codes for it, in float64."""
    draw = _generator().manual_seed(seed)
    shapes = (2, 3, 4, 4), (3, 2, 3, 3), (4, 2, 3, 4)
    first, second, z = (_randn(*shape, generator=draw, dtype=torch.float64) for shape in shapes)
    if case == "opposed":  # what one channel brings, the other one takes away
        first[1] = -first[0]
    if case == "faint":
        second = 1e-9 * second
    if case == "mirrored":  # what one channel of x_hat gains, the other one loses: in whole numbers, so exactly
        first, second, z = (value.sign() * value.abs().ceil() for value in (first, second, z))
        second[:, 1] = -second[:, 0]
    bend = _relu if case in ("rectified", "mirrored") else _silu

    def decode(z: Tensor) -> Tensor:
        maps = bend(_transposed2(z, first.to(z), stride=2, padding=1))  # (B, 3, 6, 8)
        x_hat = _transposed2(maps, second.to(z), stride=2, padding=1)  # (B, 2, 11, 15)
        return x_hat if case == "mirrored" else x_hat.sigmoid()

    return decode, z


def look(wrong: bool, known: Mapping[str, tuple[bool, str]], *, case: str) -> None:
    """Raise the first of the known mistakes {name: (whether it is that one, hint)} if the answer is wrong."""
    for mistake, (found, hint) in known.items() if wrong else ():
        require(not found, mistake, f"{case}: {hint}")


def whole(value, *, name: str) -> int:
    words = f"{name} should be a whole number, but it is {value!r:.60}. Is there a / where // belongs?"
    require(isinstance(value, numbers.Integral) and not isinstance(value, bool), "type", words)
    return int(value)
