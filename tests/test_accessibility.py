"""Every picture is described, stands out from its ground, and keeps its meaning without some colours or without any.

Contrast is that of WCAG 2.2 (success criteria 1.4.3 and 1.4.11). Colour-blindness is simulated with the matrices of
Machado, Oliveira & Fernandes 2009 (IEEE Transactions on Visualization and Computer Graphics 15) at full strength; how
far two colours are apart then is CIEDE2000, where 1 is about the least difference that is seen side by side.
"""

import ast
import io
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from colorspacious import cspace_convert
from matplotlib.colors import to_hex, to_rgb, to_rgba
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from test_plots import CALLS, GRID, codes

from aetutor import plots
from aetutor.plots.surface import LAND
from aetutor.train.history import PLAYERS, History, Row

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOURCES = sorted((ROOT / "notebooks" / "assignments" / "source").glob("*/*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "data" / "README.md", ROOT / "notebooks" / "assignments" / "README.md"]
VISIONS = ("normal", "protanomaly", "deuteranomaly", "tritanomaly")
APART = 12  # CIEDE2000: two colours of the palette, whoever looks
TOLD = 10  # CIEDE2000, and L* on paper without colours: two series without a marker or dash of their own

visions = pytest.mark.parametrize("vision", VISIONS)
every_notebook = pytest.mark.parametrize("path", CHAPTERS + SOURCES, ids=lambda path: path.stem)
every_text = pytest.mark.parametrize("path", CHAPTERS + SOURCES + PAGES, ids=lambda path: "/".join(path.parts[-2:]))


# --- Measures ---------------------------------------------------------------------------------------------------


def luminance(rgb) -> np.ndarray:
    """(…, 3) sRGB in [0, 1] → (…,): WCAG 2.2, "relative luminance"."""
    rgb = np.asarray(rgb, float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)


def contrast(one, other) -> np.ndarray:
    """From 1, none, to 21, black on white: WCAG 2.2, "contrast ratio"."""
    one, other = luminance(one), luminance(other)
    return (np.maximum(one, other) + 0.05) / (np.minimum(one, other) + 0.05)


def seen(colours, vision: str) -> np.ndarray:
    """sRGB colours (N, 3) as an eye of that kind sees them."""
    rgb = np.asarray(colours, float)
    if vision != "normal":
        blind = {"name": "sRGB1+CVD", "cvd_type": vision, "severity": 100}
        rgb = cspace_convert(rgb, blind, "sRGB1").clip(0, 1)
    return rgb


def lab(colours, vision: str = "normal") -> np.ndarray:
    return rgb2lab(seen(colours, vision))


def on(ground, colour, alpha=None) -> np.ndarray:
    """The sRGB of a colour, however transparent, on its ground."""
    *rgb, opacity = to_rgba(colour, alpha)
    return opacity * np.array(rgb) + (1 - opacity) * np.asarray(ground, float)


def test_the_measures_give_the_values_that_their_authors_publish():
    assert contrast(to_rgb("black"), to_rgb("white")) == pytest.approx(21)
    assert contrast(to_rgb("#767676"), to_rgb("white")) == pytest.approx(4.54, abs=0.005)  # WebAIM's example of AA
    # Sharma, Wu & Dalal 2005, Color Research & Application 30: their first pair.
    assert deltaE_ciede2000([50, 2.6772, -79.7751], [50, 0, -82.7485]) == pytest.approx(2.0425, abs=1e-4)
    # Machado et al. 2009, table 1: what red becomes without M cones, in linear light.
    linear = cspace_convert(seen([(1, 0, 0)], "deuteranomaly")[0], "sRGB1", "sRGB1-linear")
    assert linear == pytest.approx([0.367322, 0.280085, 0], abs=1e-4)


# --- Colours ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [*plots.COLOURS, *(colour for colour, *_ in PLAYERS)])
def test_a_colour_for_lines_and_markers_stands_out_from_white_paper(colour):
    assert contrast(to_rgb(colour), to_rgb("white")) >= 3


@visions
def test_any_two_colours_differ_to_every_kind_of_eye(vision):
    shades = lab([to_rgb(colour) for colour in plots.COLOURS], vision)
    for one, other in itertools.combinations(range(len(shades)), 2):
        difference = deltaE_ciede2000(shades[one], shades[other])
        assert difference >= APART, f"{plots.COLOURS[one]} and {plots.COLOURS[other]} are {difference:.1f} apart"


@visions
@pytest.mark.parametrize("scale", [matplotlib.colormaps[plots.ERRORS], LAND], ids=["errors", "loss"])
def test_a_scale_of_colours_grows_brighter_throughout_to_every_kind_of_eye(scale, vision):
    brightness = lab(scale(np.linspace(0, 1, 64))[:, :3], vision)[:, 0]
    assert (np.diff(brightness) > 0).all()


@visions
def test_errors_of_either_sign_are_told_from_none_and_from_each_other_equally_well(vision):
    low, middle, high = lab(matplotlib.colormaps[plots.ERRORS]([0.25, 0.5, 0.75])[:, :3], vision)  # −½, 0, ½
    below, above, apart = (deltaE_ciede2000(*pair) for pair in ((low, middle), (middle, high), (low, high)))
    assert min(below, above) >= TOLD and apart > 1.5 * max(below, above)
    assert max(below, above) < 1.6 * min(below, above)


# --- Figures ----------------------------------------------------------------------------------------------------


def crowded(*, band: float = 0) -> Figure:
    xs = np.arange(1, 6)
    lines = {f"series {n}": 1 + n + 1 / xs for n in range(len(plots.COLOURS))}
    series = {name: (xs, ys, ys - band, ys + band) if band else (xs, ys) for name, ys in lines.items()}
    levels = {"a floor": 0.5, "another": 1.5, "a third": 2.5}
    return plots.curves(series, title="A title", x="x", y="y", levels=levels)


def game() -> Figure:
    """The history of as many players as have a look of their own."""
    rows = [Row(epoch=n, train=4 / n, valid=5 / n, seconds=1.0) for n in (1, 2, 3)]
    players = {f"player {n}": [n + 1.0, n + 0.5, n + 0.7] for n in range(len(PLAYERS))}
    return History(rows=rows, unit="nats", players=players, score="distance").plot()


FIGURES = CALLS | {
    "curves, ten": crowded,
    "curves, ten with bands": lambda: crowded(band=0.3),
    "histograms, six": lambda: plots.histograms(
        {f"group {n}": np.arange(9) + n for n in range(6)}, title="A title", x="unit"
    ),
    "bars with marks": lambda: plots.bars(
        {"one": 1.0, "two": 2.5}, title="A title", x="unit", marks={f"mark {n}": n / 3 for n in range(5)}
    ),
    "code_map, dots": lambda: plots.code_map(codes()[0], title="A title", point=(1, 1)),
    "connections, one chosen": lambda: plots.connections(np.tri(6, 6, dtype=bool), title="A title", output=5),
    "connections, narrow": lambda: plots.connections(np.eye(60, 120, dtype=bool), title="A title"),
    "loss_surface, in the valley": lambda: plots.loss_surface(
        GRID,
        GRID,
        GRID**2 + GRID[:, None] ** 2,
        point=(0.1, 0),
        step=(-0.2, 0),
        x=codes()[0],
        x_hat=codes()[0] / 2,
        title="A title",
    ),
    "history of a game": game,
}
every = pytest.mark.parametrize("call", FIGURES.values(), ids=FIGURES.keys())


def pixels(figure) -> np.ndarray:
    """The picture as readers get it: (H, W, 3) sRGB in [0, 1]."""
    png = figure._repr_mimebundle_()[0]["image/png"]
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) / 255


@every
def test_every_word_of_a_figure_can_be_read_on_its_ground(call):
    figure = call()
    pixels(figure)  # only now is everything in its place
    words = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = [text.get_window_extent().extents.round().astype(int) for text in words]
    colours = [text.get_color() for text in words]
    alphas = [text.get_alpha() for text in words]
    for text in words:
        text.set_color((0, 0, 0, 0))
    bare = pixels(figure)[::-1]  # from the bottom up, as matplotlib counts
    measured = 0
    for text, (x0, y0, x1, y1), colour, alpha in zip(words, boxes, colours, alphas, strict=True):
        ground = bare[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)].reshape(-1, 3)
        if not len(ground):
            continue  # a tick's label beyond the end of its axis
        large = text.get_fontsize() >= 18 or (text.get_fontsize() >= 14 and text.get_fontweight() in ("bold", 700))
        found = np.quantile(contrast(on(ground, colour, alpha), ground), 0.1)  # a line may cross a word
        assert found >= (3 if large else 4.5), f"{text.get_text()!r} has a contrast of {found:.2f}"
        measured += 1
    assert measured >= 1


