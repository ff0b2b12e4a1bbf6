"""What `aetutor.plots` promises: a described Figure of the numbers given, on fixed scales, and nothing left behind."""

import io
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from PIL import Image

from aetutor import plots

ROOT = Path(__file__).resolve().parents[1]


def images(count=5, channels=1, side=28, seed=0):
    return np.random.default_rng(seed).random((count, channels, side, side))


def codes(count=200):
    random = np.random.default_rng(0)
    return random.normal(size=(count, 2)), random.integers(0, 10, count)


GRID = np.linspace(-2, 2, 15)
CALLS = {
    "pictures": lambda: plots.pictures({"image": images(), "noisy": images(3)}, title="A title"),
    "reconstructions": lambda: plots.reconstructions(images(), images(seed=1), title="A title"),
    "curves": lambda: plots.curves({"a": ([1, 2, 4], [3, 2, 1]), "b": ([1, 2], [2, 2])}, title="A title", x="x", y="y"),
    "bars": lambda: plots.bars({"one": 1.0, "two": 2.5}, title="A title", x="unit"),
    "code_map": lambda: plots.code_map(*codes(), title="A title"),
    "decoded_point": lambda: plots.decoded_point(*codes(), images(1)[0], point=(0.5, 1), title="A title"),
    "tiles": lambda: plots.tiles(images(225), title="A title", across=GRID, up=GRID),
    "histograms": lambda: plots.histograms({"a": np.arange(9), "b": np.arange(5)}, title="A title", x="unit"),
}
every = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def settings():
    """All of matplotlib's settings but the backend, which may be chosen at any time."""
    return {name: value for name, value in matplotlib.rcParams.copy().items() if name != "backend"}


def shown(figure):
    """The images drawn, axes by axes: (array, limits of the colour scale)."""
    drawn = [image for axes in figure.axes for image in axes.images]
    return [(np.asarray(image.get_array()), image.get_clim()) for image in drawn]


def size(figure):
    return Image.open(io.BytesIO(figure.png())).size


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


# --- All of them ----------------------------------------------------------------------------------------------


def test_every_plot_function_is_tested_here():
    public = {name for name, value in vars(plots).items() if callable(value) and hasattr(value, "__wrapped__")}
    assert public == set(CALLS)


@every
def test_a_plot_is_a_figure_with_a_title_and_a_description_that_says_more(call):
    figure = call()
    assert isinstance(figure, Figure) and isinstance(figure, plots.Picture)
    assert figure.get_suptitle() == "A title"
    assert figure.alt.startswith("A title. ") and len(figure.alt) > len("A title. ") + 20


@every
def test_a_plot_is_a_modest_png(call):
    figure = call()
    png = figure.png()
    assert png.startswith(b"\x89PNG") and len(png) < 1_500_000
    width, height = size(figure)
    assert 200 <= width <= 1000 and 100 <= height <= 1000


@every
def test_drawing_leaves_matplotlibs_settings_as_they_were(call):
    before = settings()
    call().png()
    assert settings() == before


@every
def test_a_readers_own_style_does_not_change_the_picture(call):
    plain = call().png()
    with matplotlib.rc_context({"text.color": "red", "xtick.color": "red", "axes.grid": False, "font.size": 30}):
        assert call().png() == plain
    with matplotlib.rc_context({"savefig.facecolor": "black", "savefig.bbox": "tight", "image.cmap": "jet"}):
        assert call().png() == plain


@every
def test_the_same_call_gives_the_same_picture(call):
    assert call().png() == call().png()


@every
def test_a_notebook_gets_the_png_and_its_description(call):
    figure = call()
    data, metadata = DisplayFormatter().format(figure)
    assert data["image/png"] == figure.png() and data["text/plain"] == figure.alt
    assert metadata["image/png"] == {"alt": figure.alt}


def test_no_plot_imports_pyplot_or_chooses_a_backend():
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import test_plots\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'imported before'\n"
        "for call in test_plots.CALLS.values(): call().png()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_a_long_title_is_broken_into_lines_that_fit():
    figure = plots.bars({"one": 1.0}, title="A title of many words " * 12, x="unit")
    assert "\n" in figure.get_suptitle() and figure.alt.startswith("A title of many words A title")
    figure.draw_without_rendering()
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1


