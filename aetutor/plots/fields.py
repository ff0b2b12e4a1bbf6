"""Fields of arrows over a plane: where each of several rules would move its points."""

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import MaxNLocator

from aetutor.plots.picture import COLOURS, Picture, _array, _finish, _house, _paper, _wrapped

PANELS = 6  # side by side; more are too small to see an arrow
GUTTER = 0.2  # inches between panels


@_house
def arrows(fields: Mapping[str, object], points, *, data, title: str, alt: str | None = None) -> Picture:
    """Where fields move the points of a plane: one panel for each field, with an arrow from every point.

    An arrow ends where its point is moved to; a dot stands where a point stays. All panels have the same limits.

    fields     : {name: (N, 2)}  moves of the points, such as x_hat − x; at most 6 fields
    points     : (N, 2)      where the arrows start; a few hundred look well
    data       : (M, 2)      drawn as small dots below the arrows
    title      : str         says what the picture shows, with its number
    alt        : str         description; by default made from the title, the counts, how many arrows end nearer to the
                             data than they start, and each field's median length
    returns    : Figure
    raises     : TypeError   if fields is no dict
    raises     : ValueError  if there is no field or too many, or an array is empty, has another form or is not finite
    source     : matplotlib's quiver, with angles and scale in the units of the axes
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    if not isinstance(fields, Mapping):
        kind = type(fields).__name__
        raise TypeError(f'arrows: expected a dict of fields, got {kind}; write arrows({{"a name": moves}}, points, …)')
    if not 0 < len(fields) <= PANELS:
        raise ValueError(f"arrows: got {len(fields)} fields; expected 1…{PANELS}")
    points, data = _plane("points", points), _plane("data", data)
    moves = {str(name): _plane(repr(name), field, len(points)) for name, field in fields.items()}

    seen = np.vstack([data, points, *(points + move for move in moves.values())])
    low, high = seen.min(0), seen.max(0)
    across, up = (high - low) if (high > low).any() else (1.0, 1.0)
    spans = 1.08 * np.array([max(across, up / 1.3), max(up, across / 2)])  # no panel is a mere strip
    (left, right), (bottom, top) = np.stack([(low + high - spans) / 2, (low + high + spans) / 2], 1)

    # All in inches, since matplotlib's own layout leaves gaps around panels of a fixed shape.
    side = min(3.4, (8.4 - GUTTER * (len(moves) - 1)) / len(moves))
    tall = side * spans[1] / spans[0]
    names = [_wrapped(name, side, 10) for name in moves]
    head = 0.06 + 0.17 * max(name.count("\n") + 1 for name in names)
    figure = _paper(0.9 + (side + GUTTER) * len(moves), 0.55 + tall + head, title)
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    # The white edge keeps arrows apart that end in one place.
    look = {"width": 0.014, "headwidth": 4.6, "headlength": 5, "headaxislength": 4.6, "ec": "white", "lw": 0.25}
    how = {"angles": "xy", "scale_units": "xy", "scale": 1, "units": "inches", "minlength": 1.5, **look}
    for number, (name, move) in enumerate(zip(names, moves.values(), strict=True)):
        start = 0.85 + (side + GUTTER) * number
        axes = figure.add_axes((start / width, 0.55 / height, side / width, tall / height))
        axes.plot(*data.T, "o", ms=2.5, mew=0, color=COLOURS[5])
        axes.quiver(*points.T, *move.T, zorder=3, **how)
        axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="first coordinate")
        axes.set_title(name, fontsize=10)
        for axis, length in ((axes.xaxis, side), (axes.yaxis, tall)):
            axis.set_major_locator(MaxNLocator(max(2, int(length / 0.5)), steps=(1, 2, 5, 10)))
        if number:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel("second coordinate")
    many = "One panel" if len(moves) == 1 else f"{len(moves)} panels side by side, each"
    lengths = "; ".join(f"{name} {np.median(np.hypot(*move.T)):.3g}" for name, move in moves.items())
    far = _apart(points, data)
    nearer = "; ".join(f"{name} {(_apart(points + move, data) < far).mean():.0%}" for name, move in moves.items())
    said = (
        f"{many} with {len(points)} arrows over {len(data)} dots of data. Arrows that end nearer to a dot than they"
        f" start: {nearer}. Median length of an arrow: {lengths}."
    )
    return _finish(figure, title, alt or said)


def _apart(points: np.ndarray, data: np.ndarray) -> np.ndarray:
    """How far each point lies from the nearest dot."""
    return np.array([np.hypot(*(data - point).T).min() for point in points])


def _plane(name: str, values, count: int | None = None) -> np.ndarray:
    array = _array(values)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iuf" or len(array) != (count or len(array)):
        raise ValueError(f"arrows: {name} must be numbers ({count or 'N'}, 2); got {array.dtype} {array.shape}")
    if len(array) == 0:
        raise ValueError(f"arrows: {name} is empty; expected at least one row")
    if wrong := int((~np.isfinite(array)).any(1).sum()):
        raise ValueError(f"arrows: {wrong} of the {len(array)} rows of {name} are nan or infinite")
    return array.astype(float)
