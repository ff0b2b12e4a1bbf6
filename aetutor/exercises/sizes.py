"""Checks of assignment 03: sizes of layers, what they cost, and how often they write a pixel."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from .answers import Wrong, call, close, kind, plain, require, tensor
from .kernels import chain, counted, even, laid, look, mistaken, needed, smallest, whole

_minimum, _outer, _add, _unravel = np.minimum, np.multiply.outer, np.add.outer, np.unravel_index


def check_sizes(answer: Callable, *, n: int, layers: Sequence[Mapping[str, int]]) -> str:
    """Question 1: the sizes of a picture's side along a chain of convolutions, against PyTorch's.

    answer     : (n, layers) -> list of int   under test; raises ValueError where a kernel does not fit
    n          : int         pixels along the side
    layers     : dicts       with kernel and, where it is not 1, 0, 1: stride, padding, dilation
    returns    : str         what was verified
    raises     : Wrong       if the answer is not right; the message is a hint
    source     : the course's own
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    given, want = copy.deepcopy(list(layers)), chain(n, layers)
    try:
        got = call(answer, n, given, name="sizes")
    except Wrong as wrong:
        if want is None and type(wrong.__cause__) is ValueError:
            return "sizes: refuses a kernel that does not fit"
        lost = type(wrong.__cause__) is KeyError and wrong.__cause__.args[0] in ("stride", "padding", "dilation")
        require(not lost, "fails", f"{wrong}. This key may be missing; the text says what holds then.")
        fits = want is not None and type(wrong.__cause__) is ValueError
        words = f"sizes raises ValueError for {n} pixels and {layers!r:.90}, where PyTorch has a size for each layer."
        require(not fits, "refused", f"{words} Which size must the kernel's span not exceed?")
        raise
    words = f"sizes returns {got!r:.60}, although a kernel spans more pixels than its padded input has."
    require(
        want is not None,
        "fit",
        f"{words} That should raise ValueError. Is the span compared, and how does int() round?",
    )
    require(
        given == list(layers), "in-place", "sizes changes the layers it was given, and its caller still needs them."
    )
    require(isinstance(got, list | tuple), "type", f"sizes should return a list, but it is {kind(got)}.")
    got = [whole(value, name="a size") for value in got]
    case = f"sizes gives {got} for {n} pixels"
    known = {
        "start": (want[1:], "the list starts with n, the size before the first layer."),
        "rounding": (mistaken(n, layers, rounded=math.ceil), "is a remainder smaller than a step used?"),
        "dilation": (mistaken(n, layers, span=lambda k, d: k), "the dilation is not used."),
        "span": (mistaken(n, layers, span=lambda k, d: k * d), "k weights have k − 1 gaps. How wide is the kernel?"),
        "padding": (mistaken(n, layers, ends=1), "padding is added at both ends."),
    }
    look(got != want, {mistake: (got == value, hint) for mistake, (value, hint) in known.items()}, case=case)
    require(len(got) == len(want), "shape", f"{case}; expected n and one size for each of {len(layers)} layers.")
    place = next((i for i, (a, b) in enumerate(zip(got, want, strict=True)) if a != b), None)
    where = f"layer {place}, {dict(layers[place - 1])}" if place else "the start"
    require(place is None, "value", f"{case}; PyTorch's layers agree up to {where}.")
    return f"sizes: right for {n} pixels through {len(layers)} layers"


