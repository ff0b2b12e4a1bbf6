"""Figures in one house style: arrays in, a Figure out, with a description for readers who cannot see it.

Images are drawn on a fixed scale, 0 black and 1 white. Errors are signed: grey is none,
dark too dark, yellow too bright. Colours are Okabe and Ito's, told apart by marker and dash as well, so that they
survive colour-blindness and a grey printer.
"""

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import wraps

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8c6d00", "#7f7f7f", "#7b3294")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DASHES = ("-", "--", "-.", ":")
ERRORS = "cividis"  # dark blue to grey to yellow: its brightness rises throughout, so the sign survives grey printing
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "legend.frameon": False,
    "image.interpolation": "nearest",
}
DPI = 96


class Picture(Figure):
    """A matplotlib Figure that shows itself in a notebook as a PNG with alternative text.

    alt        : str         what the picture shows, for readers who cannot see it
    returns    : matplotlib.figure.Figure
    raises     : nothing
    source     : WCAG 2.2, success criterion 1.1.1
    taught in  : notebooks/00_start_here.ipynb
    """

    alt = ""

    def png(self) -> bytes:
        """The picture as a file's content.

        returns    : bytes       PNG, 96 dots per inch
        raises     : nothing
        source     : this course
        taught in  : notebooks/00_start_here.ipynb
        """
        file = io.BytesIO()
        with _style():  # ticks are made and colours chosen only now
            self.savefig(file, format="png", dpi=DPI)
        self.set_layout_engine("none")  # settled: laid out once more, it would move by a pixel
        return file.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": self.png(), "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


