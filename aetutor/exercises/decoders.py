"""Checks of assignment 03: a convolutional autoencoder of any size, and which pixels one cell of its maps touches."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .answers import call, close, kind, plain, require, tensor
from .kernels import decoder, even, look

_rand, _generator, _jacobian = torch.rand, torch.Generator, torch.autograd.functional.jacobian
_stack = np.stack

RESIZERS = {"interpolate", "upsample", "grid_sample", "adaptive_avg_pool2d", "adaptive_max_pool2d"}
CUTTERS = {"pad", "narrow", "__getitem__", "index_select"}
STEPS = 1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8


def check_autoencoder(answer: Callable, *, shape: Sequence[int], code: int, widths: Sequence[int]) -> str:
    """Question 6: a convolutional autoencoder that returns the size it was given, watched while images pass through.

    answer     : (shape, *, code, widths) -> nn.Module with .encode and .decode   under test
    shape      : (C, H, W)   of one image
    code       : int         numbers in the code
    widths     : ints        feature maps after each halving
    returns    : str         what was verified
    raises     : Wrong       if the answer is not right; the message is a hint
    source     : the course's own
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    shape, widths = tuple(shape), tuple(widths)
    network = call(answer, shape, name="autoencoder", code=code, widths=widths)
    case = f"autoencoder({shape}, code={code}, widths={widths})"
    require(isinstance(network, nn.Module), "type", f"{case} should be an nn.Module, but it is {kind(network)}.")
    network.eval()  # so that batch normalization and dropout leave images alone alike
    for part in ("encode", "decode"):
        require(hasattr(network, part), "missing", f"{case} has no .{part}. Return Network(encoder, decoder).")
    x = _rand(3, *shape, generator=_generator().manual_seed(code))
    z = tensor(call(network.encode, x, name=f"{case}.encode"), name="encode(x)", shape=(3, code), like=x)
    with _Watch(network) as watch:
        call(network.encode, 20 * x - 10, name=f"{case}.encode")  # wide enough for both sides of a ReLU
    steps = [seen for seen in watch.outputs if isinstance(seen[0], nn.Conv2d | nn.Linear)]
    bare = [a for (a, _, out), (_, into, _) in pairwise(steps) if type(a) is nn.Conv2d and _same_values(out, into)]
    words = "an activation between a convolution and the next layer is missing; without it the two are one linear map."
    require(not bare, "linear", f"{case}: {words}")
    with _Watch(network) as watch:
        x_hat = call(network.decode, z, name=f"{case}.decode")
    calls = ", ".join(sorted(watch.calls))
    require(not watch.calls & RESIZERS, "resized", f"{case}: decode interpolates pictures ({calls}).")
    require(not watch.calls & CUTTERS, "cropped", f"{case}: decode cuts or pads pictures ({calls}).")
    found = tuple(getattr(x_hat, "shape", ()))
    words = (
        f"{case} returns pictures of {found[2:]}. What did each division of the encoder leave, for rows and columns?"
    )
    require(len(found) != 4 or found[2:] == shape[1:], "size", words)
    tensor(x_hat, name=f"{case}.decode(z)", shape=(3, *shape), like=x)
    require(
        bool((x_hat >= 0).all() and (x_hat <= 1).all()), "range", f"{case}: x_hat leaves 0 … 1. Where is the sigmoid?"
    )
    last = [(a, out) for a, _, out in watch.outputs if next(a.parameters(recurse=False), None) is not None][-1:]
    words = "the pixels come from a linear layer. It should lead to the smallest maps, and transposed ones from there."
    require(not any(isinstance(a, nn.Linear) for a, _ in last), "dense", f"{case}: {words}")
    down = [a.out_channels for a in network.modules() if type(a) is nn.Conv2d and a.stride == (2, 2)]
    up = [a for a, _, _ in watch.outputs if isinstance(a, nn.ConvTranspose2d)]
    words = f"found convolutions of stride 2 to {down} channels, and {len(up)} transposed ones"
    require((down, len(up)) == (list(widths), len(widths)), "layers", f"{case}: one per width is asked for; {words}.")
    words = (
        "x_hat is not the sigmoid of what the last layer gives. Is there an activation, or a second sigmoid, behind it?"
    )
    require(all(_same_values(out.sigmoid(), x_hat) for _, out in last), "activated", f"{case}: {words}")
    words = f"dilation 1 is asked for, and here are {[a.dilation for a in up]}."
    require(all(a.dilation == (1, 1) for a in up), "dilation", f"{case}: {words}")
    for k, s, p, q in (
        side for a in up for side in zip(a.kernel_size, a.stride, a.padding, a.output_padding, strict=True)
    ):
        require(even(k, s), "uneven", f"{case}: kernel {k}, stride {s} writes pixels unequally often (question 4).")
        require(q <= p, "unwritten", f"{case}: kernel {k}, padding {p}, output padding {q} leaves a border unwritten.")
    alone = call(network, x[:1], name=f"{case}(x)")
    together = call(network, x, name=f"{case}(x)")
    require(close(alone, together[:1], atol=1e-5), "batch", f"{case}: an image alone comes out unlike in a batch.")
    require(together.requires_grad, "detached", f"{case}: x_hat has no graph, so nothing can learn.")
    together.square().sum().backward()
    still = [name for name, weight in network.named_parameters() if weight.grad is None]
    require(not still, "untrained", f"{case}: no gradient reaches {', '.join(still)}. Is it used by encode and decode?")
    if torch.cuda.is_available():
        there = x.to("cuda")
        tensor(call(network.to("cuda"), there, name=f"{case} on CUDA"), name="x_hat", shape=(3, *shape), like=there)
    return f"autoencoder: right, down by widths {widths} and back to {shape}"


