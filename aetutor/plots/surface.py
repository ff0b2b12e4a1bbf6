"""The loss over two weights as a landscape, and beside it the line that these weights draw the points onto."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from aetutor.plots.picture import COLOURS, Picture, _array, _entitle, _finish, _house, _paper, _reusable

LAND = LinearSegmentedColormap.from_list("land", ["#6cb0dc", "#ffffff"])  # the brighter, the higher, in grey too
LINES = 9  # contour lines
SIDE = 2.9  # inches of a panel
LONGEST, SHORTEST = 0.3, 0.08  # of the panel's width: what the arrow may take


@_house
def loss_surface(
    across: Sequence[float],
    up: Sequence[float],
    loss,
    *,
    point: Sequence[float],
    step: Sequence[float],
    x,
    x_hat,
    title: str,
    alt: str | None = None,
    on: Picture | None = None,
) -> Picture:
    """Contours of a loss over two weights with the way down from one place, and beside it points and reconstructions.

    The right panel's frame depends on x alone; what the line sends out of it is cut off and counted in `alt`.

    across, up : numbers     the grid's first and second weight, rising
    loss       : (len(up), len(across))  the loss on that grid
    point      : (2,)        the weights marked, on the grid; the line drawn on the right runs through 0 along them
    step       : (2,)        the negative gradient there. Its arrow is 8 % to 30 % of the panel wide: the longer, the
                             steeper, 15 % at the grid's median slope; there is none where the slope is zero
    x          : (N, 2)      points of the plane, around 0; about 100 look well
    x_hat      : (N, 2)      their reconstructions
    title      : str         says what the picture shows, with its number
    alt        : str         description; by default made from the point, the step and the error
    on         : Picture     from an earlier call: if only point, step, x_hat, title and alt differ, it is changed and
                             returned, in less time; the outcome is the same as without
    returns    : Figure
    raises     : ValueError  if an array has another form or is not finite, the grid does not rise, or point is off it
    source     : Baldi & Hornik 1989, Neural Networks 2, for the landscape; the picture is this course's
    taught in  : notebooks/01_theory.ipynb
    """
    across, up = _rising("across", across), _rising("up", up)
    loss = _numbers("loss", loss, (len(up), len(across)))
    point, step = _numbers("point", point, (2,)), _numbers("step", step, (2,))
    x = _numbers("x", x, (None, 2))
    x_hat = _numbers("x_hat", x_hat, x.shape)
    if not (across[0] <= point[0] <= across[-1] and up[0] <= point[1] <= up[-1]):
        grid = f"{across[0]:g}…{across[-1]:g} across and {up[0]:g}…{up[-1]:g} up"
        raise ValueError(f"loss_surface: the point {_said(point)} is off the surface, which is {grid}")

    ground = ("loss_surface", across, up, loss, x)
    if _reusable(on, ground, title):
        figure = on
        _entitle(figure, title)
    else:
        figure = _landscape(across, up, loss, x, title)
        figure.drawn_from = ground
        left, right = figure.axes
        marks = [left.patches[0], left.lines[0], *right.lines, *right.spines.values()]
        figure.moving = [*marks, *figure.texts]
    left, right = figure.axes
    left.lines[0].set_data(point[:1], point[1:])
    arrow = left.patches[0]
    reach = _reach(across, up, loss, step)
    arrow.set_visible(bool(reach.any()))
    arrow.set_positions(point, point + reach)
    edge = right.get_xlim()[1]
    errors, line, _, reconstructed = right.lines
    errors.set_data(*np.stack([x, x_hat, np.full_like(x, np.nan)], 1).reshape(-1, 2).T)  # nan lifts the pen
    length = np.hypot(*point)
    line.set_data(*(np.outer(point / length, [-2 * edge, 2 * edge]) if length else np.empty((2, 0))))
    reconstructed.set_data(*x_hat.T)
    return _finish(figure, title, alt or _described(point, reach, x, x_hat, int((np.abs(x_hat) > edge).any(1).sum())))


def _landscape(across: np.ndarray, up: np.ndarray, loss: np.ndarray, x: np.ndarray, title: str) -> Picture:
    """Both panels with all that stays: lines[0] and patches[0] of the left one, and the right one's lines, move."""
    # All in inches, since matplotlib's own layout cuts the words below panels of a fixed shape.
    figure = _paper(7.5, 3.7, title)
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    left, right = (
        figure.add_axes((start / width, 0.55 / height, SIDE / width, SIDE / height)) for start in (0.7, 4.45)
    )
    for axes in (left, right):  # few numbers: most of a frame's time goes into them
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    left.set(xlim=across[[0, -1]], ylim=up[[0, -1]], aspect="equal")
    left.set(xlabel="weight w₁", ylabel="weight w₂")
    left.set_title("loss; the arrow is the way down", fontsize=10)
    left.grid(False)
    if levels := _levels(loss):
        bands = LAND(np.linspace(0, 1, len(levels) + 1))
        left.contourf(across, up, loss, [loss.min(), *levels, loss.max()], colors=bands)
        drawn = left.contour(across, up, loss, levels, colors="#444444", linewidths=0.7)
        left.clabel(drawn, levels[::2], fmt=lambda level: f"{level:.6g}", fontsize=8, colors="black", inline_spacing=2)
    halo = [withStroke(linewidth=4, foreground="white")]
    look = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0, "lw": 1.8, "color": "black"}
    left.add_patch(FancyArrowPatch((0, 0), (1, 1), zorder=4, path_effects=halo, **look))
    left.plot([], [], "o", ms=7, color=COLOURS[1], mec="white", mew=1.2, zorder=5, clip_on=False)

    edge = 1.15 * np.abs(x).max() or 1.0
    right.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
    right.set(xlabel="first coordinate of x", ylabel="second coordinate of x")
    right.plot([], [], color="#7f7f7f", lw=0.8, label="error")
    right.plot([], [], color="black", lw=1)
    right.plot(*x.T, "o", ms=4, color=COLOURS[0], lw=0, label="point")
    right.plot([], [], "s", ms=3.5, color=COLOURS[1], lw=0, label="reconstruction")
    how = {"loc": "lower center", "bbox_to_anchor": (0.5, 0.985), "ncols": 3, "fontsize": 9, "borderpad": 0.2}
    right.legend(columnspacing=1, handletextpad=0.4, handlelength=1.2, **how)
    return figure


