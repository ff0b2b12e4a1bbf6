"""Pictures of images: rows of them, reconstructions with their errors, a plane of decoded tiles."""

from collections.abc import Mapping, Sequence

import numpy as np

from aetutor.plots.picture import (
    Picture,
    _array,
    _draw,
    _entitle,
    _finish,
    _house,
    _images,
    _paper,
    _reusable,
    _wide,
    _wrapped,
)

MOST = 30  # images side by side; each takes milliseconds, and more are too small to see
GAP = 0.04  # inches between images


@_house
def pictures(
    rows: Mapping[str, object],
    *,
    title: str,
    signed: Sequence[str] = (),
    captions: Sequence[str] | None = None,
    alt: str | None = None,
    on: Picture | None = None,
) -> Picture:
    """Rows of images, each row with its name.

    rows       : {name: (N, C, H, W) or (N, H, W)}  intensity in [0, 1], or uint8; tensors or arrays; at most 30 images
    title      : str         says what the picture shows, with its number
    signed     : names       of rows that hold signed errors, drawn centred on zero, −1…1
    captions   : strings     one below each column, or None; a line break stays one
    alt        : str         description, where names do not say what is to be seen; by default made from the title,
                             the rows' names and the captions
    on         : Picture     from an earlier call: if only pixels, words of the same extent and alt differ, it is
                             changed and returned, in half the time; the outcome is the same as without
    returns    : Figure
    raises     : TypeError   if rows is no dict
    raises     : ValueError  if there is nothing or too much to draw, an array has another form, type or range, or
                             captions, signed or the title do not fit
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    if not isinstance(rows, Mapping):
        kind = type(rows).__name__
        raise TypeError(f'pictures: expected a dict of rows, got {kind}; write pictures({{"image": x}}, title=…)')
    given = {name: _array(images) for name, images in rows.items()}
    columns = max((_few("pictures", name, images) for name, images in given.items()), default=0)
    if columns == 0:
        raise ValueError("pictures: expected at least one row with at least one image, got none")
    if len(rows) > MOST:
        raise ValueError(f"pictures: {len(rows)} rows, and at most {MOST} fit below each other")
    if unknown := set(signed) - set(rows):
        raise ValueError(f"pictures: signed names {sorted(unknown)}; the rows are {list(rows)}")
    if captions is not None and len(captions) != columns:
        raise ValueError(f"pictures: got {len(captions)} captions for {columns} columns; they must be as many")
    arrays = {name: _images(name, images, signed=name in signed) for name, images in given.items()}

    side = min(0.9, 8 / columns)
    notes = [_lines(str(caption), min(1.3, 8 / columns)) for caption in captions or []]
    widest = max((_wide(line, 9) + 0.06 for note in notes for line in note), default=0)
    pitch = max(side, min(widest, 8 / columns))  # from one column to the next
    letters = 9 * min(1, pitch / max(widest, side))
    ground = (
        "pictures",
        list(arrays),
        [v.shape for v in arrays.values()],
        [name in signed for name in arrays],
        [side, pitch, letters],
        list(map(len, notes)),
    )
    if _reusable(on, ground, title):
        figure = on
        _entitle(figure, title)
        lines = [line for note in notes for line in note]
        for text, line in zip(figure.texts[len(figure.texts) - len(lines) :], lines, strict=True):
            text.set_text(line)
    else:
        figure = _frames(arrays, notes, title, side=side, pitch=pitch, letters=letters)
        figure.drawn_from = ground
    every = ((image, name in signed) for name, images in arrays.items() for image in images)
    for axis, (image, error) in zip(figure.axes, every, strict=True):
        _draw(axis, image, error)
    figure.moving = [*(axis.images[0] for axis in figure.axes), *figure.texts]
    counted = f"{'Rows' if len(arrays) > 1 else 'Row'} of {columns} image{'s' if columns > 1 else ''}"
    listed = ", ".join(name for name in map(str, arrays) if name.strip())
    below = ", ".join(" ".join(str(caption).split()) for caption in captions or [])
    parts = [counted + (f": {listed}" if listed else ""), *([f"Below the columns: {below}"] if below else [])]
    return _finish(figure, title, alt or f"{'. '.join(parts)}.")


@_house
def reconstructions(x, x_hat, *, title: str, alt: str | None = None) -> Picture:
    """Images above their reconstructions above the signed errors, with each image's squared error.

    x, x_hat   : (N, C, H, W)  intensity in [0, 1]; about 12 look well, at most 30 fit
    title      : str           says what the picture shows, with its number
    alt        : str           description; by default made from the title and the errors
    returns    : Figure
    raises     : ValueError    if the shapes differ, there is no image or too many, or pixels have another type or range
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    x, x_hat = _array(x), _array(x_hat)
    _few("reconstructions", "x", x)
    x, x_hat = _images("x", x), _images("x_hat", x_hat)
    if x.shape != x_hat.shape:
        raise ValueError(f"reconstructions: x has shape {x.shape} and x_hat {x_hat.shape}; they must be equal")
    error = x_hat - x
    sums = np.square(error).sum((1, 2, 3))
    if len(x) == 0:
        raise ValueError("reconstructions: expected at least one image, got none")
    said = (
        f"One image, its reconstruction and the signed error; squared error {sums[0]:.1f}, written below."
        if len(x) == 1
        else f"{len(x)} images, their reconstructions and the signed errors; squared error per image, from the left: "
        f"{', '.join(f'{s:.1f}' for s in sums)}."
    )
    return pictures(
        {"image": x, "reconstruction": x_hat, "error": error},
        title=title,
        signed=("error",),
        captions=[f"{s:.1f}" for s in sums],
        alt=alt or said,
    )


