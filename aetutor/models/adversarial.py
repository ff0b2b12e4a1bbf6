"""Networks that are trained against each other: one makes images, the other tells them from real ones."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aetutor.models.autoencoders import _check_widths, _sides


class Generator(nn.Module):
    """Code to image: the convolutional decoder of chapter 03, with batch normalisation.

    code → 2·width maps of a quarter of the size → width maps of half → pixels. Without the normalisation, the game
    with a discriminator collapses far more easily.

    code       : int         numbers in the code
    width      : int         feature maps of half the image's size; of a quarter there are twice as many
    channels   : int         of an image: 1 for grey, 3 for colour
    size       : int or (H, W)  of an image in pixels, multiples of 4
    returns    : nn.Module   call it with z (B, Z) for images (B, C, H, W) in [0, 1]
    raises     : ValueError  if a width is no positive whole number, or a side no multiple of 4
    source     : Radford, Metz & Chintala 2016, arXiv:1511.06434
    taught in  : notebooks/06_adversarial.ipynb
    """

    def __init__(self, code: int = 16, *, width: int = 16, channels: int = 1, size: int | Sequence[int] = 28):
        super().__init__()
        _check_widths([("code", code), ("width", width), ("channels", channels)])
        rows, columns = _quartered(size)
        code, width, channels = map(int, (code, width, channels))  # NumPy's whole numbers too
        self.code, self.shape = code, (channels, 4 * rows, 4 * columns)
        how = {"kernel_size": 4, "stride": 2, "padding": 1}
        self.decoder = nn.Sequential(
            nn.Linear(code, 2 * width * rows * columns),
            nn.Unflatten(1, (2 * width, rows, columns)),
            nn.BatchNorm2d(2 * width),
            nn.SiLU(),
            nn.ConvTranspose2d(2 * width, width, **how),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.ConvTranspose2d(width, channels, **how),
            nn.Sigmoid(),
        )

    def decode(self, z: Tensor) -> Tensor:
        """Code to image.

        z          : (B, Z)        code
        returns    : (B, C, H, W)  intensity in [0, 1]
        raises     : ValueError    if z is not (B, code)
        source     : this course
        taught in  : notebooks/06_adversarial.ipynb
        """
        if z.dim() != 2 or z.shape[1] != self.code:
            raise ValueError(f"decode: got a code of shape {tuple(z.shape)}; expected (B, {self.code})")
        return self.decoder(z)

    def forward(self, z: Tensor) -> Tensor:
        """Code to image, as `decode`.

        z          : (B, Z)        code
        returns    : (B, C, H, W)  intensity in [0, 1]
        raises     : ValueError    if z is not (B, code)
        source     : this course
        taught in  : notebooks/06_adversarial.ipynb
        """
        return self.decode(z)


class Discriminator(nn.Module):
    """Image to one number: how sure it is that the image is real, as a logit.

    width      : int         feature maps after the first convolution; the second has twice as many
    channels   : int         of an image: 1 for grey, 3 for colour
    size       : int or (H, W)  of an image in pixels, multiples of 4
    returns    : nn.Module   call it with x (B, C, H, W) for logits (B,); sigmoid of them is a probability
    raises     : ValueError  if a width is no positive whole number, or a side no multiple of 4
    source     : Radford, Metz & Chintala 2016, arXiv:1511.06434
    taught in  : notebooks/06_adversarial.ipynb
    """

    def __init__(self, *, width: int = 16, channels: int = 1, size: int | Sequence[int] = 28):
        super().__init__()
        _check_widths([("width", width), ("channels", channels)])
        rows, columns = _quartered(size)
        width, channels = int(width), int(channels)
        self.shape = (channels, 4 * rows, 4 * columns)
        how = {"kernel_size": 4, "stride": 2, "padding": 1}
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, **how),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, **how),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * rows * columns, 1),
            nn.Flatten(0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Image to logit.

        x          : (B, C, H, W)  intensity in [0, 1]
        returns    : (B,)          above 0: rather real; below 0: rather made
        raises     : ValueError    if x is no floating tensor or its shape is not (B, *shape)
        source     : this course
        taught in  : notebooks/06_adversarial.ipynb
        """
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise ValueError(
                f"Discriminator: got {type(x).__name__} {getattr(x, 'dtype', '')}; expected a floating tensor:"
                " runtime.to_unit(pixels) makes it from uint8"
            )
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"Discriminator: got {tuple(x.shape)}; expected (B, {', '.join(map(str, self.shape))})")
        return self.layers(x)


class Adversarial(nn.Module):
    """Two players in one network, so that `train.fit` can let them take turns: .generator and .discriminator.

    generator  : nn.Module   with .code (int) and .decode: (B, Z) -> (B, C, H, W); such as Generator, or an autoencoder
    discriminator : nn.Module  (B, C, H, W) -> (B,) logits
    returns    : nn.Module   with .decode and .sample; train it by the objectives of its two parts
    raises     : TypeError   if one is no network, or the generator has no .decode or no .code
    source     : Goodfellow et al. 2014, arXiv:1406.2661
    taught in  : notebooks/06_adversarial.ipynb
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module):
        super().__init__()
        able = callable(getattr(generator, "decode", None)) and isinstance(getattr(generator, "code", None), int)
        if not able or not isinstance(generator, nn.Module):
            raise TypeError(
                f"generator is {_kind(generator)}; expected a network with .decode and .code, such as"
                " models.Generator(code=16) or an autoencoder"
            )
        if not isinstance(discriminator, nn.Module):
            raise TypeError(
                f"discriminator is {_kind(discriminator)}; expected a network (B, C, H, W) -> (B,), such as"
                " models.Discriminator()"
            )
        self.generator, self.discriminator, self.code = generator, discriminator, generator.code

    def decode(self, z: Tensor) -> Tensor:
        """Code to image, by the generator.

        z          : (B, Z)        code
        returns    : (B, C, H, W)  what the generator makes of it
        raises     : ValueError    if z is not (B, code)
        source     : this course
        taught in  : notebooks/06_adversarial.ipynb
        """
        return self.generator.decode(z)

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """New images: codes from N(0, I), through the generator in eval mode, 500 at a time.

        count      : int           B, how many
        generator  : torch.Generator on the CPU, or None for torch's global one
        returns    : (B, C, H, W)  on the CPU
        raises     : nothing
        source     : Goodfellow et al. 2014, arXiv:1406.2661
        taught in  : notebooks/06_adversarial.ipynb
        """
        codes = torch.randn(count, self.code, generator=generator)
        codes = codes.to(next(self.generator.parameters(), codes))
        modes = {part: part.training for part in self.generator.modules()}
        self.generator.eval()  # batch normalisation by its running averages: a sample must not depend on the others
        try:
            with torch.no_grad():
                return torch.cat([self.decode(part).cpu() for part in codes.split(500)])
        finally:
            for part, training in modes.items():
                part.training = training


# --- Parts ------------------------------------------------------------------------------------------------------


def _kind(found) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else type(found).__name__


def _quartered(size: int | Sequence[int]) -> tuple[int, int]:
    sides = _sides(size, least=4)
    if any(side % 4 for side in sides):
        raise ValueError(f"size is {size}; expected sides that are multiples of 4, since two layers halve them")
    rows, columns = (side // 4 for side in sides)
    return rows, columns