# --- Images ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 12])
@pytest.mark.parametrize("channels", [1, 3])
def test_1_to_12_images_fit(count, channels):
    x = images(count, channels)
    for figure in (plots.reconstructions(x, x[::-1], title="t"), plots.pictures({"x": x}, title="t")):
        width, height = size(figure)
        assert width <= 1000 and height <= 1000 and len(figure.png()) < 1_500_000


def test_images_are_drawn_as_they_are_from_black_0_to_white_1():
    x = 0.2 + 0.1 * images(3)
    drawn = shown(plots.pictures({"x": x}, title="t"))
    assert len(drawn) == 3
    for (array, limits), image in zip(drawn, x, strict=True):
        assert limits == (0, 1)
        np.testing.assert_array_equal(array, image[0])


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        torch.from_numpy,
        lambda x: torch.from_numpy(x).requires_grad_(),
        lambda x: (255 * x).round().astype(np.uint8),
        lambda x: torch.from_numpy((255 * x).round().astype(np.uint8)),
        lambda x: x[:, 0],
        lambda x: x.astype(np.float32).tolist(),
    ],
    ids=["array", "tensor", "tensor with gradient", "uint8 array", "uint8 tensor", "no channel axis", "lists"],
)
def test_tensors_arrays_and_bytes_draw_the_same(form):
    x = images(2)
    for (array, limits), image in zip(shown(plots.pictures({"x": form(x)}, title="t")), x, strict=True):
        np.testing.assert_allclose(array, image[0], atol=0.5 / 255 + 1e-6)
        assert limits == (0, 1)


def test_colour_images_are_drawn_in_colour():
    x = images(1, 3)
    ((array, _),) = shown(plots.pictures({"x": x}, title="t"))
    np.testing.assert_array_equal(array, x[0].transpose(1, 2, 0))


@pytest.mark.parametrize("channels", [1, 3])
def test_signed_rows_are_centred_on_zero_and_only_those(channels):
    error = images(2, channels) - 0.5
    drawn = shown(plots.pictures({"x": images(2), "error": error}, title="t", signed=("error",)))
    assert [limits for _, limits in drawn] == [(0, 1)] * 2 + [(-1, 1)] * 2
    np.testing.assert_allclose(drawn[2][0], error[0].mean(0))


def test_reconstructions_show_image_reconstruction_and_their_difference_with_its_sum_of_squares():
    x, x_hat = images(2), images(2, seed=1)
    figure = plots.reconstructions(torch.from_numpy(x), torch.from_numpy(x_hat), title="t")
    drawn = shown(figure)
    for column in range(2):
        for (array, limits), expected, scale in zip(
            drawn[column::2], (x, x_hat, x_hat - x), ((0, 1), (0, 1), (-1, 1)), strict=True
        ):
            np.testing.assert_array_equal(array, expected[column, 0])
            assert limits == scale
        assert f"{((x - x_hat)[column] ** 2).sum():.1f}" in words(figure)


def test_the_colours_of_errors_grow_brighter_throughout_so_that_the_sign_survives_grey_printing():
    red, green, blue, _ = matplotlib.colormaps[plots.ERRORS](np.linspace(0, 1, 50)).T
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert (np.diff(luminance) > 0).all()


def test_series_differ_by_more_than_colour():
    looks = {(plots.MARKERS[i], plots.DASHES[i % 4]) for i in range(10)}
    assert len(looks) == len(set(plots.COLOURS)) == 10


@pytest.mark.parametrize(
    ("rows", "how", "message"),
    [
        ({}, {}, "at least one row with at least one image"),
        ({"x": images(0)}, {}, "at least one row with at least one image"),
        ({"x": images(2)}, {"captions": ["one"]}, "1 captions for 2 columns"),
        ({"x": images(2, channels=2)}, {}, r"1 or 3 channels .* got \(2, 2, 28, 28\)"),
        ({"x": np.zeros((28, 28))}, {}, r"x: expected images .* got \(28, 28\)"),
        ({"x": images(2)}, {"signed": ["errors"]}, "errors"),
    ],
)
def test_pictures_that_cannot_be_drawn_are_refused(rows, how, message):
    before = settings()
    with pytest.raises(ValueError, match=message):
        plots.pictures(rows, title="t", **how)
    assert settings() == before


