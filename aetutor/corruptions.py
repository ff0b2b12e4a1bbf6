"""Ways to damage an image, each (B, C, H, W) -> (B, C, H, W) on any device; the input is never changed in place."""

import torch
from torch import Tensor


def gaussian(x: Tensor, *, sigma: float, generator: torch.Generator | None = None) -> Tensor:
    """Adds independent normal noise to every value; the result may leave [0, 1].

    x          : (B, C, H, W)  float, intensity in [0, 1]
    sigma      : float         standard deviation of the noise, in intensity; at least 0
    generator  : torch.Generator on x's device, or None for torch's global one
    returns    : (B, C, H, W)  like x
    raises     : ValueError    if sigma is negative or x is not floating
    source     : Vincent et al. 2010, JMLR 11:3371, section 3.3
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    _check("gaussian", x)
    if not sigma >= 0:
        raise ValueError(f"gaussian: sigma is {sigma}; expected 0 or more")
    return x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def salt_and_pepper(x: Tensor, *, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Sets a random share of the pixels to 0 or 1, half each, all channels of a pixel together.

    x          : (B, C, H, W)  float, intensity in [0, 1]
    share      : float         chance that a pixel is hit, 0…1
    generator  : torch.Generator on x's device, or None for torch's global one
    returns    : (B, C, H, W)  like x
    raises     : ValueError    if share is outside 0…1 or x is not floating
    source     : Vincent et al. 2010, JMLR 11:3371, section 3.3
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    draw = _pixel_draw("salt_and_pepper", x, share, generator)
    return torch.where(draw < share / 2, 0.0, torch.where(draw < share, 1.0, x)).to(x.dtype)


def masking(x: Tensor, *, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Sets a random share of the pixels to 0, all channels of a pixel together.

    x          : (B, C, H, W)  float, intensity in [0, 1]
    share      : float         chance that a pixel is hit, 0…1
    generator  : torch.Generator on x's device, or None for torch's global one
    returns    : (B, C, H, W)  like x
    raises     : ValueError    if share is outside 0…1 or x is not floating
    source     : Vincent et al. 2008, ICML, section 2.3
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    return x * (_pixel_draw("masking", x, share, generator) >= share)


def block(x: Tensor, *, size: int, generator: torch.Generator | None = None) -> Tensor:
    """Sets one square of each image to 0, at a place drawn for each image.

    x          : (B, C, H, W)  float, intensity in [0, 1]
    size       : int           side of the square in pixels, 0 … the shorter side of the image
    generator  : torch.Generator on x's device, or None for torch's global one
    returns    : (B, C, H, W)  like x
    raises     : ValueError    if size does not fit the image or x is not floating
    source     : DeVries & Taylor 2017, arXiv:1708.04552
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    _check("block", x)
    count, _, height, width = x.shape
    if not 0 <= size <= min(height, width):
        raise ValueError(f"block: size is {size}; expected 0…{min(height, width)} for {height}×{width} pixels")
    draw = torch.rand((2, count, 1, 1, 1), generator=generator, device=x.device)
    top = (draw[0] * (height - size + 1)).long()
    left = (draw[1] * (width - size + 1)).long()
    rows = torch.arange(height, device=x.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=x.device).view(1, 1, 1, -1)
    inside = (rows >= top) & (rows < top + size) & (columns >= left) & (columns < left + size)  # (B, 1, H, W)
    return x * ~inside


def lines(x: Tensor, *, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Sets whole rows of each image to 0, drawn for each image.

    x          : (B, C, H, W)  float, intensity in [0, 1]
    count      : int           rows lost, 0…H
    generator  : torch.Generator on x's device, or None for torch's global one
    returns    : (B, C, H, W)  like x
    raises     : ValueError    if count is outside 0…H or x is not floating
    source     : this course
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    _check("lines", x)
    if not 0 <= count <= x.shape[2]:
        raise ValueError(f"lines: count is {count}; expected 0…{x.shape[2]} for images of {x.shape[2]} rows")
    # The rows with the smallest of as many draws as there are rows: exactly `count`, none twice.
    order = torch.rand(x.shape[:1] + x.shape[2:3], generator=generator, device=x.device).argsort(1)  # (B, H)
    return x * (order.argsort(1) >= count)[:, None, :, None]


def half(x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Sets one half of each image to 0: left, right, upper or lower, drawn for each image.

    Of an odd number of rows or columns, the middle one stays.

    x          : (B, C, H, W)  float, intensity in [0, 1]
    generator  : torch.Generator on x's device, or None for torch's global one
    returns    : (B, C, H, W)  like x
    raises     : ValueError    if x is not floating
    source     : this course
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    _check("half", x)
    count, _, height, width = x.shape
    side = torch.randint(4, (count, 1, 1, 1), generator=generator, device=x.device)
    row = torch.arange(height, device=x.device).view(1, 1, -1, 1)
    column = torch.arange(width, device=x.device).view(1, 1, 1, -1)
    left, upper = column < width // 2, row < height // 2
    right, lower = column >= width - width // 2, row >= height - height // 2
    lost = torch.where(side == 0, left, torch.where(side == 1, right, torch.where(side == 2, upper, lower)))
    return x * ~lost


def _check(name: str, x: Tensor) -> None:
    if x.dim() != 4 or not x.is_floating_point():
        raise ValueError(f"{name}: expected float images (B, C, H, W) in [0, 1], got {x.dtype} {tuple(x.shape)}")


def _pixel_draw(name: str, x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    _check(name, x)
    if not 0 <= share <= 1:
        raise ValueError(f"{name}: share is {share}; expected a number in 0…1")
    return torch.rand((len(x), 1, *x.shape[2:]), generator=generator, device=x.device)  # (B, 1, H, W)