@_house
def tiles(images, *, title: str, across: Sequence[float], up: Sequence[float], alt: str | None = None) -> Picture:
    """Images decoded on a grid of two-number codes, tiled into one picture with the code as its axes.

    images     : (len(up)·len(across), C, H, W)  row by row, the first row lowest; intensity in [0, 1]
    title      : str         says what the picture shows, with its number
    across, up : numbers     the grid's first and second code number, rising and evenly spaced
    alt        : str         description; by default made from the title and the ranges
    returns    : Figure
    raises     : ValueError  if there are not len(up)·len(across) images, across or up does not rise evenly, or pixels
                             have another type or range
    source     : the manner of figure 4 in Kingma & Welling 2014, arXiv:1312.6114
    taught in  : notebooks/00_start_here.ipynb
    """
    images, across, up = _images("images", images), _steps("across", across), _steps("up", up)
    if len(images) != len(across) * len(up) or len(images) == 0:
        raise ValueError(f"tiles: got {len(images)} images for a grid of {len(up)} × {len(across)}")
    _, channels, height, width = images.shape
    rows = images.reshape(len(up), len(across), channels, height, width)[::-1]  # the lowest row comes last
    whole = rows.transpose(2, 0, 3, 1, 4).reshape(channels, len(up) * height, len(across) * width)
    shape = whole.shape[1] / whole.shape[2]
    wide = min(5.3, 7 / shape)  # inches; a tall grid is drawn narrower
    figure = _paper(wide + 0.7, max(wide * shape, 1.4) + 0.5, title)  # room for the label at the side, too
    axes = figure.add_subplot()
    dx, dy = ((v[-1] - v[0]) / max(1, len(v) - 1) / 2 or 0.5 for v in (across, up))
    extent = (across[0] - dx, across[-1] + dx, up[0] - dy, up[-1] + dy)
    _draw(axes, whole, False, extent=extent, aspect="auto")
    axes.set_box_aspect(shape)  # every tile keeps its form
    axes.grid(False)
    axes.set(xlabel="first code number", ylabel="second code number")
    return _finish(
        figure,
        title,
        alt
        or f"{len(up)} by {len(across)} images decoded from codes, {across[0]:z.1f} to {across[-1]:z.1f} across "
        f"and {up[0]:z.1f} to {up[-1]:z.1f} up.",
    )


def _lines(caption: str, inches: float) -> list[str]:
    wrapped = [_wrapped(line, inches, 9, cut=False) for line in caption.split("\n")]
    return "\n".join(wrapped).split("\n")


def _frames(
    arrays: Mapping[str, np.ndarray],
    notes: Sequence[Sequence[str]],
    title: str,
    *,
    side: float,
    pitch: float,
    letters: float,
) -> Picture:
    """Empty axes for every image, row by row, with names; last come the captions' lines."""
    # All in inches: what the texts need is known beforehand, and matplotlib's own layout is slow.
    columns = max(map(len, arrays.values()))
    names = [_wrapped(str(name), 1.7, 10) for name in arrays]
    left = 0.1 + max(_wide(name, 10) + 0.08 if name else 0 for name in names)
    heights = [(side - GAP) * images.shape[2] / images.shape[3] for images in arrays.values()]
    foot = 0.06 + max((0.16 * len(note) for note in notes), default=0)
    low = foot + sum(heights) + GAP * len(heights)
    figure = _paper(left + pitch * columns + 0.1, low, title)
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    for name, images, tall in zip(names, arrays.values(), heights, strict=True):
        low -= tall + GAP
        figure.text((left - 0.08) / width, (low + tall / 2) / height, name, ha="right", va="center")
        for column in range(len(images)):
            x = left + pitch * column + (pitch - side) / 2
            figure.add_axes((x / width, low / height, (side - GAP) / width, tall / height)).set_axis_off()
    for column, note in enumerate(notes):
        x = left + pitch * column + (pitch - GAP) / 2
        for number, line in enumerate(note):  # one by one, so that first lines stand level
            y = foot - 0.14 - 0.16 * number
            figure.text(x / width, y / height, line, ha="center", fontsize=letters)
    return figure


def _few(function: str, name: str, images: np.ndarray) -> int:
    """How many images an array holds, once that is known to be few enough."""
    count = len(images) if images.ndim in (3, 4) else 1  # of another form: refused when its pixels are read
    if count > MOST:
        raise ValueError(
            f"{function}: {name!r} holds {count} images, and at most {MOST} fit side by side: take some, as in x[:10]"
        )
    return count


def _steps(name: str, values) -> np.ndarray:
    steps = _array(values).astype(float).ravel()
    gaps = np.diff(steps)
    if (
        not np.isfinite(steps).all()
        or (gaps <= 0).any()
        or not np.allclose(gaps, gaps.mean() if len(gaps) else 0, 1e-3)
    ):
        raise ValueError(f"tiles: {name} must rise in even steps, as torch.linspace does; got {steps.tolist()}")
    return steps
