"""Charts of numbers: curves, bars, histograms."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator

from aetutor.plots.picture import COLOURS, DASHES, MARKERS, Picture, _array, _finish, _house, _paper, _wide, _wrapped

MARKS = (*DASHES[1:], (0, (1, 3)), (0, (8, 2, 1, 2, 1, 2)))  # five dashes told apart
OUTLINES = (DASHES[0], *MARKS)
PANE = {"frameon": True, "framealpha": 0.85, "edgecolor": "none"}  # a legend is read even where a line runs below it


@_house
def curves(
    series: Mapping[str, tuple],
    *,
    title: str,
    x: str,
    y: str,
    log: str = "",
    ticks: Sequence[float] | None = None,
    levels: Mapping[str, float] | None = None,
    alt: str | None = None,
) -> Picture:
    """Lines with markers, one per series, with an optional band around each.

    series     : {name: (xs, ys)} or {name: (xs, ys, low, high)}  equal lengths; low and high bound a band
    title      : str         says what the picture shows, with its number
    x, y       : str         axis labels with units
    log        : str         the axes that are logarithmic: "", "x", "y" or "xy"
    ticks      : numbers     on the x axis, instead of matplotlib's choice
    levels     : {name: y}   horizontal lines, such as floors
    alt        : str         description; by default made from the title, each series' ends and its peak or dip between
    returns    : Figure
    raises     : ValueError  if there is no series, one is not 2 or 4 sequences of one length, or log is something else
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    if not series:
        raise ValueError("curves: expected at least one series, got none")
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f'curves: log must be "", "x", "y" or "xy", got {log!r}')
    drawn = {name: _series(name, values) for name, values in series.items()}
    figure = _paper(7, 3.6, title)
    axes = figure.add_subplot()
    ends = []
    for number, (name, (xs, ys, *band)) in enumerate(drawn.items()):
        look = {"color": COLOURS[number % 10], "marker": MARKERS[number % 10], "ls": DASHES[number % 4], "ms": 5}
        axes.plot(xs, ys, label=name, **look)
        if band:
            axes.fill_between(xs, *band, color=look["color"], alpha=0.2, lw=0)
            for edge in band:  # the fill alone is too pale to be seen by everybody
                axes.plot(xs, edge, color=look["color"], lw=0.6)
        ends.append(f"{name} {_course(xs, ys, log)}")
    for number, (name, level) in enumerate((levels or {}).items()):
        axes.axhline(level, color="#555555", lw=1, ls=DASHES[1 + number % 3])
        axes.annotate(name, (0.01, level), xycoords=("axes fraction", "data"), ha="left", va="bottom", fontsize=9)
        ends.append(f"{name} at {level:.3g}")
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 30 * low else (1, 1.5, 2, 3, 4, 5, 6, 8)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter("")
    else:
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    if ticks is not None:
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.set_xticks([], minor=True)
    axes.set(xlabel=x, ylabel=y)
    if len(series) > 1 or levels:
        axes.legend(**PANE)
    across = np.concatenate([xs for xs, *_ in drawn.values()])
    span = f", {across.min():.4g} to {across.max():.4g}" if across.dtype.kind in "iuf" else ""  # places may be words
    return _finish(figure, title, alt or f"Line chart of {y} over {x}{span}: {'; '.join(ends)}.")