def test_reconstructions_of_another_shape_or_of_nothing_are_refused():
    with pytest.raises(ValueError, match="must be equal"):
        plots.reconstructions(images(2), images(3), title="t")
    with pytest.raises(ValueError, match="at least one"):
        plots.reconstructions(images(0), images(0), title="t")


# --- Curves, bars and histograms ------------------------------------------------------------------------------


def test_curves_are_the_numbers_given_with_band_levels_ticks_and_scales():
    figure = plots.curves(
        {
            "ours": (torch.tensor([2, 8, 32]), [3.0, 2.0, 1.0], [2.5, 1.5, 0.5], [3.5, 2.5, 1.5]),
            "PCA": ([2, 8], [4, 3]),
        },
        title="t",
        x="numbers in the code",
        y="error",
        log="xy",
        ticks=[2, 8, 32],
        levels={"mean image": 3.7},
    )
    (axes,) = figure.axes
    figure.draw_without_rendering()
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert lines["ours"] == ([2, 8, 32], [3, 2, 1]) and lines["PCA"] == ([2, 8], [4, 3])
    assert any(line.get_ydata()[0] == 3.7 for line in axes.lines)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "8", "32"]
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0.5, 3.5)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("numbers in the code", "error")
    for said in ("ours", "PCA", "mean image"):
        assert said in words(figure) and said in figure.alt
    assert "from 3 to 1" in figure.alt and "3.7" in figure.alt


def test_a_curve_on_a_linear_scale_starts_at_zero_so_that_heights_compare():
    figure = plots.curves({"a": ([1, 2], [5, 6])}, title="t", x="x", y="y")
    assert figure.axes[0].get_ylim()[0] == 0
    below = plots.curves({"a": ([1, 2], [-5, 6])}, title="t", x="x", y="y")
    assert below.axes[0].get_ylim()[0] <= -5


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ({}, "at least one series"),
        ({"a": ([1, 2], [1])}, "2 xs and 1 ys"),
        ({"a": ([], [])}, "at least one"),
        ({"a": ([1, 2], [1, 2], [1], [2])}, "a"),
    ],
)
def test_curves_that_do_not_fit_together_are_refused(series, message):
    with pytest.raises(ValueError, match=message):
        plots.curves(series, title="t", x="x", y="y")


def test_bars_are_as_long_as_their_numbers_in_the_order_given():
    figure = plots.bars(
        {"three": 3.0, "one": torch.tensor(1.0), "two": 2.345678}, title="t", x="nats", marks={"mean": 2.1}
    )
    (axes,) = figure.axes
    figure.draw_without_rendering()
    assert [patch.get_width() for patch in axes.patches] == pytest.approx([3, 1, 2.345678])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["three", "one", "two"]
    assert axes.yaxis_inverted() and axes.get_xlabel() == "nats"
    assert "2.35" in words(figure) and "mean: 2.1" in words(figure) and "two 2.35" in figure.alt
    with pytest.raises(ValueError, match="at least one value"):
        plots.bars({}, title="t", x="nats")


def test_histograms_share_their_bins_and_have_equal_areas_whatever_the_counts():
    groups = {"many": torch.linspace(0, 1, 500), "few": np.array([2.0, 2.5, 4.0])}
    (axes,) = plots.histograms(groups, title="t", x="error", bins=8).axes
    edges = np.linspace(0, 4, 9)
    for patch, values in zip(axes.patches, groups.values(), strict=True):
        expected, _ = np.histogram(np.asarray(values), edges, density=True)
        heights = patch.get_xy()[1:-1:2, 1]
        np.testing.assert_allclose(heights[: len(expected)], expected)
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["many (median 0.5)", "few (median 2.5)"]


@pytest.mark.parametrize("groups", [{}, {"a": [1.0], "b": []}])
def test_histograms_of_nothing_are_refused(groups):
    with pytest.raises(ValueError, match="at least one group with at least one number"):
        plots.histograms(groups, title="t", x="x")


