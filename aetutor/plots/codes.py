"""What becomes of one image: pictures in a row above the bars of its code."""

from collections.abc import Sequence

import numpy as np

from aetutor.plots.images import GAP, _few, _lines
from aetutor.plots.picture import COLOURS, Picture, _array, _draw, _finish, _house, _images, _paper

TALL = 1.3  # inches of the bars


@_house
def code_bars(
    images,
    code,
    *,
    captions: Sequence[str],
    low=None,
    high=None,
    title: str,
    x: str = "code number",
    alt: str | None = None,
) -> Picture:
    """Images side by side, and below them a code as bars, each on a band that says what is usual for its number.

    images     : (N, C, H, W) or (N, H, W)  intensity in [0, 1], or uint8; at most 30
    code       : (Z,)        the code's numbers; one beyond its band is drawn hollow
    captions   : strings     one below each image; a line break stays one
    low, high  : (Z,)        ends of each number's band, or both None for none
    title      : str         says what the picture shows, with its number
    x          : str         label of the bars' axis, such as what the bands are
    alt        : str         description; by default made from the title, the captions and the code
    returns    : Figure
    raises     : ValueError  if there is no image or no code, captions or bands do not fit, a number is not finite, or
                             pixels have another type or range
    source     : this course
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    given, code = _array(images), _array(code).astype(float)
    count = _few("code_bars", "images", given)
    shown = _images("images", given)
    if count == 0 or code.ndim != 1 or len(code) == 0:
        raise ValueError(f"code_bars: expected images and one code (Z,), got {count} images and {code.shape}")
    if len(captions) != count:
        raise ValueError(f"code_bars: got {len(captions)} captions for {count} images; they must be as many")
    usual = low is not None and high is not None
    low, high = (_array(end if usual else np.zeros(len(code))).astype(float) for end in (low, high))
    for name, numbers in (("code", code), ("low", low), ("high", high)):
        if numbers.shape != code.shape:
            raise ValueError(f"code_bars: {name} has shape {numbers.shape} for a code of {len(code)} numbers")
        if not np.isfinite(numbers).all():
            raise ValueError(f"code_bars: {name} holds numbers that are not finite")

    pitch = min(1.1, 8 / count)  # inches from one image to the next
    side = pitch - GAP - 0.06
    notes = [_lines(str(caption), pitch - 0.04) for caption in captions]
    foot = 0.1 + 0.16 * max(map(len, notes))
    rows = side * shown.shape[2] / shown.shape[3]
    figure = _paper(max(0.6 + pitch * count, 6), rows + foot + TALL + 0.5, title)
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    base = TALL + 0.5 + foot  # inches from below to the images
    for column, (image, note) in enumerate(zip(shown, notes, strict=True)):
        left = 0.5 + pitch * column
        axis = figure.add_axes((left / width, base / height, side / width, rows / height))
        axis.set_axis_off()
        _draw(axis, image, False)
        for number, line in enumerate(note):
            y = base - 0.16 * (number + 1)
            figure.text((left + side / 2) / width, y / height, line, ha="center", fontsize=9)
    axes = figure.add_axes((0.5 / width, 0.45 / height, 1 - 0.65 / width, TALL / height))
    places = np.arange(len(code))
    outside = usual & ((code < low) | (code > high))
    if usual:
        look = {"color": "#dddddd", "edgecolor": "#888888", "linewidth": 0.6}
        axes.bar(places, high - low, bottom=low, width=0.9, **look)
    axes.bar(places[~outside], code[~outside], width=0.55, color=COLOURS[0])
    axes.bar(places[outside], code[outside], width=0.55, facecolor="none", edgecolor=COLOURS[1], linewidth=1.5)
    axes.axhline(0, color="#333333", lw=0.8)
    axes.grid(False, axis="x")
    axes.margins(x=0.01)
    axes.set_xlabel(x)
    axes.tick_params(labelsize=9)
    listed = "; ".join(" ".join(str(caption).split()) for caption in captions)
    said = f"From left to right: {listed}. Below, {len(code)} code numbers from {code.min():.2g} to {code.max():.2g}"
    beyond = f", {outside.sum()} of them outside their usual range" if usual else ""
    return _finish(figure, title, alt or f"{said}{beyond}.")