def marks(axes) -> list[tuple[str, list, float]]:
    """What carries meaning in a panel: (what it is, the colours it is drawn in, opacity)."""
    found = []
    for line in axes.lines:
        if not line.get_visible() or not len(line.get_xdata()):
            continue
        if line.get_linestyle() != "None" and line.get_linewidth():
            found.append((f"line {line.get_label()!r}", [line.get_color()], line.get_alpha()))
        if line.get_marker() != "None":
            faces = [line.get_markerfacecolor(), line.get_markeredgecolor()]
            found.append((f"marker {line.get_label()!r}", faces[: 2 if line.get_markeredgewidth() else 1], None))
    for patch in axes.patches:
        if patch.get_visible():
            found.append((f"patch {patch.get_label()!r}", [patch.get_facecolor(), patch.get_edgecolor()], None))
    for collection in axes.collections:
        if isinstance(collection, ContourSet) and collection.filled:
            continue  # the ground of the others
        faces, edges = map(list, (collection.get_facecolor(), collection.get_edgecolor()))
        for n in range(max(len(faces), len(edges))):
            colours = [part[n % len(part)] for part in (faces, edges) if len(part)]
            found.append((f"{type(collection).__name__} {n}", colours, None))
    return found


def halo(axes, collection) -> bool:
    """Whether a white sign lies below a darker one, which it sets off from what is around."""
    return whitish(collection) and any(
        type(other) is type(collection)
        and np.array_equal(other.get_offsets(), collection.get_offsets())
        and not whitish(other)
        for other in axes.collections
    )