# --- Maps of codes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, torch.as_tensor])
def test_every_code_is_a_point_of_the_map_in_its_labels_colour(form):
    z, labels = codes()
    (axes,) = plots.code_map(form(z), form(labels), title="t").axes
    drawn = {tuple(point): tuple(c.get_facecolor()[0][:3]) for c in axes.collections for point in c.get_offsets()}
    for point, label in zip(z, labels, strict=True):
        assert drawn[tuple(point)] == pytest.approx(matplotlib.colors.to_rgb(plots.COLOURS[label]))


def test_a_map_needs_no_labels_and_marks_a_place_where_one_is_named():
    z, _ = codes(30)
    figure = plots.code_map(z, title="t", point=(9.0, 8.0))
    places = [tuple(p) for c in figure.axes[0].collections for p in c.get_offsets()]
    assert {tuple(p) for p in z} < set(places) and (9.0, 8.0) in places
    assert "30" in figure.alt


def test_a_decoded_point_shows_the_map_with_the_place_and_the_image():
    z, labels = codes(30)
    image = images(1)[0]
    figure = plots.decoded_point(z, labels, torch.from_numpy(image), point=(0.5, -1.25), title="t")
    ((array, limits),) = shown(figure)
    np.testing.assert_array_equal(array, image[0])
    assert limits == (0, 1) and "(0.5, -1.2)" in figure.alt
    assert (0.5, -1.25) in [tuple(p) for c in figure.axes[0].collections for p in c.get_offsets()]
    plots.decoded_point(z, None, images(1, 3)[0], point=(0, 0), title="t").png()


@pytest.mark.parametrize(
    ("z", "labels"), [(np.zeros((5, 3)), None), (np.zeros(5), None), (np.zeros((5, 2)), np.zeros(4, int))]
)
def test_a_map_of_other_codes_or_with_other_labels_is_refused(z, labels):
    with pytest.raises(ValueError, match=r"takes z \(N, 2\) and labels \(N,\)"):
        plots.code_map(z, labels, title="t")
    with pytest.raises(ValueError, match=r"takes z \(N, 2\) and labels \(N,\)"):
        plots.decoded_point(z, labels, images(1)[0], point=(0, 0), title="t")


def test_a_decoded_image_of_another_form_is_refused():
    with pytest.raises(ValueError, match="image"):
        plots.decoded_point(*codes(), images(2), point=(0, 0), title="t")


@pytest.mark.parametrize("channels", [1, 3])
def test_each_tile_lies_at_its_code(channels):
    across, up = [-1.0, 0.0, 1.0, 2.0], [0.5, 1.5, 2.5]
    shades = np.arange(12) / 12
    tiled = np.broadcast_to(shades[:, None, None, None], (12, channels, 4, 4))
    (axes,) = plots.tiles(torch.from_numpy(tiled.copy()), title="t", across=across, up=up).axes
    (drawn,) = axes.images
    array, (left, right, bottom, top) = np.asarray(drawn.get_array()), drawn.get_extent()
    assert array.shape[:2] == (12, 16) and (drawn.get_clim() == (0, 1) or channels == 3)
    for number, shade in enumerate(shades):
        second, first = up[number // 4], across[number % 4]  # row by row
        column, row = (first - left) / (right - left) * 16, (top - second) / (top - bottom) * 12
        assert array[int(row), int(column)] == pytest.approx(shade)
    assert axes.get_xlim() == (left, right) and axes.get_ylim() == (bottom, top)


def test_one_row_or_one_column_of_tiles_can_be_drawn():
    plots.tiles(images(3), title="t", across=[0.0, 1.0, 2.0], up=[0.0]).png()
    plots.tiles(images(1), title="t", across=[0.0], up=[0.0]).png()


def test_tiles_that_do_not_fill_their_grid_are_refused():
    for count, across, up in ((5, [0, 1], [0, 1, 2]), (0, [], [])):
        with pytest.raises(ValueError, match=f"got {count} images for a grid"):
            plots.tiles(images(count), title="t", across=across, up=up)