def check_output_paddings(
    answer: Callable, *, small: Sequence[int], large: Sequence[int], kernel: int, stride=1, padding=0, dilation=1
) -> str:
    """Question 2: the output padding that leads a transposed convolution to a size, against trying all of them.

    answer     : (small, large, *, kernel, stride, padding, dilation) -> (int, int) or None   under test
    small      : (h, w)      size before the layer
    large      : (H, W)      size wanted
    kernel, stride, padding, dilation : int   of the layer, as in torch.nn.ConvTranspose2d
    returns    : str         what was verified
    raises     : Wrong       if the answer is not right; the message is a hint
    source     : the course's own
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    layer = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    sides = tuple(needed(a, b, **layer) for a, b in zip(small, large, strict=True))
    want = None if None in sides else sides
    got = call(answer, tuple(small), tuple(large), name="output_paddings", **layer)
    case = f"output_paddings from {tuple(small)} to {tuple(large)} by {layer}"
    if got is not None:
        fits = isinstance(got, list | tuple) and len(got) == 2
        require(fits, "type", f"{case} should be (rows, columns) or None, but it is {got!r:.60}.")
        words = f"{case} is {got!r:.60}: if one side cannot be reached, return one None for both."
        require(all(value is not None for value in got), "one-none", words)
        got = tuple(whole(value, name="an output padding") for value in got)
    case, most = f"{case} is {got}", max(stride, dilation) - 1
    pair = got or (0, 0)
    known = {
        "limit": (
            got is None,
            f"yet PyTorch accepts a pair here: each up to {most}. Stride, dilation, both? (Or is a return missing?)",
        ),
        "negative": (min(pair) < 0, "it can add pixels, and take none away."),
        "too-large": (max(pair) > most, f"PyTorch accepts at most {most} here, so this layer cannot get there."),
        "impossible": (want is None, "but with that the layer does not reach the size. Put it into formula (3)."),
        "transposed": (want and got == want[::-1], "rows come first, then columns."),
        "square": (want and got == (want[0], want[0]), "that is right for the rows. And for the columns?"),
    }
    look(got != want, known, case=case)
    require(got == want, "value", f"{case}. Put it into formula (3): which size comes out?")
    return f"output_paddings: right from {tuple(small)} to {tuple(large)}"


def check_cost(answer: Callable, *, shape: Sequence[int], layers: Sequence[Mapping]) -> str:
    """Question 3: weights and multiplications of a chain of layers, against layers built by PyTorch.

    answer     : (shape, layers) -> (weights, multiplications)   under test
    shape      : (C, H, W)   of the picture that goes in
    layers     : dicts       with kind "conv", "transposed" or "upsample", and what that kind needs
    returns    : str         what was verified
    raises     : Wrong       if the answer is not right; the message is a hint
    source     : the course's own
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    given = copy.deepcopy(list(layers))
    got = call(answer, tuple(shape), given, name="cost")
    require(given == list(layers), "in-place", "cost changes the layers it was given, and its caller still needs them.")
    fits, what = isinstance(got, list | tuple) and len(got) == 2, kind(got) if got is None else f"{got!r:.60}"
    require(fits, "type", f"cost should return (weights, multiplications), but it returns {what}.")
    weights, count = (whole(value, name=name) for value, name in zip(got, ("weights", "multiplications"), strict=True))
    right = counted(shape, layers)
    want = right["weights"], right["count"]
    where = "at every place of which picture does"
    kernels = "has a kernel for each pair of an input and an output channel"
    more = " What enters the second layer?" if len(layers) > 1 else ""
    bare, turned = ([_padded(layer, change) for layer in layers] for change in (lambda q: (0, 0), lambda q: q[::-1]))
    known = {
        "transposed": ((count, weights) == want, "weights come first, then multiplications."),
        "bias": (weights == right["without bias"], "the bias of each output channel is a weight too."),
        "input-bias": (weights == right["bias by input"], "there is one bias for each *output* channel."),
        "value": (weights != want[0], f"PyTorch's layers have another number of weights. A layer {kernels}.{more}"),
        "places": (count == right["by output"], f"{where} a transposed layer lay its kernel?"),
        "conv-places": (count == right["by input"], f"{where} a convolution lay its kernel?"),
        "output-padding": (count == counted(shape, bare)["count"], "does output padding change the next layer's size?"),
        "swapped": (count == counted(shape, turned)["count"], "output padding is (rows, columns)."),
        "square": (count == right["square"], "right only for square pictures. Where do height and width enter?"),
        "bias-multiplied": (count == right["with bias"], "a bias is added; it multiplies nothing."),
    }
    case = f"cost of {len(layers)} layers on {tuple(shape)}, {weights:,} weights and {count:,} multiplications"
    look((weights, count) != want, known, case=case)
    words = "weights are right, multiplications are not. Is each layer given the size that the last one leaves?"
    require(count == want[1], "value", f"{case}: {words}")
    return f"cost: right for {len(layers)} layers on {tuple(shape)}: {weights:,} weights, {count:,} multiplications"


def _padded(layer: Mapping, change: Callable) -> Mapping:
    """The layer with another output padding, if it has one."""
    return {**layer, "output_padding": change(layer["output_padding"])} if "output_padding" in layer else layer