def whitish(collection) -> bool:
    return bool((np.vstack([collection.get_edgecolor(), collection.get_facecolor()])[:, :3] == 1).all())


def grounds(axes) -> list:
    filled = [c for c in axes.collections if isinstance(c, ContourSet) and c.filled]
    return [shade[:3] for c in filled for shade in c.get_facecolor()] or [to_rgb(axes.get_facecolor())]


@every
def test_every_line_marker_and_bar_stands_out_from_its_ground_or_has_an_edge_that_does(call):
    for axes in call().axes:
        for one in [c for c in axes.collections if halo(axes, c)]:
            one.remove()
        for fill in [c for c in axes.collections if c.get_alpha() == 0.2]:  # a band: read by its edges
            assert outlined(axes, fill), "a pale band without edges"
            fill.remove()
        for what, colours, alpha in marks(axes):
            for ground in grounds(axes):
                drawn = [on(ground, colour, alpha) for colour in colours]
                # Against the ground, or fill against edge: a dark dot with a white ring is seen anywhere.
                pairs = [(shade, ground) for shade in drawn] + list(itertools.combinations(drawn, 2))
                best = max(contrast(*pair) for pair in pairs)
                assert best >= 3, f"{what} in {[to_hex(c) for c in colours]} has a contrast of {best:.2f}"


def outlined(axes, fill) -> bool:
    """Whether lines in the fill's own colour run along its edges."""
    own = [line for line in axes.lines if to_rgb(line.get_color()) == tuple(fill.get_facecolor()[0][:3])]
    along = {tuple(point) for line in own for point in line.get_xydata().round(9)}
    return {tuple(point) for path in fill.get_paths() for point in path.vertices.round(9)} <= along


def look(handle) -> tuple:
    """By what a series is told from another without colour: its marker and its dashes."""
    if hasattr(handle, "get_marker"):
        marker = handle.get_marker()
        drawn = handle.get_linewidth() and handle.get_linestyle() != "None"
        return marker, str(handle._unscaled_dash_pattern) if drawn else None
    return None, str(handle.get_linestyle())


def shade(handle) -> tuple:
    colour = handle.get_color() if hasattr(handle, "get_color") else handle.get_edgecolor()
    return to_rgb(colour)


def series(axes) -> list:
    """What a legend would tell apart."""
    return axes.get_legend_handles_labels()[0]


def told_apart(one, other) -> bool:
    if look(one) != look(other):
        return True
    pair = [shade(one), shade(other)]
    apart = [deltaE_ciede2000(*lab(pair, vision)) for vision in VISIONS]
    return min(apart) >= TOLD and abs(np.diff(lab(pair)[:, 0]).item()) >= TOLD


