"""Plain autoencoders, dense and convolutional."""

import math
import numbers
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn


class Autoencoder(nn.Module):
    """What the networks of the course share: the ways through an encoder and a decoder, with checks.

    A network of your own sets `code` (int), `shape` (C, H, W), `output` ("sigmoid" or "none"), `encoder`, a module
    (B, C, H, W) -> (B, Z), and `decoder`, a module (B, Z) -> (B, C, H, W).

    returns    : nn.Module   call it with x (B, C, H, W) for x_hat (B, C, H, W)
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """

    code: int
    shape: tuple[int, int, int]
    output: str
    encoder: nn.Module
    decoder: nn.Module

    def encode(self, x: Tensor) -> Tensor:
        """Image to code.

        x          : (B, C, H, W)  float, intensity in [0, 1]
        returns    : (B, Z)        the code, unbounded
        raises     : ValueError    if x is no tensor of the weights' type or its shape is not (B, *shape)
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        wanted = next(self.parameters(), x).dtype
        if not isinstance(x, Tensor) or x.dtype != wanted:
            raise ValueError(
                f"encode: got {type(x).__name__} {getattr(x, 'dtype', '')}; expected a tensor of {wanted}, as the"
                f" weights are: runtime.to_unit(pixels) makes float from uint8, x.to({wanted}) from another float"
            )
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(
                f"encode: got images of shape {tuple(x.shape)}; expected (B, {', '.join(map(str, self.shape))})"
                + (f": build the model for images of {tuple(x.shape[1:])}" if x.dim() == 4 else "")
            )
        return self.encoder(x)

    def logits(self, z: Tensor) -> Tensor:
        """Code to the decoder's last sums, before the sigmoid.

        z          : (B, Z)        code
        returns    : (B, C, H, W)  unbounded
        raises     : ValueError    if z is not (B, code)
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        if z.dim() != 2 or z.shape[1] != self.code:
            raise ValueError(f"decode: got a code of shape {tuple(z.shape)}; expected (B, {self.code})")
        return self.decoder(z)

    def decode(self, z: Tensor) -> Tensor:
        """Code to reconstruction.

        z          : (B, Z)        code
        returns    : (B, C, H, W)  x_hat, intensity in [0, 1] if output is "sigmoid"
        raises     : ValueError    if z is not (B, code)
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        logits = self.logits(z)
        return logits.sigmoid() if self.output == "sigmoid" else logits

    def forward(self, x: Tensor) -> Tensor:
        """Image to reconstruction: `decode(encode(x))`.

        x          : (B, C, H, W)  float, intensity in [0, 1]
        returns    : (B, C, H, W)  x_hat
        raises     : ValueError    if x is no tensor of the weights' type or its shape is not (B, *shape)
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        return self.decode(self.encode(x))


class DenseAutoencoder(Autoencoder):
    """Fully connected encoder and mirrored decoder: pixels → hidden widths → code → hidden widths back → pixels.

    code       : int         numbers in the code, at least 1
    hidden     : ints        widths between pixels and code, in the encoder's order; () gives one linear layer each way
    shape      : (C, H, W)   of one image
    activation : () -> nn.Module  what stands between two linear layers, such as nn.ReLU or nn.Tanh
    output     : str         "sigmoid" keeps x_hat in [0, 1]; "none" leaves it unbounded (a linear decoder, as PCA has)
    returns    : nn.Module   call it with x (B, C, H, W) for x_hat (B, C, H, W)
    raises     : ValueError  if a width is no positive whole number, the shape is not (C, H, W), or output is unknown
    source     : Hinton & Salakhutdinov 2006, Science 313:504
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """

    def __init__(
        self,
        code: int = 32,
        *,
        hidden: Sequence[int] = (256,),
        shape: Sequence[int] = (1, 28, 28),
        activation: Callable[[], nn.Module] = nn.ReLU,
        output: str = "sigmoid",
    ):
        super().__init__()
        hidden = (hidden,) if isinstance(hidden, numbers.Integral) else tuple(hidden)
        shape = tuple(shape)
        if len(shape) != 3:
            raise ValueError(f"shape is {shape}; expected (channels, height, width) such as (1, 28, 28)")
        _check_widths([("code", code), *(("hidden", h) for h in hidden), *(("shape", s) for s in shape)])
        _check_output(output)
        code, hidden, shape = int(code), tuple(map(int, hidden)), tuple(map(int, shape))  # NumPy's whole numbers too
        self.code, self.hidden, self.shape, self.output = code, hidden, shape, output
        pixels = math.prod(shape)
        self.encoder = nn.Sequential(nn.Flatten(), *_dense((pixels, *hidden, code), activation))
        self.decoder = nn.Sequential(*_dense((code, *reversed(hidden), pixels), activation), nn.Unflatten(1, shape))


