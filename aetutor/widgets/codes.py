"""Widgets that move through codes: what the decoder draws for them."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from aetutor import plots
from aetutor.widgets.live import Live, _whole, slider


def map_explorer(decode: Callable[[Tensor], Tensor], z: Tensor, labels: Tensor | None = None) -> Live:
    """Two sliders that walk over a map of two-number codes, and the image decoded from where they stand.

    decode     : (B, 2) -> (B, C, H, W)  a model's decoder
    z          : (N, 2)      codes to show as the map
    labels     : (N,)        0…9, or None
    returns    : Live
    raises     : ValueError  if z is not (N, 2) and finite or the labels do not fit
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    if z.dim() != 2 or z.shape[1] != 2 or len(z) == 0:
        raise ValueError(f"map_explorer: expected codes (N, 2), got {tuple(z.shape)}")
    if not z.isfinite().all():
        raise ValueError(f"map_explorer: {int((~z.isfinite()).any(1).sum())} of {len(z)} codes are nan or infinite")
    ends = zip(z.min(0).values.tolist(), z.max(0).values.tolist(), strict=True)
    low, high = zip(*((a, b) if a < b else (a - 1, b + 1) for a, b in ends), strict=True)  # a dead number: a range too
    start = z.median(0).values.tolist()

    def draw(first: float, second: float, on: plots.Picture | None = None) -> plots.Picture:
        image = _decoded(decode, z.new_tensor([[first, second]]))[0]
        title = f"The decoder at code ({first:z.1f}, {second:z.1f})"
        return plots.decoded_point(z, labels, image, point=(first, second), title=title, on=on)

    names = ("first code number", "second code number")
    sliders = [slider(n, a, b, s) for n, a, b, s in zip(names, low, high, start, strict=True)]
    return Live(draw, dict(zip(("first", "second"), sliders, strict=True)), reuse=True)


def code_explorer(encode, decode, x: Tensor, *, spread: Sequence[float] | Tensor, which: Sequence[int]) -> Live:
    """Choose an image, drag some numbers of its code, and watch the output beside the untouched reconstruction.

    encode     : (B, C, H, W) -> (B, Z)  a model's encoder
    decode     : (B, Z) -> (B, C, H, W)  its decoder
    x          : (N, C, H, W)  images to choose from, intensity in [0, 1]
    spread     : (Z,)        standard deviation of each code number over many images: the sliders' unit
    which      : ints        the code numbers that get a slider, such as the most varied ones
    returns    : Live
    raises     : ValueError  if there is no image, a code number does not exist, or spread is not Z finite numbers
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    if len(x) == 0:
        raise ValueError("code_explorer: expected at least one image, got none")
    z, x = _decoded(encode, x), x.cpu()  # (N, Z)
    if z.dim() != 2:
        raise ValueError(f"code_explorer: encode must give one code per image, (N, Z); got {tuple(z.shape)}")
    spread = np.asarray(spread.detach().cpu() if isinstance(spread, Tensor) else spread, dtype=float)
    if spread.shape != z.shape[1:]:
        raise ValueError(f"code_explorer: spread has shape {spread.shape}; a code here has {z.shape[1]} numbers")
    if not np.isfinite(spread).all():
        wrong = np.flatnonzero(~np.isfinite(spread)).tolist()
        raise ValueError(f"code_explorer: spread is not finite for code numbers {wrong}; is it of a single image?")
    which = list(dict.fromkeys(int(number) for number in which))  # one slider each
    if not all(0 <= number < len(spread) for number in which):
        raise ValueError(f"code_explorer: which is {which}; this code has numbers 0…{len(spread) - 1}")
    plain = _decoded(decode, z)

    def draw(image: int, *, on: plots.Picture | None = None, **moves: float) -> plots.Picture:
        moved = z[image : image + 1].clone()
        for number in which:
            moved[:, number] += moves[f"z{number}"] * float(spread[number])
        out = _decoded(decode, moved)
        error = float((out[0] - x[image]).square().sum())
        rows = {"image": x[image : image + 1], "reconstruction": plain[image : image + 1], "after dragging": out}
        shown = np.stack([np.asarray(r[0].cpu()) for r in rows.values()])
        title = f"Squared error after dragging: {error:.1f}"
        alt = f"Image {image}, its reconstruction, and what its code decodes to after dragging."
        return plots.pictures({"": shown}, title=title, captions=list(rows), alt=alt, on=on)

    choose = _whole("image", 0, len(x) - 1, 0)
    drags = {f"z{n}": slider(f"code number {n} (± σ)", -3, 3, 0) for n in which}
    return Live(draw, {"image": choose, **drags}, reuse=True)


def _decoded(network: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    import torch

    with torch.no_grad():
        return _placed(network, batch).cpu()


def _placed(network: Callable[..., Tensor], batch: Tensor, *more) -> Tensor:
    """What the network gives for a batch that is brought to where its weights are."""
    # The reader's model may sit on a GPU; its own parameters tell where.
    owner = getattr(network, "__self__", network)
    weight = next(owner.parameters(), None) if hasattr(owner, "parameters") else None
    return network(batch.to(weight.device) if weight is not None else batch, *more)