@every
def test_any_two_series_of_a_legend_are_told_apart_without_colours_and_by_the_colour_blind(call):
    for axes in call().axes:
        for one, other in itertools.combinations(series(axes), 2):
            assert told_apart(one, other), f"{one.get_label()} and {other.get_label()}"


def test_the_walk_sees_what_is_wrong():
    axes = Figure().add_subplot()
    (red,) = axes.plot([0, 1], [0, 1], color="#D55E00", label="a")
    (green,) = axes.plot([0, 1], [1, 0], color="#7A8B00", label="b")  # as bright, and red to a deuteranope
    assert not told_apart(red, green)
    green.set_linestyle("--")
    assert told_apart(red, green)
    green.set(linestyle="-", color="#001100")
    assert told_apart(red, green)
    band = axes.fill_between([0, 1], [0, 0], [1, 1], color="#D55E00", alpha=0.2)
    assert not outlined(axes, band)
    cross = axes.scatter([0], [0], marker="x", color="white")
    assert not halo(axes, cross)
    axes.scatter([0], [0], marker="x", color="black")
    assert halo(axes, cross)


def test_a_label_on_a_map_is_drawn_in_a_sign_of_its_own():
    (axes,) = plots.code_map(*codes(), title="A title").axes
    drawn = {
        (tuple(map(tuple, c.get_paths()[0].vertices.round(6))), tuple(c.get_facecolor()[0])) for c in axes.collections
    }
    signs, colours = (set(kind) for kind in zip(*drawn, strict=True))
    assert len(signs) == len(colours) == len(drawn) == 10


# --- Descriptions -----------------------------------------------------------------------------------------------


def test_the_description_of_a_curve_tells_its_peak_and_its_dip():
    xs = np.array([3, 1, 2, 4])  # in any order
    alt = plots.curves({"up": (xs, [1, 1, 9, 1]), "down": (xs, [2, 6, 5, 6])}, title="A title", x="x", y="y").alt
    assert "over x, 1 to 4: up from 1 to 1, highest 9 at 2; down from 6 to 6, lowest 2 at 3." in alt
    straight = plots.curves({"a": ([1, 2, 3], [3, 2, 1])}, title="A title", x="x", y="y").alt
    assert "highest" not in straight and "lowest" not in straight


def test_a_peak_on_a_logarithmic_scale_is_one_that_is_seen_there():
    xs, ys = np.arange(5), [1, 0.01, 1e-6, 0.01, 1.2]
    assert "lowest 1e-06 at 2" in plots.curves({"a": (xs, ys)}, title="A title", x="x", y="y", log="y").alt
    small = plots.curves({"a": (xs, [1, 1e-4, 1e-6, 3e-6, 2e-6])}, title="A title", x="x", y="y", log="y").alt
    assert "lowest" not in small
    gaps = plots.curves({"a": (["one", "two"], [np.nan, 1.0])}, title="A title", x="x", y="y").alt
    assert gaps == "A title. Line chart of y over x: a from nan to 1."


def test_the_description_of_a_histogram_tells_where_half_of_each_group_lies():
    alt = plots.histograms({"a": np.arange(101)}, title="A title", x="unit").alt
    assert alt == "A title. Histograms of unit; medians: a 50, half of them from 25 to 75."


def test_the_description_of_a_map_tells_where_labels_lie_and_of_a_place_what_lies_around_it():
    z = np.array([[0.0, 0], [0, 0.2], [5, 5], [5, 5.2], [5, 5.4]])
    labels = np.array([3, 3, 7, 7, 7])
    assert "3 at (0.00, 0.10), 7 at (5.00, 5.20)." in plots.code_map(z, labels, title="A title").alt
    many, around = np.concatenate([z] * 30), np.concatenate([labels] * 30)
    image = np.zeros((1, 8, 8))
    near = plots.decoded_point(many, around, image, point=(5, 5.2), title="A title").alt
    assert near.endswith("The labels nearest to it: 20 × 7.")
    between = plots.decoded_point(z, labels, image, point=(2, 2), title="A title").alt
    assert between.endswith("The labels nearest to it: 3 × 7, 2 × 3.")
    assert "labels" not in plots.decoded_point(z, None, image, point=(2, 2), title="A title").alt