def check_footprint(answer: Callable, *, row: int, column: int, case: str = "smooth", seed: int = 0) -> str:
    """Question 7: which pixels depend on one cell of the smallest maps, against autograd, one pixel at a time.

    answer     : (decode, z, *, row, column) -> (H, W) bool   under test
    row, column : int        of the cell, 0 … 2 and 0 … 3
    case       : str         the decoder: "smooth", "rectified", "opposed", "mirrored" or "faint"
    seed       : int         of its weights and of the codes
    returns    : str         what was verified
    raises     : Wrong       if the answer is not right; the message is a hint
    source     : the course's own
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    decode, z = decoder(case, seed)
    # An image's derivatives by its own code: (C, H, W, c, h, w); their order below: (B, c, C, h, w, H, W).
    slopes = _stack([plain(_jacobian(decode, one))[0, :, :, :, 0] for one in z.split(1)]).transpose(0, 4, 1, 5, 6, 2, 3)
    here = slopes[:, :, :, row, column]
    size, want = abs(here).max((0, 1, 2)), (here != 0).any((0, 1, 2))
    got = call(answer, decode, z, name="footprint", row=row, column=column)
    name = f"footprint(decode, z, row={row}, column={column})"
    turned = tuple(getattr(got, "shape", ())) == z.shape[2:]
    require(not turned, "direction", f"{name} has the size of z's maps: these are the cells that a pixel needs.")
    tensor(got, name=name, shape=want.shape)
    words = f"{name} should be torch.bool, but it is {got.dtype}. A mask is bool: where is it compared with != 0?"
    require(got.dtype == torch.bool, "dtype", words)
    missing = want & (plain(got) == 0)
    swapped = (slopes[:, :, :, column, row] != 0).any((0, 1, 2)) if column < 3 else ~want
    small = 1e-12 * abs(here).max()
    sums = [(abs(here.sum(axes, keepdims=True)) > small).any((0, 1, 2)) for axes in (1, 2, (1, 2), (0, 1, 2))]
    found = size[plain(got) > 0]
    level = found.min() if len(found) else 1e-6
    known = {
        "transposed": (close(got, swapped), "row and column have changed places."),
        "batch": (close(got, (here[0] != 0).any((0, 1))), "other images of the batch show more pixels."),
        "channels": (close(got, (here[:, 0] != 0).any((0, 1))), "the cell has more channels than the first."),
        "cancelled": (any(close(got, one) for one in sums), "what two channels do can cancel out. Look at each alone."),
        "negative": (close(got, (here > 0).any((0, 1, 2))), "a negative derivative counts too."),
        "every": (close(got, (here != 0).any((1, 2)).all(0)), "one image of the batch is enough."),
        "threshold": (
            missing.any() and not (plain(got) > want).any() and size[missing].max() < level,
            "a small derivative is not zero and counts too.",
        ),
    }
    wrong = plain(got) != want
    steps = [mask for by in (STEPS if wrong.any() else ()) for mask in _moved(decode, z, row, column, by)]
    words = "that is what a step of z changes. A step is not a derivative: it rounds, or goes past a bend of the ReLU."
    known["step"] = (any(close(got, moved) for moved in steps), words)
    look(bool(wrong.any()), known, case=name)
    words = f"{int(missing.sum())} pixels are missing, {int((wrong & ~want).sum())} too many"
    require(not wrong.any(), "value", f"{name}: {words}. Is a pixel counted if any channel of any image changes?")
    if torch.cuda.is_available():
        there = z.to("cuda")
        there = call(answer, decode, there, name="footprint on CUDA", row=row, column=column)
        require(close(there, want), "device", f"{name} differs on CUDA. Where are new tensors made?")
    return f"footprint: right for cell ({row}, {column}) of decoder '{case}'"


def _moved(decode: Callable, z: Tensor, row: int, column: int, by: float) -> list[np.ndarray]:
    """The pixels that change by a step, not a derivative, of one cell: of each channel alone, and of both."""
    found, before = [], decode(z)
    for channels in ([0], [1], [0, 1]):
        there = z.clone()
        there[:, channels, row, column] += by
        found.append(plain(decode(there) != before).any((0, 1)))
    return [found[0] | found[1], found[2]]


def _same_values(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors agree, whatever their shapes."""
    return close(plain(one).ravel(), plain(other).ravel(), atol=1e-7)


class _Watch(TorchFunctionMode):
    """Notes the layers that run, what they take and return, and the calls on pictures, tensors of four dimensions."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.calls, self.outputs = set(), []
        self.hooks = [layer.register_forward_hook(self._note) for layer in network.modules()]

    def _note(self, layer, inputs, output):
        # Copies: an activation that works in place would change them.
        seen = (value.detach().clone() if isinstance(value, Tensor) else None for value in (*inputs[:1], output))
        self.outputs.append((layer, *seen))

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if args and isinstance(args[0], Tensor) and args[0].dim() == 4:
            self.calls.add(getattr(function, "__name__", ""))
        return function(*args, **(kwargs or {}))

    def __exit__(self, *error):
        for hook in self.hooks:
            hook.remove()
        self.calls &= RESIZERS | CUTTERS
        return super().__exit__(*error)
