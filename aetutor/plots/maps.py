"""Maps of two-number codes, and what the decoder draws at a place of the map."""

from collections.abc import Sequence

import numpy as np

from aetutor.plots.picture import COLOURS, Picture, _array, _draw, _entitle, _finish, _house, _images, _paper, _reusable

NEAR = 20  # codes around a place whose labels are told to those who cannot see the map


@_house
def code_map(z, labels=None, *, title: str, point: Sequence[float] | None = None, alt: str | None = None) -> Picture:
    """Two-number codes as points on a plane, each drawn as its label.

    z          : (N, 2)      codes
    labels     : (N,) ints   0…9, or None for plain dots
    title      : str         says what the picture shows, with its number
    point      : (2,)        one place to mark with a cross, or None
    alt        : str         description; by default made from the title, the counts and the middle of each label
    returns    : Figure
    raises     : ValueError  if z is not (N, 2) and finite, the labels do not fit or point is not two numbers
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    z, labels = _codes(z, labels)
    point = None if point is None else _place(point)
    figure = _paper(6, 5.1, title)
    _scatter(figure.add_subplot(), z, labels, point)
    drawn = "a dot" if labels is None else "its label"
    cross = "" if point is None else f", with a cross at {_said(point)}"
    middles = "" if labels is None else f" In the middle of each label's codes: {_middles(z, labels)}."
    return _finish(figure, title, alt or f"Map of {len(z)} two-number codes, each drawn as {drawn}{cross}.{middles}")


@_house
def decoded_point(
    z, labels, image, *, point: Sequence[float], title: str, alt: str | None = None, on: Picture | None = None
) -> Picture:
    """A map of two-number codes with one place marked, and beside it the image decoded from there.

    z          : (N, 2)      codes
    labels     : (N,) ints   0…9, or None
    image      : (C, H, W)   the decoder's image of `point`, intensity in [0, 1]
    point      : (2,)        the place marked
    title      : str         says what the picture shows, with its number
    alt        : str         description; by default made from the title, the point and the labels nearest to it
    on         : Picture     from an earlier call: if only place, image and words differ, it is changed and returned,
                             in half the time; the outcome is the same as without
    returns    : Figure
    raises     : ValueError  if an array has another form, type or range, or point is not two numbers
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    z, labels = _codes(z, labels)
    point = _place(point)
    image = _array(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[0] not in (1, 3)):
        raise ValueError(f"decoded_point: expected one image (C, H, W) with 1 or 3 channels, got {image.shape}")
    (image,) = _images("image", image[None])
    ground = ("decoded_point", z, labels, _limits(z, point), image.shape)
    if _reusable(on, ground, title):
        figure = on
        left, right = figure.axes
        for cross in left.collections[-2:]:
            cross.set_offsets([point])
        _entitle(figure, title)
    else:
        figure = _paper(8, 3.9, title)
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _scatter(left, z, labels, point)
        right.grid(False)
        figure.drawn_from = ground
    _draw(right, image, False)
    right.set(xticks=[], yticks=[], title="decoded from the cross")
    figure.moving = [*left.collections[-2:], *right.images, *right.spines.values(), *figure.texts]
    near = "" if labels is None else f" The labels nearest to it: {_nearest(z, labels, point)}."
    said = f"Code map with a cross at {_said(point)} and the image decoded from there.{near}"
    return _finish(figure, title, alt or said)


def _codes(z, labels) -> tuple[np.ndarray, np.ndarray | None]:
    z, labels = _array(z), None if labels is None else _array(labels)
    if z.ndim != 2 or z.shape[1] != 2 or len(z) == 0 or (labels is not None and labels.shape != (len(z),)):
        shape = None if labels is None else labels.shape
        raise ValueError(f"a code map takes z (N, 2) and labels (N,); got {z.shape} and {shape}")
    if not np.isfinite(z).all():
        raise ValueError(f"a code map takes finite codes; {(~np.isfinite(z)).any(1).sum()} of {len(z)} are not")
    if labels is not None:
        if labels.dtype.kind not in "iubf" or not np.array_equal(labels, np.trunc(labels)):
            raise ValueError(f"a code map takes whole numbers as labels, such as 0…9; got {labels[:5].tolist()}")
        labels = labels.astype(int)
    return z, labels


def _place(point) -> np.ndarray:
    place = _array(point)
    if place.shape != (2,) or place.dtype.kind not in "iuf" or not np.isfinite(place).all():
        raise ValueError(f"point must be two numbers, a place on the map; got {place.tolist()}")
    return place.astype(float)


def _said(point: np.ndarray) -> str:
    return f"({point[0]:z.2f}, {point[1]:z.2f})"  # z: 0.0, never -0.0


def _middles(z: np.ndarray, labels: np.ndarray) -> str:
    return ", ".join(f"{label} at {_said(np.median(z[labels == label], axis=0))}" for label in np.unique(labels))


def _nearest(z: np.ndarray, labels: np.ndarray, point: np.ndarray) -> str:
    """Which labels stand around a place, the most frequent first: what a glance at the map tells."""
    count = min(NEAR, len(z))
    near = labels[np.square(z - point).sum(1).argpartition(count - 1)[:count]]
    found, times = np.unique(near, return_counts=True)
    return ", ".join(f"{times[i]} × {found[i]}" for i in np.argsort(-times, kind="stable"))


def _limits(z: np.ndarray, point: np.ndarray | None) -> np.ndarray:
    """The ends of both axes, from the codes and the place marked: ((left, right), (bottom, top))."""
    seen = z if point is None else np.vstack([z, point])
    low, high = seen.min(0).astype(float), seen.max(0).astype(float)
    margin = np.where(high > low, 0.05 * (high - low), 0.5)
    return np.stack([low - margin, high + margin], 1)


def _scatter(axes, z: np.ndarray, labels: np.ndarray | None, point: np.ndarray | None) -> None:
    if labels is None:
        axes.scatter(*z.T, s=6, color=COLOURS[0], alpha=0.75, lw=0)  # single ones keep a contrast of 3 with white
    else:
        for turn in range(12):  # in turns, or the last label would cover the others
            for label in np.unique(labels):
                look = {"marker": f"${label}$", "s": 28, "lw": 0.2, "color": COLOURS[label % 10]}
                axes.scatter(*z[labels == label][turn::12].T, **look)
    if point is not None:
        axes.scatter(*point, marker="x", s=260, color="white", lw=6, zorder=3)
        axes.scatter(*point, marker="x", s=220, color="black", lw=2.5, zorder=4)
    xlim, ylim = _limits(z, point)
    axes.set(xlim=xlim, ylim=ylim, xlabel="first code number", ylabel="second code number")
