"""What all scores share: the check of the pixels they are given, and the walk over them in batches."""

import numbers
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aetutor import runtime


def _checked(name: str, what: str, pixels, least: int = 1, streamed: bool = False, floats: bool = False) -> Tensor:
    readable = isinstance(pixels, Tensor) or (streamed and hasattr(pixels, "split"))
    kind = getattr(pixels, "dtype", None)
    if not readable or not (kind == torch.uint8 or (floats and isinstance(pixels, Tensor) and kind.is_floating_point)):
        found = pixels.dtype if isinstance(pixels, Tensor) else type(pixels).__name__
        wanted = "a uint8 tensor (N, C, H, W) such as images.test" + (", or floats in [0, 1]" if floats else "")
        raise TypeError(f"{name}: {what} is {found}; expected {wanted}")
    if len(pixels.shape) != 4 or len(pixels) < least:
        raise ValueError(
            f"{name}: {what} has shape {tuple(pixels.shape)}; expected (N, C, H, W) with at least"
            f" {'one image' if least == 1 else f'{least} images'}"
        )
    return pixels


def _split(name: str, images, split: str, least: int = 1) -> Tensor:
    if not hasattr(images, split):
        raise TypeError(
            f"{name}: images is {type(images).__name__}, without .{split}; expected the whole ImageSet that data.load"
            " and data.from_arrays make"
        )
    return _checked(name, f"images.{split}", getattr(images, split), least)


def _over(
    name: str,
    model,
    pixels: Tensor,
    batch: int,
    score: Callable[[Tensor], Tensor],
    *,
    what: str = "pixels",
    floats: bool = False,
) -> Tensor:
    _checked(name, what, pixels, streamed=True, floats=floats)
    batch = _batch(name, batch)
    # Data goes to where the network is; a plain function gets it where the pixels are.
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    where = getattr(pixels, "device", None) if weight is None else weight.device
    # A score must not depend on dropout or on the other images of its batch: eval mode, then each part as it was.
    modes = {part: part.training for part in model.modules()} if isinstance(model, nn.Module) else {}
    if modes:
        model.eval()
    try:
        with torch.no_grad():
            return torch.cat([score(_unit(part, where)).cpu() for part in pixels.split(batch)])
    finally:
        for part, training in modes.items():
            part.training = training
        runtime.trim()


def _unit(part: Tensor, where) -> Tensor:
    return part.to(where) if part.is_floating_point() else runtime.to_unit(part, where=where)


def _batch(name: str, batch: int) -> int:
    if not _whole(batch) or batch < 1:
        raise ValueError(f"{name}: batch is {batch!r}; expected a whole number of 1 or more")
    return int(batch)


def _whole(value) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