@_house
def bars(
    values: Mapping[str, float],
    *,
    title: str,
    x: str,
    marks: Mapping[str, float] | None = None,
    alt: str | None = None,
) -> Picture:
    """One horizontal bar per name, each with its number.

    values     : {name: number}  in the unit that `x` names
    title      : str         says what the picture shows, with its number
    x          : str         axis label with unit
    marks      : {name: number}  vertical lines, such as a mean or a floor
    alt        : str         description; by default made from the title and the values
    returns    : Figure
    raises     : ValueError  if there is no value, or one is not finite
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    if not values:
        raise ValueError("bars: expected at least one value, got none")
    marks = {str(name): float(mark) for name, mark in (marks or {}).items()}
    numbers = {str(name): float(value) for name, value in values.items()}
    for kind, named in (("bar", numbers), ("mark", marks)):
        if wrong := {name: number for name, number in named.items() if not np.isfinite(number)}:
            raise ValueError(f"bars: every {kind} needs a finite number; got {wrong}")
    names = [_wrapped(name, 2.6, 10) for name in numbers]
    lines = [f"{name}: {mark:z.3g}" for name, mark in marks.items()]
    columns = max(1, int(6.8 / (0.8 + max((_wide(line, 10) for line in lines), default=0))))  # of the legend
    key = 0.225 * -(-len(lines) // columns)
    thick = max(0.33, 0.05 + 0.17 * max(name.count("\n") + 1 for name in names))  # inches a bar
    figure = _paper(7, 0.6 + thick * len(names) + key, title, key=key)
    axes = figure.add_subplot()
    drawn = axes.barh(range(len(names)), list(numbers.values()), color=COLOURS[0], height=0.7)
    axes.set_yticks(range(len(names)), names)
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # under a number that a mark would cross
    axes.bar_label(drawn, labels=[f"{n:z.3g}" for n in numbers.values()], padding=3, fontsize=9, bbox=paper)
    edge = [withStroke(linewidth=3.5, foreground="white")]  # so that a mark is seen on a bar, in grey too
    for number, (line, mark) in enumerate(zip(lines, marks.values(), strict=True)):
        axes.axvline(mark, color=COLOURS[1], ls=MARKS[number % 5], label=line, path_effects=edge)
    if marks:  # above the axes, where it covers no bar and no number
        corner = (0.08 / 7, (0.6 + thick * len(names) + key) / figure.get_size_inches()[1])
        legend = figure.legend(loc="upper left", bbox_to_anchor=corner, ncols=columns, borderpad=0, borderaxespad=0.2)
        legend.set_in_layout(False)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.12)
    axes.set(xlabel=x)
    listed = ", ".join(f"{name} {number:z.3g}" for name, number in numbers.items())
    return _finish(figure, title, alt or f"Bar chart of {x}: {'; '.join([listed, *lines])}.")


@_house
def histograms(groups: Mapping[str, object], *, title: str, x: str, bins: int = 40, alt: str | None = None) -> Picture:
    """Outlined histograms over each other, each scaled to the same area.

    groups     : {name: (N,)}  numbers in the unit that `x` names
    title      : str         says what the picture shows, with its number
    x          : str         axis label with unit
    bins       : int         number of bins over the common range
    alt        : str         description; by default made from the title, the medians and the quartiles
    returns    : Figure
    raises     : ValueError  if there is no group, one is empty or not finite, or bins is no whole number above 0
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    arrays = {name: _array(values).ravel() for name, values in groups.items()}
    if not arrays or not all(map(len, arrays.values())):
        raise ValueError("histograms: expected at least one group with at least one number")
    for name, values in arrays.items():
        if wrong := int(np.count_nonzero(~np.isfinite(values))):
            raise ValueError(f"histograms: {wrong} of the {len(values)} numbers of {name!r} are nan or infinite")
    if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 1:
        raise ValueError(f"histograms: bins must be a whole number above 0, got {bins!r}")
    edges = np.histogram_bin_edges(np.concatenate(list(arrays.values())), bins)
    figure = _paper(7, 3.1, title)
    axes = figure.add_subplot()
    for number, (name, values) in enumerate(arrays.items()):
        look = {"color": COLOURS[number % 10], "ls": OUTLINES[number % 6], "lw": 1.8}
        axes.hist(
            values, edges, density=True, histtype="step", label=f"{name} (median {np.median(values):.3g})", **look
        )
    axes.set(xlabel=x, ylabel="share per unit")
    axes.legend(**PANE)
    said = []
    for name, values in arrays.items():
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        said.append(f"{name} {middle:.3g}, half of them from {low:.3g} to {high:.3g}")
    return _finish(figure, title, alt or f"Histograms of {x}; medians: {'; '.join(said)}.")


def _course(xs: np.ndarray, ys: np.ndarray, log: str) -> str:
    """In words, from left to right: both ends, and the highest and lowest place where it stands out from them."""
    order = np.argsort(xs, kind="stable")
    xs, ys = xs[order], ys[order]
    said = f"from {ys[0]:.3g} to {ys[-1]:.3g}"
    heights = ys.astype(float)
    if "y" in log:
        heights = np.log(np.where(heights > 0, heights, np.nan))
    if not np.isfinite(heights).all():
        return said
    least = 0.1 * np.ptp(heights)
    top, low = heights.argmax(), heights.argmin()
    if least and heights[top] > max(heights[0], heights[-1]) + least:
        said += f", highest {ys[top]:.3g} at {_place(xs[top])}"
    if least and heights[low] < min(heights[0], heights[-1]) - least:
        said += f", lowest {ys[low]:.3g} at {_place(xs[low])}"
    return said


def _place(x) -> str:
    return f"{x:.4g}" if x.dtype.kind in "iuf" else str(x)


def _series(name: str, values) -> list[np.ndarray]:
    parts = [_array(v) for v in values] if np.iterable(values) else []
    if len(parts) not in (2, 4) or any(part.ndim == 0 for part in parts):
        raise ValueError(f"curves: series {name!r} must be 2 sequences (xs, ys) or 4 (xs, ys, low, high)")
    parts = [part.ravel() for part in parts]
    xs, ys, *band = map(len, parts)
    if len({xs, ys, *band}) != 1 or xs == 0:
        also = f", {band[0]} low and {band[1]} high" if band else ""
        raise ValueError(f"curves: series {name!r} holds {xs} xs and {ys} ys{also}; expected as many, at least one")
    return parts