class ConvAutoencoder(Autoencoder):
    """Two convolutions that each halve the picture, a linear layer to the code, and the same way back.

    pixels → width maps of half the size → 2·width maps of a quarter → (hidden →) code → … → pixels. Kernels are 4 × 4
    with stride 2, so that the transposed convolutions of the decoder cover every pixel equally often.

    code       : int         numbers in the code, at least 1
    width      : int         feature maps after the first convolution; the second has twice as many
    channels   : int         of an image: 1 for grey, 3 for colour
    size       : int or (H, W)  of an image in pixels, at least 4
    hidden     : int         width of a linear layer between feature maps and code; 0: none
    activation : () -> nn.Module  what stands between two layers, such as nn.SiLU or nn.ReLU
    output     : str         "sigmoid" keeps x_hat in [0, 1]; "none" leaves it unbounded
    returns    : nn.Module   call it with x (B, C, H, W) for x_hat (B, C, H, W)
    raises     : ValueError  if a width is no positive whole number, a side is below 4 pixels, or output is unknown
    source     : Masci, Meier, Ciresan & Schmidhuber 2011, ICANN; kernel and stride: Odena, Dumoulin & Olah 2016,
                 Deconvolution and checkerboard artifacts, doi:10.23915/distill.00003
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """

    def __init__(
        self,
        code: int = 32,
        *,
        width: int = 16,
        channels: int = 1,
        size: int | Sequence[int] = 28,
        hidden: int = 0,
        activation: Callable[[], nn.Module] = nn.SiLU,
        output: str = "sigmoid",
    ):
        super().__init__()
        _check_widths([("code", code), ("width", width), ("channels", channels)])
        rows, columns = _sides(size, least=4)
        _check_widths([("hidden", hidden)], least=0)
        _check_output(output)
        code, width, channels, hidden = map(int, (code, width, channels, hidden))
        self.code, self.width, self.shape, self.hidden, self.output = (
            code, width, (channels, rows, columns), hidden, output,
        )  # fmt: skip
        # Halving rounds down; where a side was odd, the way back has to add the row or column that was lost.
        odd = [(side % 2, other % 2) for side, other in ((rows, columns), (rows // 2, columns // 2))]
        maps = (2 * width, rows // 4, columns // 4)
        widths = (math.prod(maps), hidden, code) if hidden else (math.prod(maps), code)
        how = {"kernel_size": 4, "stride": 2, "padding": 1}
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, **how),
            activation(),
            nn.Conv2d(width, 2 * width, **how),
            activation(),
            nn.Flatten(),
            *_dense(widths, activation),
        )
        self.decoder = nn.Sequential(
            *_dense(widths[::-1], activation),
            activation(),
            nn.Unflatten(1, maps),
            nn.ConvTranspose2d(2 * width, width, output_padding=odd[1], **how),
            activation(),
            nn.ConvTranspose2d(width, channels, output_padding=odd[0], **how),
        )


def parameters(model: nn.Module) -> int:
    """How many numbers training adjusts.

    model      : nn.Module
    returns    : int         weights and biases that require a gradient, each tensor counted once
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


# --- Parts ------------------------------------------------------------------------------------------------------


def _check_widths(named, least: int = 1) -> None:
    for name, value in named:
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} holds {value!r}; expected a whole number of {least} or more")


def _sides(size: int | Sequence[int], least: int) -> tuple[int, int]:
    sides = tuple(size) if hasattr(size, "__len__") else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size is {sides}; expected pixels, as in 28, or (height, width)")
    _check_widths([("size", side) for side in sides], least=least)
    return int(sides[0]), int(sides[1])


def _check_output(output: str) -> None:
    if output not in ("sigmoid", "none"):
        raise ValueError(f'output is {output!r}; expected "sigmoid" or "none"')


def _dense(widths: Sequence[int], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    # Between two linear layers, none after the last: without an activation the two would be one linear layer.
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), activation()]
    return layers[:-1]
