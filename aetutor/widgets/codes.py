"""Widgets that move through codes: what the decoder draws for them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from torch import Tensor, nn

from aetutor import plots
from aetutor.widgets.live import Live, _digits, _round_ends, _whole, slider


def map_explorer(decode: Callable[[Tensor], Tensor], z: Tensor, labels: Tensor | None = None) -> Live:
    """Two sliders that walk over a map of two-number codes, and the image decoded from where they stand.

    A model or its method is asked in eval mode, where its weights are; a function of your own is called as it stands.

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
    hints = {"first code number": "from left to right", "second code number": "upwards"}
    sliders = []
    for values, (name, way) in zip(z.T, hints.items(), strict=True):
        low, middle, high = (float(found) for found in (values.min(), values.median(), values.max()))
        ends = _round_ends(low, high) if low < high else (low - 1, high + 1)  # a dead number: a range too
        hint = f"What the decoder gets as {name}; it moves the cross {way}"
        sliders.append(slider(name, *ends, middle, hint=hint))
    digits = [_digits(one.step) for one in sliders]

    def draw(first: float, second: float, on: plots.Picture | None = None) -> plots.Picture:
        image = _decoded(decode, z.new_tensor([[first, second]]))[0]
        title = f"The decoder at code ({first:z.{digits[0]}f}, {second:z.{digits[1]}f})"
        return plots.decoded_point(z, labels, image, point=(first, second), title=title, on=on)

    return Live(draw, dict(zip(("first", "second"), sliders, strict=True)), reuse=True)


def code_explorer(encode, decode, x: Tensor, *, spread: Sequence[float] | Tensor, which: Sequence[int]) -> Live:
    """Choose an image, drag some numbers of its code, and watch the output beside the untouched reconstruction.

    A model or its method is asked in eval mode, where its weights are; a function of your own is called as it stands.

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
        before, after = (float((x_hat - x[image]).square().sum()) for x_hat in (plain[image], out[0]))
        rows = {"image": x[image : image + 1], "reconstruction": plain[image : image + 1], "after dragging": out}
        shown = np.stack([np.asarray(r[0].cpu()) for r in rows.values()])
        dragged = ", ".join(f"number {n} by {moves[f'z{n}']:+.2f} σ" for n in which if moves[f"z{n}"]) or "nothing"
        return plots.pictures(
            {"": shown},
            title=f"Squared error {before:.1f}; after dragging: {after:.1f}",
            captions=list(rows),
            alt=f"Image {image}, its reconstruction, and what its code decodes to after dragging {dragged}.",
            on=on,
        )

    choose = _whole("image", 0, len(x) - 1, 0, hint=f"Which of the {len(x)} images")
    hint = "Added to this number of the image's code, in standard deviations σ of that number over many images"
    drags = {f"z{n}": slider(f"number {n} (± σ)", -3, 3, 0, hint=hint) for n in which}
    for drag in drags.values():
        drag.readout_format = "+.2f"  # it is added
    return Live(draw, {"image": choose, **drags}, reuse=True)


def _decoded(network: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    import torch

    with torch.no_grad():
        return _placed(network, batch).cpu()


def _placed(network: Callable[..., Tensor], batch: Tensor, *more) -> Tensor:
    """What the network gives, in eval mode, for a batch that is brought to where its weights are."""
    owner = getattr(network, "__self__", network)  # of a method, the model
    if not isinstance(owner, nn.Module):
        return network(batch, *more)
    weight = next(owner.parameters(), None)  # the reader's model may sit on a GPU
    with _evaluating(owner):
        return network(batch if weight is None else batch.to(weight.device), *more)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, a model is in eval mode, where dropout and batch normalisation rest; afterwards each part as before."""
    training = [part for part in model.modules() if part.training]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True
