"""The figure all plots return, the house style they are drawn in, and what they share."""

import io
import struct
import textwrap
import zlib
from collections.abc import Callable
from functools import lru_cache, wraps

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

# The first four are Okabe and Ito's, whose other colours are too pale for thin lines on white. All of these have a
# contrast of 3 or more with it, and any two differ by 12 and more (CIEDE2000), to colour-blind eyes too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#8E7CFF", "#8D463D", "#0C1E7E", "#686666", "#503901")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DASHES = ("-", "--", "-.", ":")
ERRORS = "cividis"  # dark blue to grey to yellow: its brightness rises throughout, so the sign survives grey printing
DPI = 96
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "legend.frameon": False,
    "image.interpolation": "nearest",
}
_NARROWEST = 4.5  # inches: room for a title
_TITLE, _LINE = 11, 0.185  # points; inches a line


class Picture(Figure):
    """A matplotlib Figure that shows itself in a notebook as a PNG with alternative text.

    alt        : str         what the picture shows, for readers who cannot see it
    returns    : matplotlib.figure.Figure
    raises     : nothing
    source     : WCAG 2.2, success criterion 1.1.1
    taught in  : notebooks/00_start_here.ipynb
    """

    alt = ""
    drawn_from = ()  # what must be the same for a picture to be changed rather than drawn anew
    moving = ()  # what may change then, from back to front; nothing that stays lies above it
    stays = ()  # what the rest is made of, where that can change too: then it is drawn again
    _ground = None  # of the last frame: `stays`, the canvas, and on it all that stayed

    def png(self) -> bytes:
        """The picture as a file's content.

        returns    : bytes       PNG, 96 dots per inch
        raises     : nothing
        source     : this course
        taught in  : notebooks/00_start_here.ipynb
        """
        file = io.BytesIO()
        self.set_dpi(DPI)
        with _style():  # ticks are made and colours chosen only now
            FigureCanvasAgg(self).print_png(file)  # savefig would draw everything twice
        self.set_layout_engine("none")  # settled: laid out once more, it would move by a pixel
        return file.getvalue()

    def frame(self) -> bytes:
        """The same pixels as `png`, in a fraction of the time, for a picture that is changed again and again.

        What stays is drawn by the first call and kept: only artists in `.moving` may change until `.stays` does.

        returns    : bytes       PNG, a larger file than that of `png`
        raises     : nothing
        source     : matplotlib documentation, "Faster rendering by using blitting"
        taught in  : notebooks/00_start_here.ipynb
        """
        self.set_dpi(DPI)
        with _style():
            if self._ground is None or self._ground[0] != self.stays:
                self._ground = self.stays, *self._settled()
            _, canvas, ground = self._ground
            canvas.restore_region(ground)
            for artist in self.moving:
                artist.draw(canvas.get_renderer())
        return _packed(np.asarray(canvas.buffer_rgba())[..., :3])  # nothing shines through

    def _settled(self):
        """A canvas, and what it shows without that which moves."""
        canvas = FigureCanvasAgg(self)
        if self._ground is None or not self.moving:
            canvas.draw()
        self.set_layout_engine("none")  # as in `png`
        if self.moving:
            for artist in self.moving:
                artist.set_animated(True)  # left out
            canvas.draw()
            for artist in self.moving:
                artist.set_animated(False)
        return canvas, canvas.copy_from_bbox(self.bbox)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": self.png(), "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


