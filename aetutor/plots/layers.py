"""A layer along one side of an image: which pixels of its input reach which pixels of its output."""

import numbers

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection

from aetutor.plots.picture import COLOURS, Picture, _array, _entitle, _finish, _house, _paper, _reusable

LONGEST = 160  # pixels in a row; more would be narrower than the lines between them
# Inches, below the title: always the same, so that a picture that follows sliders stands still.
WIDTH, HEIGHT = 7.4, 2.9
PITCH, SIDE, FLAT = 0.42, 0.34, 0.2  # inches: from one pixel to the next and a pixel, at most; its height, at least
HEAD, FOOT = 0.3, 0.52  # inches for words above and below the rows
CHOSEN, PLAIN, PAD = COLOURS[0], "#8a8a8a", "#666666"


@_house
def connections(
    reach,
    *,
    title: str,
    padding: int = 0,
    output: int | None = None,
    alt: str | None = None,
    on: Picture | None = None,
) -> Picture:
    """A row of a layer's input pixels above a row of its output pixels, with a line wherever one reaches the other.

    An output pixel is the darker the more input pixels reach it, and holds their number where there is room. One
    output pixel is filled, and so are the input pixels that reach it; its lines are thick.

    reach      : (O, I)      bool: whether input pixel i reaches output pixel o; at most 160 each way
    title      : str         says what the picture shows, with its number
    padding    : int         columns at each end of reach that are padding: drawn dashed and not counted
    output     : int         the output pixel that is filled, counted from 0; None takes the middle one
    alt        : str         description; by default made from the title and the counts
    on         : Picture     from an earlier call: if the title is as tall, it is changed and returned, in less time;
                             the outcome is the same as without
    returns    : Figure
    raises     : ValueError  if reach is not (O, I) of bools, is empty or too long, padding leaves no input pixel, or
                             there is no such output pixel
    source     : the manner of Dumoulin & Visin 2016, arXiv:1603.07285; why to count: Odena, Dumoulin & Olah 2016,
                 Deconvolution and checkerboard artifacts, doi:10.23915/distill.00003
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    reach = _checked(reach)
    outputs, columns = reach.shape
    _check_below("padding", padding, (columns + 1) // 2, f"reach has {columns} columns, and one must be a pixel")
    output = outputs // 2 if output is None else output
    _check_below("output", output, outputs, f"there {'is' if outputs == 1 else 'are'} {outputs}, counted from 0")
    real = np.zeros(columns, bool)
    real[padding : columns - padding] = True
    counts = (reach & real).sum(1)

    (above, wide), (below, wide_below) = _places(reach)
    tall, tall_below = max(FLAT, wide), max(FLAT, wide_below)
    low, high = FOOT + tall_below, HEIGHT - HEAD - tall
    figure = _sheet(title, on)
    (axes,) = figure.axes

    to, of = np.nonzero(reach)
    ends = np.stack([above[of], np.full(len(of), high), below[to], np.full(len(of), low)], 1).reshape(-1, 2, 2)
    for thick in (False, True):
        for solid in (False, True):
            lines = ends[((to == output) == thick) & (real[of] == solid)]
            colour, points = (CHOSEN, 2.2) if thick else (PLAIN, 0.7)
            how = {"colors": colour, "linewidths": points, "linestyles": "-" if solid else (0, (3, 2))}
            axes.add_collection(LineCollection(lines, **how), autolim=False)

    chosen = reach[output]
    paint = np.where(chosen, CHOSEN, "white")
    _squares(axes, above[real], high, (wide, tall), paint[real], "black", "-")
    _squares(axes, above[~real], high, (wide, tall), "white", np.where(chosen, CHOSEN, PAD)[~real], (0, (2, 1.4)))
    shades = np.array([str(1 - 0.4 * share) for share in counts / max(1, counts.max())], dtype=object)
    shades[output] = CHOSEN
    _squares(axes, below, FOOT, (wide_below, tall_below), shades, "black", "-")
    # A digit is about 0.64 of its size wide, and needs some air in its square.
    size = min(9, 0.65 * 72 * wide_below / 0.64 / len(str(counts.max())))  # points
    if written := size >= 7:
        for number, (x, count) in enumerate(zip(below, counts, strict=True)):
            colour = "white" if number == output else "black"
            where = {"ha": "center", "va": "center_baseline", "fontsize": size, "color": colour}
            axes.text(x, FOOT + tall_below / 2, str(count), **where)

    inputs = _many(int(real.sum()), "input pixel")
    said = f"{inputs}, with {padding} of padding at each end (dashed)" if padding else inputs
    told = "inside: how many input pixels reach each" if written else f"{_reached(counts)} each, the more the darker"
    told = f"{_many(outputs, 'output pixel')}; {told}"
    which = f"{_reached(counts[output])} it" if counts[output] else "no input pixel reaches it"
    filled = f"filled: output pixel {output}, counted from 0; {which}"
    # Letters are what takes longest: those that stay while another pixel is filled are drawn once.
    stay = [
        axes.text(WIDTH / 2, high + tall + 0.07, said, ha="center", va="bottom", fontsize=9),
        axes.text(WIDTH / 2, FOOT - 0.08, told, ha="center", va="top", fontsize=9),
    ]
    axes.text(WIDTH / 2, FOOT - 0.26, filled, ha="center", va="top", fontsize=9, color=CHOSEN)
    figure.stays = (title, said, told, tall)
    figure.moving = [one for one in [*axes.collections, *axes.texts] if one not in stay]
    return _finish(figure, title, alt or _described(reach[:, real], counts, inputs, padding, output))


# --- Checks -----------------------------------------------------------------------------------------------------


def _checked(reach) -> np.ndarray:
    reach = _array(reach)
    if reach.ndim != 2 or reach.dtype != bool:
        raise ValueError(
            f"connections: reach is {reach.dtype} of shape {reach.shape}; expected bool (output pixels, input pixels),"
            f" as models.reach gives it"
        )
    if reach.size == 0 or max(reach.shape) > LONGEST:
        raise ValueError(
            f"connections: reach has shape {reach.shape}; 1 to {LONGEST} pixels fit in a row: take a shorter side,"
            f" where the pattern is the same"
        )
    return reach


def _check_below(name: str, value, end: int, why: str) -> None:
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or not 0 <= value < end:
        raise ValueError(f"connections: {name} is {value!r}; expected a whole number 0…{end - 1}: {why}")


# --- Parts ------------------------------------------------------------------------------------------------------


def _sheet(title: str, on: Picture | None) -> Picture:
    """A picture with a title above empty axes in inches: a new one, or `on`, wiped clean."""
    ground = ("connections",)
    if _reusable(on, ground, title):
        (axes,) = on.axes
        for artist in [*axes.collections, *axes.texts]:
            artist.remove()
        _entitle(on, title)
        return on
    figure = _paper(WIDTH, HEIGHT, title)
    figure.set_layout_engine("none")  # all is placed in inches
    axes = figure.add_axes((0, 0, 1, HEIGHT / figure.get_figheight()))
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.set_axis_off()
    figure.drawn_from = ground
    return figure


def _places(reach: np.ndarray) -> tuple[tuple[np.ndarray, float], tuple[np.ndarray, float]]:
    """Of the input's row and the output's, in inches: the middle of each pixel, and how wide one is drawn."""
    outputs, columns = reach.shape
    steps = _step(reach) if outputs <= columns else 1, 1 if outputs <= columns else _step(reach.T)
    below, above = (np.arange(count) * step for count, step in zip((outputs, columns), steps, strict=True))
    to, of = np.nonzero(reach)
    if len(to):
        below = below + (above[of] - below[to]).mean()  # each under what it sees
    left, right = (choose([choose(above), choose(below)]) for choose in (min, max))
    pitch = min(PITCH, (WIDTH - 0.3) / (right - left + max(steps)))
    above, below = (WIDTH / 2 + pitch * (row - (left + right) / 2) for row in (above, below))
    wide_below, wide = (min(SIDE, 0.86 * pitch * step) for step in steps)
    return (above, wide), (below, wide_below)


def _step(reach: np.ndarray) -> float:
    """How far what a row reaches lies from what the next one reaches: the stride, whatever is cut off at the ends."""
    few, many = reach.shape
    counts = reach.sum(1)
    centres = (reach @ np.arange(many))[counts > 0] / counts[counts > 0]
    most = (many - 1) / max(1, few - 1)
    return float(np.clip(np.median(np.diff(centres)), 1, max(1, most))) if len(centres) > 1 else 1.0


def _squares(axes, middles: np.ndarray, bottom: float, size: tuple[float, float], faces, edges, dashes) -> None:
    corners = np.array([(-0.5, 0), (0.5, 0), (0.5, 1), (-0.5, 1)]) * size
    places = np.stack([middles, np.full(len(middles), bottom)], 1)[:, None] + corners  # (N, 4, 2)
    thick = min(1, 6 * size[0])  # points: narrow ones would be all edge
    how = {"facecolors": faces, "edgecolors": edges, "linestyles": dashes, "linewidths": thick, "zorder": 3}
    axes.add_collection(PolyCollection(places, **how), autolim=False)


# --- Words ------------------------------------------------------------------------------------------------------


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _reached(counts) -> str:
    low, high = counts.min(), counts.max()
    verb = "input pixel reaches" if low == high == 1 else "input pixels reach"
    return f"{low} {verb}" if low == high else f"{low} to {high} {verb}"


def _described(reach: np.ndarray, counts: np.ndarray, inputs: str, padding: int, output: int) -> str:
    pads = f" and {padding} of padding at each end" if padding else ""
    listed = " ".join(map(str, counts[:24])) + (" …" if len(counts) > 24 else "")
    seen = list(map(str, np.flatnonzero(reach[output])))
    which = (
        f"input {'pixel' if len(seen) == 1 else 'pixels'} {', '.join(seen)} reach{'es' if len(seen) == 1 else ''} it"
    )
    which = which if seen else "none reaches it"
    return (
        f"{inputs}{pads} above {_many(len(counts), 'output pixel')}, with a line wherever one reaches the other."
        f" {_reached(counts)} each output pixel; from the left: {listed}. Output pixel {output}, counted from 0, is"
        f" filled: {which}."
    )
