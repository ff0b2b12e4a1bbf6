"""The widget that drowns an image in noise and shows what several ways make of it."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from aetutor import plots
from aetutor.widgets.codes import _placed
from aetutor.widgets.live import Live, _whole, slider

Way = Callable[[Tensor, float], Tensor]


def noise_explorer(
    x: Tensor,
    damage: Way,
    ways: Mapping[str, Way],
    *,
    low: float,
    high: float,
    level: float,
    label: str = "noise level",
) -> Live:
    """Choose an image, turn up the noise, and watch what several ways of denoising make of it, each with its PSNR.

    torch's generators are seeded with the image's number while a picture is computed, and then left as they were: an
    image keeps its pattern of noise, which only grows with the level, if `damage` draws the same numbers at each.
    What leaves [0, 1] is clipped to be drawn; PSNR is of what came out, against the image.

    x          : (N, C, H, W)  images to choose from, float, intensity in [0, 1]
    damage     : (x, level) -> noisy  called with one image (1, C, H, W) on the CPU; gives the same shape
    ways       : {name: (noisy, level) -> x_hat}  of that shape again. A model or its method is asked in eval mode,
                               where its weights are; a plain function is called as it stands, on the CPU
    low, high  : float         ends of the level's slider
    level      : float         at the start, kept inside the range
    label      : str           what the level is, with its unit
    returns    : Live
    raises     : ValueError    if there is no image or no way, low is not below high, or damage or a way gives another
                               shape
    source     : this course
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    if x.dim() != 4 or len(x) == 0 or not x.is_floating_point():
        found = f"{x.dtype} {tuple(x.shape)}"
        raise ValueError(f"noise_explorer: expected float images (N, C, H, W), at least one; got {found}")
    if not ways:
        raise ValueError("noise_explorer: expected at least one way to denoise, got none")
    if not all(map(math.isfinite, (low, high, level))):
        raise ValueError(f"noise_explorer: low, high and level are {low}, {high} and {level}; expected numbers")
    x, names = x.detach().cpu(), list(map(str, ways))

    def draw(image: int, level: float, on: plots.Picture | None = None) -> plots.Picture:
        clean = x[image : image + 1]
        with torch.no_grad(), _seeded(image):
            noisy = _alike(clean, "damage", damage(clean.clone(), level))
            outs = [_alike(clean, repr(name), _placed(way, noisy.clone(), level)) for name, way in ways.items()]
        decibels = [_psnr(clean, out) for out in (noisy, *outs)]
        before, *after = map(_written, decibels)
        best = max(range(len(outs)), key=decibels[1:].__getitem__)
        found = f"{names[best]} {after[best]}" if len(outs) == 1 else f"best {after[best]} ({names[best]})"
        said = list(zip(["noisy", *names], [before, *after], strict=True))
        return plots.pictures(
            {"": torch.cat([clean, noisy, *outs]).nan_to_num(0, 1, 0).clamp(0, 1)},
            title=f"At {label} {level:.2f}: noisy {before}, {found}",
            captions=["image", *map("\n".join, said)],
            alt=f"Image {image}, the same with noise, and what is made of that, with PSNR: "
            f"{', '.join(map(' '.join, said))}.",
            on=on,
        )

    choose = _whole("image", 0, len(x) - 1, 0, hint=f"Which of the {len(x)} images")
    drown = slider(label, low, high, level, hint="How strong the noise is; its pattern stays the same")
    return Live(draw, {"image": choose, "level": drown}, reuse=True)


@contextmanager
def _seeded(number: int) -> Iterator[None]:
    """Inside, torch's random numbers follow the number given; afterwards they are as before."""
    # A GPU that nobody uses yet is left asleep, and torch.manual_seed would have it seeded when it wakes.
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(gpus):
        torch.random.default_generator.manual_seed(number)
        if gpus:
            torch.cuda.manual_seed_all(number)
        yield


def _alike(clean: Tensor, name: str, out) -> Tensor:
    """What `name` gave, on the CPU, once it is known to be an image like the clean one."""
    shape, dtype = tuple(getattr(out, "shape", ())), getattr(out, "dtype", "")
    if shape != clean.shape or "float" not in str(dtype):
        found = f"{type(out).__name__} {dtype} {shape}"
        raise ValueError(f"noise_explorer: {name} must give floats of shape {tuple(clean.shape)}; got {found}")
    return torch.as_tensor(out).cpu().to(clean.dtype)


def _psnr(clean: Tensor, out: Tensor) -> float:
    """−10 log10 of the mean squared error; −∞ where that is not finite, as of all ways the worst."""
    error = (out.double() - clean.double()).square().mean().item()
    return -10 * math.log10(error) if 0 < error < math.inf else (math.inf if error == 0 else -math.inf)


def _written(decibels: float) -> str:
    if decibels == -math.inf:
        return "not finite"
    number = "∞" if decibels == math.inf else f"{decibels:z.1f}".replace("-", "−")
    return f"{number}\u00a0dB"  # a space at which no line breaks