def _packed(pixels: np.ndarray) -> bytes:
    """A PNG of pixels (H, W, 3) uint8, by the shortest way: Pillow tries filters on each row, three times as long."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with 0: no filter
    rows[:, 1:] = pixels.reshape(height, -1)
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),  # 8 bits, RGB, no interlace
        b"IDAT": zlib.compress(rows.tobytes(), 1),
        b"IEND": b"",
    }
    chunks = (struct.pack(">I", len(v)) + k + v + struct.pack(">I", zlib.crc32(k + v)) for k, v in parts.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# --- House style ------------------------------------------------------------------------------------------------


def _house(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    # The style holds while a figure is drawn, and nowhere else: a reader's own figures stay as they were.
    @wraps(draw)
    def styled(*args, **kwargs) -> Picture:
        title = kwargs.get("title", "left out")  # if it is left out, Python says so below
        if not isinstance(title, str) or not title.strip():
            raise ValueError(f"{draw.__name__}: title must be words that say what the picture shows, got {title!r}")
        with _style():
            return draw(*args, **kwargs)

    return styled


def _style():
    # The backend is no style, and only reading it would import pyplot and choose one.
    plain = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    return matplotlib.rc_context({**plain, **STYLE})


# --- Paper and text ---------------------------------------------------------------------------------------------


def _paper(width: float, height: float, title: str, *, key: float = 0) -> Picture:
    """An empty picture: a title above `height` inches for what it shows, the upper `key` of them left to a legend."""
    width = max(width, _NARROWEST)
    head = 0.12 + _LINE * (_wrapped(title, width - 0.2, _TITLE).count("\n") + 1)
    figure = Picture(figsize=(width, height + head))
    # The title's room is set aside by hand, so that the layout is the same whatever its letters are.
    _entitle(figure, title).set_in_layout(False)
    room = (0, 0, 1, (height - key) / (height + head))
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.02, wspace=0.02, hspace=0.02, rect=room)
    return figure


def _entitle(figure: Picture, title: str) -> Text:
    width, height = figure.get_size_inches()
    text = _wrapped(title, width - 0.2, _TITLE)
    return figure.suptitle(text, fontsize=_TITLE, x=0.08 / width, y=1 - 0.06 / height, ha="left", va="top")


def _reusable(on: Picture | None, ground: tuple, title: str) -> bool:
    """Whether a picture stands on the same ground, its title as tall: then only what moved need be changed."""
    if on is None or len(on.drawn_from) != len(ground) or not all(map(np.array_equal, on.drawn_from, ground)):
        return False
    return _wrapped(title, on.get_figwidth() - 0.2, _TITLE).count("\n") == on.get_suptitle().count("\n")


def _finish(figure: Picture, title: str, alt: str) -> Picture:
    figure.alt = f"{title.strip().rstrip('.')}. {alt}"
    return figure


def _wide(text: str, size: float) -> float:
    """Inches that a text takes, a little more than less."""
    font = FontProperties(size=size)
    lines = text.split("\n")
    return 1.03 * max(text_to_path.get_text_width_height_descent(s, font, bool(is_math_text(s)))[0] for s in lines) / 72


@lru_cache(maxsize=256)  # measuring letters takes a large part of a frame, and most words of a picture stay
def _wrapped(text: str, inches: float, size: float, *, cut: bool = True) -> str:
    """The text in lines that fit; a word too long for a line is cut, or left long."""
    lines = None
    for letters in range(max(1, int(inches * 160 / size)), 0, -1):
        tried, lines = lines, textwrap.fill(text, letters, break_long_words=cut, break_on_hyphens=False)
        if lines != tried and _wide(lines, size) <= inches:
            break
    return lines


# --- Arrays -----------------------------------------------------------------------------------------------------


def _array(values) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, on whatever device, without importing torch here
        values = values.detach().cpu()
        values = (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
    return np.asarray(values)


def _images(name: str, images, *, signed: bool = False) -> np.ndarray:
    array = _array(images)
    if array.dtype == np.uint8:
        array = array / 255.0
    elif array.dtype.kind not in "fb":
        raise ValueError(f"{name}: expected uint8, or floats with intensity in [0, 1], got {array.dtype}")
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape[2:]:
        raise ValueError(f"{name}: expected images (N, C, H, W) with 1 or 3 channels or (N, H, W), got {array.shape}")
    array = array.astype(float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: {np.count_nonzero(~np.isfinite(array))} of {array.size} pixels are nan or infinite")
    # A network's raw output may leave the range by a little; what leaves it by much is in another unit.
    low, high = (-6, 6) if signed else (-3, 3)
    if array.size and not low <= array.min() <= array.max() <= high:
        wanted = "signed error in [−1, 1]" if signed else "intensity in [0, 1]"
        found = f"up to {array.max():.4g}" if array.max() > high else f"down to {array.min():.4g}"
        raise ValueError(f"{name}: {wanted} expected; found {found}: runtime.to_unit makes it from uint8 pixels")
    return array


def _draw(axis, image: np.ndarray, signed: bool, **how) -> None:
    """Draws an image on axes; if they hold one of this form already, that one is changed."""
    image = image.transpose(1, 2, 0)  # (H, W, C)
    if signed:
        image, how = image.mean(-1), {"cmap": ERRORS, "vmin": -1, "vmax": 1} | how
    elif image.shape[-1] == 1:
        image, how = image[..., 0], {"cmap": "gray", "vmin": 0, "vmax": 1} | how
    else:
        image = image.clip(0, 1)
    if axis.images:
        axis.images[0].set_data(image)
    else:
        axis.imshow(image, **how)