def test_the_description_of_arrows_tells_how_many_lead_to_the_data():
    points = np.array([[1.0, 0], [2, 0], [0, 3], [0, 4]])
    fields = {"home": -points / 2, "away": points, "some": points * [[-0.5], [-0.5], [-0.5], [1]]}
    alt = plots.arrows(fields, points, data=np.zeros((3, 2)), title="A title").alt
    assert "nearer to a dot than they start: home 100%; away 0%; some 75%." in alt


def test_the_description_of_images_tells_captions_and_leaves_out_names_that_are_blank():
    x = np.zeros((2, 8, 8))
    bare = plots.pictures({"": x, " ": x}, title="A title")
    assert bare.alt == "A title. Rows of 2 images."
    captioned = plots.pictures({"": x, "b": x}, title="A title", captions=["one\nline", "two"])
    assert captioned.alt == "A title. Rows of 2 images: b. Below the columns: one line, two."
    assert "from the left: 0.0, 64.0." in plots.reconstructions(x, x + [[[0]], [[1]]], title="A title").alt


# --- Notebooks and pages ----------------------------------------------------------------------------------------


def notebook_cells(path: Path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == kind]


def prose(path: Path) -> str:
    """The text of a page or a notebook without its examples of code."""
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        text = "\n\n".join("".join(cell["source"]) for cell in notebook_cells(path, "markdown"))
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def described(path: Path) -> list[str]:
    outputs = [output for cell in notebook_cells(path, "code") for output in cell["outputs"]]
    return [o["metadata"]["image/png"]["alt"] for o in outputs if "image/png" in o.get("data", {})]


@every_notebook
def test_pictures_of_images_are_described_by_somebody_who_looked_at_them(path):
    for cell in notebook_cells(path, "code"):
        source = re.sub(r"^(\s*)[%!].*", r"\1pass", "".join(cell["source"]), flags=re.M)  # what only IPython reads
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("plots.pictures", "plots.tiles"):
                names = {keyword.arg: keyword.value for keyword in call.keywords}
                assert "alt" in names, f"no code can say what these images show: {ast.unparse(names['title'])}"
                if isinstance(names["alt"], ast.Constant):
                    assert len(names["alt"].value.split()) >= 8


@every_notebook
def test_descriptions_are_sentences_of_a_readable_length_and_no_two_are_the_same(path):
    alts = described(path)
    assert len(alts) == len(set(alts)) > 0
    for alt in alts:
        assert 40 < len(alt) <= 900 and alt.endswith("."), alt
        assert not re.match(r"(an? |the )?(image|picture|graphic|figure|plot) of", alt, re.I), alt
        assert not re.search(r": *[,.]|, *[,.]|\bNone\b|\bnan\b|Figure\(", alt), alt


@every_text
def test_headings_start_at_one_title_and_skip_no_level(path):
    levels = [len(marks) for marks in re.findall(r"^(#+) \S", prose(path), re.M)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@every_text
def test_a_link_says_where_it_leads_without_its_sentence(path):
    places = {}
    for words, target in re.findall(r"(?<!!)\[([^\[\]]+)\]\(([^)\s]+)\)", prose(path)):
        assert words.lower().strip() not in {"here", "this", "it", "link", "more", "read more", "click here", "page"}
        assert len(words) >= 4 and not words.startswith(("http://", "https://")), words
        assert places.setdefault(words, target) == target, f"{words!r} leads to {target} and to {places[words]}"


@every_text
def test_every_column_of_a_table_has_a_heading(path):
    for head in re.findall(r"^(\|.*)\n\|[-:| ]+\|$", prose(path), re.M):
        assert all(cell.strip() for cell in head.strip("|").split("|")), head


class Tables(HTMLParser):
    """How many rows of each table of an HTML output have a heading cell with a scope."""

    def __init__(self, html: str):
        super().__init__()
        self.headed = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self.headed.append(0)
        elif tag == "th" and dict(attributes).get("scope") in ("col", "row"):
            self.headed[-1] += 1


@every_notebook
def test_tables_that_cells_print_have_headings_with_a_scope(path):
    outputs = [output for cell in notebook_cells(path, "code") for output in cell["outputs"]]
    for html in ("".join(output["data"]["text/html"]) for output in outputs if "text/html" in output.get("data", {})):
        assert all(Tables(html).headed), html[:200]