def _levels(loss: np.ndarray) -> list[float]:
    """Where the contour lines run: as much of the plane between any two, so that no slope crowds them."""
    low, high = loss.min(), loss.max()
    # Two digits above the lowest point, since they are read.
    rises = (rise for rise in np.quantile(loss - low, np.linspace(0, 1, LINES + 2)[1:-1]) if rise > 0)
    levels = {round(float(low + rise), 1 - int(np.floor(np.log10(rise)))) for rise in rises}
    return sorted(level for level in levels if low < level < high)


def _reach(across: np.ndarray, up: np.ndarray, loss: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Where the arrow ends, seen from where it starts; (0, 0) if there is no slope to speak of."""
    slopes = np.hypot(*np.gradient(loss, up, across))
    slope = np.hypot(*step)
    if slope <= 1e-9 * slopes.max():  # rounding, not a slope
        return np.zeros(2)
    share = slope / (slope + np.median(slopes))  # bounded, however steep
    return max(SHORTEST, LONGEST * share) * (across[-1] - across[0]) * step / slope


def _described(point: np.ndarray, reach: np.ndarray, x: np.ndarray, x_hat: np.ndarray, out: int) -> str:
    way = f"its arrow, the way down, towards {_said(point + reach)}" if reach.any() else "where the slope is zero"
    many = f"{len(x)} point{'s' if len(x) > 1 else ''}"
    error = np.square(x_hat - x).sum(1).mean()
    cut = f"; {out} of them out of view" if out else ""
    return (
        f"Contour map of the loss over two weights, marked at {_said(point)}, {way}. Beside it {many} of the plane, "
        f"each tied to its reconstruction{cut}; mean squared error {error:z.3g} per point."
    )


def _said(point: np.ndarray) -> str:
    return f"({point[0]:z.2f}, {point[1]:z.2f})"


def _rising(name: str, values) -> np.ndarray:
    steps = _numbers(name, values, (None,))
    if len(steps) < 2 or (np.diff(steps) <= 0).any():
        raise ValueError(f"loss_surface: {name} must rise and hold at least two numbers; got {steps[:5].tolist()}")
    return steps


def _numbers(name: str, values, wanted: tuple[int | None, ...]) -> np.ndarray:
    array = _array(values)
    fits = array.ndim == len(wanted) and all(w in (None, n) for w, n in zip(wanted, array.shape, strict=True))
    if not fits or array.size == 0 or array.dtype.kind not in "iuf":
        shape = ", ".join("N" if w is None else str(w) for w in wanted) + ("," if len(wanted) == 1 else "")
        raise ValueError(f"loss_surface: {name} must be numbers ({shape}), got {array.dtype} {array.shape}")
    if wrong := int(np.count_nonzero(~np.isfinite(array))):
        raise ValueError(f"loss_surface: {wrong} of the {array.size} numbers of {name} are nan or infinite")
    return array.astype(float)