def check_writes(
    answer: Callable, *, small: Sequence[int], kernel: int, stride=1, padding=0, output_padding=0, dilation=1
) -> str:
    """Question 4: how often a transposed convolution writes each pixel, against laying down one kernel after another.

    answer     : (small, *, kernel, stride, padding, output_padding, dilation) -> (H, W) int64   under test
    small      : (h, w)      size before the layer
    kernel, stride, padding, output_padding, dilation : int   of the layer, as in torch.nn.ConvTranspose2d
    returns    : str         what was verified
    raises     : Wrong       if the answer is not right; the message is a hint
    source     : Odena, Dumoulin & Olah 2016, Deconvolution and checkerboard artifacts, doi:10.23915/distill.00003
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    layer = {"kernel": kernel, "stride": stride, "padding": padding, "output_padding": output_padding}
    layer |= {"dilation": dilation}
    rows, columns = (laid(m, **layer) for m in small)
    got = call(answer, tuple(small), name="writes", **layer)
    case, found = f"writes({tuple(small)}) by {layer}", tuple(getattr(got, "shape", ()))

    def ignored(**change) -> bool:
        return found == tuple(len(laid(m, **layer | change)) for m in small)

    known = {
        "dilation": (ignored(dilation=1), "the size is that of a layer without dilation."),
        "padding": (
            ignored(padding=0),
            "the size is that of a layer without padding, which takes off pixels at both ends.",
        ),
        "output-padding": (ignored(output_padding=0), "the size is that of a layer without output padding."),
    }
    look(found != (len(rows), len(columns)), known, case=case)
    tensor(got, name=case, shape=(len(rows), len(columns)))
    words = f"{case} should be torch.int64, but it is {got.dtype}. Counts are whole: .long() makes them so."
    require(got.dtype == torch.int64, "dtype", words)
    want, one = _outer(rows, columns), _outer(rows, rows)
    shifted = _outer(*(laid(m, **layer, near=True) for m in small))
    known = {
        "sum": (
            close(got, _add(rows, columns)),
            "each side is right, but for rows and columns together, counts do not add.",
        ),
        "end": (close(got, shifted), "output padding adds pixels at the far end: below and on the right."),
        "once": (close(got, _minimum(want, 1)), "whether a pixel is written, it says; asked is how often."),
        "square": (close(got, one), "the rows are right. And the columns?"),
    }
    wrong = plain(got) != want
    look(bool(wrong.any()), known, case=case)
    place = tuple(map(int, _unravel(wrong.argmax(), want.shape)))
    require(
        not wrong.any(), "value", f"{case} says {int(got[place])} for pixel {place}. Lay the kernels by hand there."
    )
    return f"writes: right for {tuple(small)} by kernel {kernel}, stride {stride}"


def check_even_layer(answer: Callable, *, small: int, large: int, stride: int, largest: int = 12) -> str:
    """Question 5: a transposed layer that reaches a size and writes all pixels equally often, against trying all.

    answer     : (small, large, *, stride, largest) -> dict of ConvTranspose2d's arguments, or None   under test
    small      : int         pixels along the side before the layer
    large      : int         pixels wanted
    stride     : int         of the layer
    largest    : int         the largest kernel allowed
    returns    : str         what was verified
    raises     : Wrong       if the answer is not right; the message is a hint
    source     : Odena, Dumoulin & Olah 2016, Deconvolution and checkerboard artifacts, doi:10.23915/distill.00003
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    best = smallest(small, large, stride=stride, largest=largest)
    case = f"even_layer from {small} to {large} pixels with stride {stride}"
    got = call(answer, small, large, name="even_layer", stride=stride, largest=largest)
    if got is None:
        require(
            best is None,
            "possible",
            f"{case} is None, but a kernel of {largest} or less can do it. Try others. (Or is a return missing?)",
        )
        return f"{case}: right, there is none"
    require(isinstance(got, Mapping), "type", f"{case} should be a dict or None, but it is {kind(got)}.")
    names = ["kernel_size", "output_padding", "padding", "stride"]
    require(sorted(got) == names, "keys", f"{case} has the keys {sorted(got)}; expected {names}.")
    kernel, output_padding, padding, step = (whole(got[name], name=name) for name in names)
    case = f"{case} is {dict(got)}"
    require(step == stride, "stride", f"{case}: that is not the stride asked for.")
    require(0 < kernel <= largest, "largest", f"{case}: the kernel may have 1 … {largest} weights a side.")
    require(0 <= padding < kernel, "padding", f"{case}: padding is 0 … kernel_size − 1.")
    require(0 <= output_padding < stride, "limit", f"{case}: output padding is 0 … stride − 1.")
    side = laid(small, kernel=kernel, stride=stride, padding=padding, output_padding=output_padding)
    require(len(side) == large, "size", f"{case}, and that leads to {len(side)} pixels.")
    require(even(kernel, stride), "uneven", f"{case}: pixels far from a border are not written equally often.")
    require(side.min() > 0, "unwritten", f"{case}: some pixels at a border are reached by no kernel, only by the bias.")
    require(kernel == best, "larger", f"{case}: a smaller kernel can do it too.")
    return f"even_layer: right from {small} to {large} pixels with stride {stride}"