def _house(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    # The style holds while a figure is drawn, and nowhere else: a reader's own figures stay as they were.
    @wraps(draw)
    def styled(*args, **kwargs) -> Picture:
        with _style():
            return draw(*args, **kwargs)

    return styled


def _style():
    # The backend is no style, and only reading it would import pyplot and choose one.
    plain = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    return matplotlib.rc_context({**plain, **STYLE})


@_house
def pictures(
    rows: Mapping[str, object],
    *,
    title: str,
    signed: Sequence[str] = (),
    captions: Sequence[str] | None = None,
    alt: str | None = None,
) -> Picture:
    """Rows of images, each row with its name.

    rows       : {name: (N, C, H, W) or (N, H, W)}  intensity in [0, 1], or uint8; tensors or arrays
    title      : str         says what the picture shows, with its number
    signed     : names       of rows that hold signed errors, drawn centred on zero, −1…1
    captions   : strings     one below each column, or None
    alt        : str         description; by default made from the title and the rows' names
    returns    : Figure
    raises     : ValueError  if there is nothing to draw, an array has another form, captions or signed do not fit
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    arrays = {name: _images(name, images) for name, images in rows.items()}
    columns = max((len(images) for images in arrays.values()), default=0)
    if columns == 0:
        raise ValueError("pictures: expected at least one row with at least one image, got none")
    if unknown := set(signed) - set(rows):
        raise ValueError(f"pictures: signed names {sorted(unknown)}; the rows are {list(rows)}")
    if captions is not None and len(captions) != columns:
        raise ValueError(f"pictures: got {len(captions)} captions for {columns} columns; they must be as many")
    side = min(0.9, 8.0 / columns)
    figure = Picture(figsize=(1.5 + side * columns, 0.5 + side * len(arrays) + (0.25 if captions else 0)))
    grid = figure.subplots(len(arrays), columns, squeeze=False)
    for axes, (name, images) in zip(grid, arrays.items(), strict=True):
        for column, axis in enumerate(axes):
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.spines[:].set_visible(False)
            if column < len(images):
                _draw(axis, images[column], name in signed)
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6)
    for axis, caption in zip(grid[-1], captions or [], strict=False):
        axis.set_xlabel(caption, fontsize=9)
    return _finish(figure, title, alt or f"Rows of {columns} images: {', '.join(arrays)}.", left=1.4)


@_house
def reconstructions(x, x_hat, *, title: str, alt: str | None = None) -> Picture:
    """Images above their reconstructions above the signed errors, with each image's squared error.

    x, x_hat   : (N, C, H, W)  intensity in [0, 1]; at most about 12 fit
    title      : str           says what the picture shows, with its number
    alt        : str           description; by default made from the title and the errors
    returns    : Figure
    raises     : ValueError    if the shapes differ or there is no image
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    x, x_hat = _images("x", x), _images("x_hat", x_hat)
    if x.shape != x_hat.shape:
        raise ValueError(f"reconstructions: x has shape {x.shape} and x_hat {x_hat.shape}; they must be equal")
    error = x_hat - x
    sums = np.square(error).sum((1, 2, 3))
    if len(x) == 0:
        raise ValueError("reconstructions: expected at least one image, got none")
    return pictures(
        {"image": x, "reconstruction": x_hat, "error": error},
        title=title,
        signed=("error",),
        captions=[f"{s:.1f}" for s in sums],
        alt=alt
        or f"{len(x)} images, their reconstructions and the signed errors; squared error per image "
        f"{sums.min():.1f} to {sums.max():.1f}, written below each.",
    )


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
    alt        : str         description; by default made from the title and each series' ends
    returns    : Figure
    raises     : ValueError  if there is no series or lengths differ
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    if not series:
        raise ValueError("curves: expected at least one series, got none")
    figure = Picture(figsize=(7, 3.9))
    axes = figure.add_subplot()
    ends = []
    for number, (name, values) in enumerate(series.items()):
        xs, ys, *band = (_array(v).ravel() for v in values)
        if len({len(v) for v in (xs, ys, *band)}) != 1 or len(xs) == 0:
            raise ValueError(
                f"curves: series {name!r} holds {len(xs)} xs and {len(ys)} ys; expected as many, at least one"
            )
        look = {"color": COLOURS[number % 10], "marker": MARKERS[number % 10], "ls": DASHES[number % 4], "ms": 5}
        axes.plot(xs, ys, label=name, **look)
        if band:
            axes.fill_between(xs, *band, color=look["color"], alpha=0.2, lw=0)
        ends.append(f"{name} from {ys[0]:.3g} to {ys[-1]:.3g}")
    for number, (name, level) in enumerate((levels or {}).items()):
        axes.axhline(level, color="#555555", lw=1, ls=DASHES[1 + number % 3])
        axes.annotate(name, (0.99, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9)
        ends.append(f"{name} at {level:.3g}")
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter("")
    else:
        axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    if ticks is not None:
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.set_xticks([], minor=True)
    axes.set(xlabel=x, ylabel=y)
    if len(series) > 1:
        axes.legend()
    return _finish(figure, title, alt or f"Line chart of {y} over {x}: {'; '.join(ends)}.")


@_house
def bars(
    values: Mapping[str, float], *, title: str, x: str, marks: Mapping[str, float] | None = None, alt=None
) -> Picture:
    """One horizontal bar per name, each with its number.

    values     : {name: number}  in the unit that `x` names
    title      : str         says what the picture shows, with its number
    x          : str         axis label with unit
    marks      : {name: number}  vertical lines, such as a mean or a floor
    alt        : str         description; by default made from the title and the values
    returns    : Figure
    raises     : ValueError  if there is no value
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    if not values:
        raise ValueError("bars: expected at least one value, got none")
    figure = Picture(figsize=(7, 0.9 + 0.33 * len(values)))
    axes = figure.add_subplot()
    names, numbers = list(values), [float(v) for v in values.values()]
    drawn = axes.barh(names, numbers, color=COLOURS[0], height=0.7)
    axes.bar_label(drawn, labels=[f"{n:.3g}" for n in numbers], padding=3, fontsize=9)
    for number, (name, mark) in enumerate((marks or {}).items()):
        axes.axvline(mark, color=COLOURS[1], ls=DASHES[1 + number % 3], label=f"{name}: {mark:.3g}")
    if marks:
        axes.legend(loc="lower right")
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.12)
    axes.set(xlabel=x)
    listed = ", ".join(f"{name} {number:.3g}" for name, number in zip(names, numbers, strict=True))
    return _finish(figure, title, alt or f"Bar chart of {x}: {listed}.")


@_house
def code_map(z, labels=None, *, title: str, point: Sequence[float] | None = None, alt: str | None = None) -> Picture:
    """Two-number codes as points on a plane, each drawn as its label.

    z          : (N, 2)      codes
    labels     : (N,) ints   0…9, or None for plain dots
    title      : str         says what the picture shows, with its number
    point      : (2,)        one place to mark with a cross, or None
    alt        : str         description; by default made from the title and the counts
    returns    : Figure
    raises     : ValueError  if z is not (N, 2) or the labels do not fit
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    figure = Picture(figsize=(6, 5.4))
    axes = figure.add_subplot()
    drawn = _scatter(axes, z, labels, point)
    return _finish(figure, title, alt or f"Map of {drawn} two-number codes, each drawn as its digit.")


@_house
def decoded_point(z, labels, image, *, point: Sequence[float], title: str, alt: str | None = None) -> Picture:
    """A map of two-number codes with one place marked, and beside it the image decoded from there.

    z          : (N, 2)      codes
    labels     : (N,) ints   0…9, or None
    image      : (C, H, W)   the decoder's image of `point`, intensity in [0, 1]
    point      : (2,)        the place marked
    title      : str         says what the picture shows, with its number
    alt        : str         description; by default made from the title and the point
    returns    : Figure
    raises     : ValueError  if an array has another form
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    figure = Picture(figsize=(8, 4.2))
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _scatter(left, z, labels, point)
    _draw(right, _images("image", np.asarray(_array(image))[None])[0], False)
    right.set(xticks=[], yticks=[], title=f"decoded from ({point[0]:.1f}, {point[1]:.1f})")
    right.grid(False)
    return _finish(
        figure,
        title,
        alt or f"Code map with a cross at ({point[0]:.1f}, {point[1]:.1f}) and the image decoded from there.",
    )


@_house
def tiles(images, *, title: str, across: Sequence[float], up: Sequence[float], alt: str | None = None) -> Picture:
    """Images decoded on a grid of two-number codes, tiled into one picture with the code as its axes.

    images     : (len(up)·len(across), C, H, W)  row by row, the first row lowest; intensity in [0, 1]
    title      : str         says what the picture shows, with its number
    across, up : numbers     the grid's first and second code number, rising and evenly spaced
    alt        : str         description; by default made from the title and the ranges
    returns    : Figure
    raises     : ValueError  if there are not len(up)·len(across) images
    source     : the manner of figure 4 in Kingma & Welling 2014, arXiv:1312.6114
    taught in  : notebooks/00_start_here.ipynb
    """
    images = _images("images", images)
    if len(images) != len(across) * len(up) or len(images) == 0:
        raise ValueError(f"tiles: got {len(images)} images for a grid of {len(up)} × {len(across)}")
    _, channels, height, width = images.shape
    rows = images.reshape(len(up), len(across), channels, height, width)[::-1]  # the lowest row comes last
    whole = rows.transpose(2, 0, 3, 1, 4).reshape(channels, len(up) * height, len(across) * width)
    figure = Picture(figsize=(6, 0.7 + 5.4 * len(up) / len(across)))
    axes = figure.add_subplot()
    dx, dy = ((v[-1] - v[0]) / max(1, len(v) - 1) / 2 or 0.5 for v in (across, up))
    extent = (across[0] - dx, across[-1] + dx, up[0] - dy, up[-1] + dy)
    _draw(axes, whole, False, extent=extent, aspect="auto")
    axes.grid(False)
    axes.set(xlabel="first code number", ylabel="second code number")
    return _finish(
        figure,
        title,
        alt
        or f"{len(up)} by {len(across)} images decoded from codes, {across[0]:.1f} to {across[-1]:.1f} across "
        f"and {up[0]:.1f} to {up[-1]:.1f} up.",
    )


@_house
def histograms(groups: Mapping[str, object], *, title: str, x: str, bins: int = 40, alt: str | None = None) -> Picture:
    """Outlined histograms over each other, each scaled to the same area.

    groups     : {name: (N,)}  numbers in the unit that `x` names
    title      : str         says what the picture shows, with its number
    x          : str         axis label with unit
    bins       : int         number of bins over the common range
    alt        : str         description; by default made from the title and the medians
    returns    : Figure
    raises     : ValueError  if there is no group or an empty one
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    arrays = {name: _array(values).ravel() for name, values in groups.items()}
    if not arrays or not all(map(len, arrays.values())):
        raise ValueError("histograms: expected at least one group with at least one number")
    edges = np.histogram_bin_edges(np.concatenate(list(arrays.values())), bins)
    figure = Picture(figsize=(7, 3.4))
    axes = figure.add_subplot()
    for number, (name, values) in enumerate(arrays.items()):
        look = {"color": COLOURS[number % 10], "ls": DASHES[number % 4], "lw": 1.8}
        axes.hist(
            values, edges, density=True, histtype="step", label=f"{name} (median {np.median(values):.3g})", **look
        )
    axes.set(xlabel=x, ylabel="share per unit")
    axes.legend()
    medians = ", ".join(f"{name} {np.median(values):.3g}" for name, values in arrays.items())
    return _finish(figure, title, alt or f"Histograms of {x}; medians: {medians}.")


# --- Parts ------------------------------------------------------------------------------------------------------


def _array(values) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, on whatever device, without importing torch here
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def _images(name: str, images) -> np.ndarray:
    array = _array(images)
    if array.dtype == np.uint8:
        array = array / 255.0
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise ValueError(f"{name}: expected images (N, C, H, W) with 1 or 3 channels or (N, H, W), got {array.shape}")
    return array.astype(float)


def _draw(axis, image: np.ndarray, signed: bool, **how) -> None:
    image = image.transpose(1, 2, 0)  # (H, W, C)
    if signed:
        axis.imshow(image.mean(-1), cmap=ERRORS, vmin=-1, vmax=1, **how)
    elif image.shape[-1] == 1:
        axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1, **how)
    else:
        axis.imshow(image.clip(0, 1), **how)


def _scatter(axes, z, labels, point) -> int:
    z = _array(z)
    labels = None if labels is None else _array(labels)
    if z.ndim != 2 or z.shape[1] != 2 or (labels is not None and labels.shape != (len(z),)):
        shape = None if labels is None else labels.shape
        raise ValueError(f"a code map takes z (N, 2) and labels (N,); got {z.shape} and {shape}")
    if labels is None:
        axes.scatter(*z.T, s=6, color=COLOURS[0], alpha=0.6, lw=0)
    else:
        for label in np.unique(labels):
            look = {"marker": f"${label}$", "s": 28, "lw": 0.2, "alpha": 0.85, "color": COLOURS[label % 10]}
            axes.scatter(*z[labels == label].T, **look)
    if point is not None:
        axes.scatter(*point, marker="x", s=260, color="white", lw=6, zorder=3)
        axes.scatter(*point, marker="x", s=220, color="black", lw=2.5, zorder=4)
    axes.set(xlabel="first code number", ylabel="second code number")
    return len(z)


def _finish(figure: Picture, title: str, alt: str, left: float | None = None) -> Picture:
    width, height = figure.get_size_inches()
    wrapped = textwrap.fill(title, int(width * 11))
    lines = wrapped.count("\n") + 1
    figure.set_size_inches(width, height + 0.17 * (lines - 1))
    figure.suptitle(wrapped, fontsize=11, x=0.01, ha="left")
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    figure.alt = f"{title.rstrip('.')}. {alt}"
    return figure
