"""What `aetutor.plots` promises: a described Figure of the numbers given, on fixed scales, and nothing left behind."""

import inspect
import io
import itertools
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
    "arrows": lambda: plots.arrows(
        {"one": -codes()[0] / 3, "another": codes()[0][::-1]}, codes()[0], data=codes(50)[0], title="A title"
    ),
    "code_bars": lambda: plots.code_bars(
        images(3), [1.0, -2.0, 0.5], captions=["a", "b", "c"], low=[-1] * 3, high=[1.5] * 3, title="A title"
    ),
    "connections": lambda: plots.connections(np.eye(6, 14, dtype=bool), title="A title", padding=1),
    "loss_surface": lambda: plots.loss_surface(
        GRID,
        GRID,
        GRID**2 + GRID[:, None] ** 2,
        point=(1, 0),
        step=(-2, 0),
        x=codes()[0],
        x_hat=codes()[0] / 2,
        title="A title",
    ),
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


def cut(figure):
    """Whether something drawn reaches the edge of the picture, so that it may go on beyond."""
    pixels = np.asarray(Image.open(io.BytesIO(figure.png())).convert("L"))
    return pixels[:, :2].min() < 255 or pixels[:, -2:].min() < 255 or pixels[:2].min() < 255 or pixels[-2:].min() < 255


@pytest.mark.parametrize(
    "title", ["Error 0.0123 and 0.0456, at 12 345 numbers", "WWWWMMMM " * 9, "W" * 90, "a $\\beta$ of 1 " * 9], ids=len
)
@every
def test_no_word_is_cut_at_an_edge_whatever_the_title(call, title, monkeypatch):
    assert "title=" in inspect.getsource(call)
    for name in CALLS:
        drawing = getattr(plots, name)
        monkeypatch.setattr(plots, name, lambda *a, drawing=drawing, **how: drawing(*a, **how | {"title": title}))
    figure = call()
    assert figure._suptitle.get_window_extent().x1 < figure.bbox.x1
    assert figure.get_suptitle().replace("\n", " ").split()[0] in title
    assert not cut(figure)


@pytest.mark.parametrize("title", [None, "", "  ", 5])
@every
def test_a_picture_without_a_title_is_refused(call, title, monkeypatch):
    for name in CALLS:
        drawing = getattr(plots, name)
        monkeypatch.setattr(plots, name, lambda *a, drawing=drawing, **how: drawing(*a, **how | {"title": title}))
    with pytest.raises(ValueError, match="title must be words"):
        call()


@pytest.mark.parametrize("count", [1, 2, 12, 30])
def test_few_and_many_images_leave_room_for_title_names_and_captions(count):
    x = images(count)
    captioned = plots.pictures(
        {"a name": x}, title="Error 0.0123 and 0.0456", captions=[f"{i}.12" for i in range(count)]
    )
    for figure in (captioned, plots.reconstructions(x, x, title="Two numbers per image: test error 0.0412 per pixel")):
        assert not cut(figure)
        assert figure.get_figwidth() >= 4.5
        texts = [text for text in figure.texts if "." in text.get_text() and text is not figure._suptitle]
        boxes = [text.get_window_extent() for text in texts]
        assert len(boxes) == count and all(a.x1 <= b.x0 for a, b in itertools.pairwise(boxes))


def test_a_picture_is_drawn_once_to_be_shown(monkeypatch):
    times = []
    figure = CALLS["bars"]()
    original = type(figure.axes[0]).draw
    monkeypatch.setattr(
        type(figure.axes[0]), "draw", lambda self, *a, **how: times.append(1) or original(self, *a, **how)
    )
    figure.png()
    assert len(times) == 1


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
        ({"x": np.zeros((64, 64))}, {}, r"x: expected images .* got \(64, 64\)"),
        ({"x": 0.5}, {}, r"x: expected images .* got \(\)"),
        ({"x": images(2)}, {"signed": ["errors"]}, "errors"),
    ],
)
def test_pictures_that_cannot_be_drawn_are_refused(rows, how, message):
    before = settings()
    with pytest.raises(ValueError, match=message):
        plots.pictures(rows, title="t", **how)
    assert settings() == before


def test_images_that_are_not_in_a_dict_are_refused_with_the_call_that_works():
    with pytest.raises(TypeError, match=r'got ndarray; write pictures\(\{"image": x\}'):
        plots.pictures(images(), title="t")


@pytest.mark.parametrize("count", [31, 10_000])
def test_more_images_than_fit_are_refused_before_any_is_drawn(count):
    many = np.zeros((count, 1, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=rf"'all' holds {count} images.*30.*\[:10\]"):
        plots.pictures({"few": many[:2], "all": many}, title="t")
    with pytest.raises(ValueError, match=rf"holds {count} images.*\[:10\]"):
        plots.reconstructions(many, many, title="t")
    with pytest.raises(ValueError, match="31 rows"):
        plots.pictures({str(row): many[:1] for row in range(31)}, title="t")


WRONG = {
    "whole numbers": (lambda x: (255 * x).astype(np.int64), "int64"),
    "a tensor of whole numbers": (lambda x: torch.from_numpy((255 * x).astype(np.int32)), "int32"),
    "complex": (lambda x: x + 1j, "complex"),
    "nan": (lambda x: np.where(x == x.max(), np.nan, x), f"1 of {28 * 28} pixels"),
    "infinite": (lambda x: np.where(x == x.max(), np.inf, x), "infinite"),
    "0 to 255": (lambda x: x / x.max() * 255, r"intensity in \[0, 1\] expected; found up to 255: runtime.to_unit"),
    "far below": (lambda x: -100 * x / x.max(), "found down to -100"),
}


@pytest.mark.parametrize(("spoil", "message"), WRONG.values(), ids=WRONG.keys())
def test_pixels_of_another_type_or_range_are_refused_by_all_that_draw_images(spoil, message):
    x, wrong = images(1), spoil(images(1))
    for call in (
        lambda: plots.pictures({"x": wrong}, title="t"),
        lambda: plots.reconstructions(x, wrong, title="t"),
        lambda: plots.reconstructions(wrong, x, title="t"),
        lambda: plots.tiles(wrong, title="t", across=[0], up=[0]),
        lambda: plots.decoded_point(*codes(), wrong[0], point=(0, 0), title="t"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_what_leaves_the_range_by_little_is_drawn_and_so_are_masks_and_half_precision():
    x = images(1)
    plots.reconstructions(x, 2.9 - 5 * x, title="t")  # a linear network is not bound to the range
    plots.pictures({"mask": x > 0.5, "half": torch.from_numpy(x).bfloat16()}, title="t")
    with pytest.raises(ValueError, match=r"signed error in \[−1, 1\] expected; found up to 9"):
        plots.pictures({"error": np.full((1, 2, 2), 9.0)}, title="t", signed=("error",))


def test_reconstructions_of_another_shape_or_of_nothing_are_refused():
    with pytest.raises(ValueError, match="must be equal"):
        plots.reconstructions(images(2), images(3), title="t")
    with pytest.raises(ValueError, match="at least one"):
        plots.reconstructions(images(0), images(0), title="t")


CHANGES = {
    "other pixels": {"rows": {"image": images(3, seed=4), "error": images(2, seed=5) - 0.5}},
    "larger images": {"rows": {"image": images(3, side=32), "error": images(2)}},
    "more images": {"rows": {"image": images(3), "error": images(3)}},
    "fewer rows": {"rows": {"error": images(3)}},
    "another name": {"rows": {"image": images(3), "a longer name": images(2)}, "signed": ()},
    "another sign": {"signed": ()},
    "other captions": {"captions": ["one", "two", "three"]},
    "captions of more lines": {"captions": ["1\n1", "2", "3"]},
    "a caption that wraps": {"captions": ["1", "2 of several words, and of several more", "3"]},
    "a caption too wide": {"captions": ["1", "a" * 40, "3"]},
    "no captions": {"captions": None},
    "another title": {"title": "Tgjpq (1.0)"},
    "a title of more lines": {"title": "many words " * 20},
    "another description": {"alt": "words"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_pictures_changed_are_the_pictures_drawn_anew_whatever_changes(change):
    rows = {"image": images(3), "error": images(2) - 0.5}
    first = {"rows": rows, "title": "t", "signed": ("error",), "captions": ["1", "2", "3"]}
    old = plots.pictures(**first)
    assert plots.pictures(**first, on=old) is old
    for how in (first | change, first):  # there and back
        new = plots.pictures(**how, on=old)
        assert (new.png(), new.alt) == ((fresh := plots.pictures(**how)).png(), fresh.alt)
        old = new
    assert plots.pictures(**first, on=plots.decoded_point(*codes(), images(1)[0], point=(0, 0), title="t")).axes


def test_pictures_are_changed_rather_than_drawn_anew_while_their_captions_keep_their_extent():
    how = {"rows": {"": images(3)}, "title": "t"}
    old = plots.pictures(**how, captions=["image", "noisy\n9.8 dB", "a filter of ours\n∞ dB"])
    old.png()
    other = {"captions": ["image", "noisy\n10.2 dB", "a filter of ours\n31.4 dB"]}
    new = plots.pictures(**how, **other, on=old)
    assert new is old and "31.4 dB" in words(new) and "9.8 dB" not in words(new)
    assert new.png() == plots.pictures(**how, **other).png()
    assert plots.pictures(**how, captions=["image", "noisy\n10.2\ndB", "a filter of ours\n∞ dB"], on=old) is not old


def test_a_line_break_in_a_caption_stays_one():
    figure = plots.pictures({"": images(2)}, title="t", captions=["a name\n9 dB", "b"])
    drawn = {text.get_text(): text.get_window_extent().y0 for text in figure.texts}
    assert drawn["a name"] == drawn["b"] > drawn["9 dB"] > 0 and not cut(figure)


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
        ({"a": ([1, 2], [1, 2], [1], [2])}, "1 low and 1 high"),
        ({"a": ([1, 2], [1, 2], [1, 2])}, "'a' must be 2 sequences .* or 4"),
        ({"a": [1.0, 2.0]}, "'a' must be 2 sequences"),
        ({"a": 5}, "'a' must be 2 sequences"),
    ],
)
def test_curves_that_do_not_fit_together_are_refused(series, message):
    with pytest.raises(ValueError, match=message):
        plots.curves(series, title="t", x="x", y="y")


@pytest.mark.parametrize("log", ["z", "yx", "log", True, None])
def test_a_scale_that_does_not_exist_is_refused(log):
    with pytest.raises(ValueError, match='log must be "", "x", "y" or "xy"'):
        plots.curves({"a": ([1, 2], [1, 2])}, title="t", x="x", y="y", log=log)


def test_a_logarithmic_y_axis_is_labelled_at_1_2_and_5_times_powers_of_ten():
    figure = plots.curves({"a": ([1, 2], [0.004, 0.3])}, title="t", x="x", y="y", log="y")
    figure.png()
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    found = [tick.get_text() for tick in axes.get_yticklabels() if low <= tick.get_position()[1] <= high]
    assert found == ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), torch.tensor(float("-inf"))])
def test_a_bar_or_mark_that_is_no_finite_number_is_named(wrong):
    with pytest.raises(ValueError, match=r"every bar needs a finite number.*'broken'"):
        plots.bars({"fine": 1.0, "broken": wrong}, title="t", x="unit")
    with pytest.raises(ValueError, match=r"every mark needs a finite number.*'floor'"):
        plots.bars({"fine": 1.0}, title="t", x="unit", marks={"floor": wrong})


@pytest.mark.parametrize(
    "marks", [{"all digits": 33.0}, {f"a floor with a rather long name {i}": 8.0 * i for i in range(6)}]
)
def test_the_legend_of_bars_covers_no_bar_and_no_number_and_nothing_is_cut(marks):
    names = [
        *map(str, range(9)),
        "a name of a bar that is a good deal longer than the others, so that it must be broken",
    ]
    figure = plots.bars({name: 30.0 + 2 * i for i, name in enumerate(names)}, title="t", x="unit", marks=marks)
    assert not cut(figure)
    (axes,), (legend,) = figure.axes, figure.legends
    box, numbers = legend.get_window_extent(), [text for text in axes.texts if text.get_text()]
    assert len(numbers) == 10 and [text.get_text().split(":")[0] for text in legend.get_texts()] == list(marks)
    for drawn in (*axes.patches, *numbers, *axes.lines, *axes.get_yticklabels()):
        assert not box.overlaps(drawn.get_window_extent())
    assert box.y1 <= figure._suptitle.get_window_extent().y0


def test_five_marks_are_told_apart_without_colour_and_stand_out_from_the_bars():
    (axes,) = plots.bars({"a": 9}, title="t", x="unit", marks={str(i): i for i in range(5)}).axes
    assert len({str(line._unscaled_dash_pattern) for line in axes.lines}) == 5
    assert all(line.get_path_effects() for line in axes.lines)  # a white edge


def test_a_zero_is_written_without_a_sign():
    assert "-0" not in words(plots.bars({"a": -0.0}, title="t", x="unit", marks={"m": -0.0}))


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


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_histogram_of_what_is_no_number_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match="1 of the 3 numbers of 'b' are nan or infinite"):
        plots.histograms({"a": [1.0], "b": [1.0, wrong, 2.0]}, title="t", x="x")


@pytest.mark.parametrize("bins", [0, -3, 2.5, "auto", True, None])
def test_bins_are_a_whole_number_above_zero(bins):
    with pytest.raises(ValueError, match="bins must be a whole number above 0"):
        plots.histograms({"a": [1.0, 2.0]}, title="t", x="x", bins=bins)


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
    assert limits == (0, 1) and "(0.50, -1.25)" in figure.alt
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


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (1, 1, 28, 28), (2, 28, 28), (28,)])
def test_a_decoded_image_of_another_form_is_refused(shape):
    with pytest.raises(ValueError, match="expected one image"):
        plots.decoded_point(*codes(), np.zeros(shape), point=(0, 0), title="t")


BOTH = {
    "code_map": lambda z, labels, point: plots.code_map(z, labels, point=point, title="t"),
    "decoded_point": lambda z, labels, point: plots.decoded_point(z, labels, images(1)[0], point=point, title="t"),
}
both = pytest.mark.parametrize("call", BOTH.values(), ids=BOTH.keys())


@both
def test_labels_that_are_no_whole_numbers_are_refused_and_whole_floats_are_not(call):
    z, labels = codes(30)
    call(z, labels.astype(float), (0, 0))
    for wrong in (labels + 0.5, np.where(labels == labels[0], np.nan, labels), np.array(["one"] * 30)):
        with pytest.raises(ValueError, match="whole numbers as labels"):
            call(z, wrong, (0, 0))


@pytest.mark.parametrize("point", [(1,), (1, 2, 3), 5, (np.nan, 0), (np.inf, 0), ("a", "b"), [[1, 2]]])
@both
def test_a_place_that_is_not_two_numbers_is_refused(call, point):
    with pytest.raises(ValueError, match="point must be two numbers"):
        call(*codes(), point)


@both
def test_codes_that_are_nan_are_refused_with_their_count(call):
    z, labels = codes(30)
    z[3, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 30"):
        call(z, labels, (0, 0))


def test_a_description_says_how_the_codes_are_drawn():
    z, labels = codes(30)
    assert "drawn as its label" in plots.code_map(z, labels, title="t").alt
    plain = plots.code_map(z, title="t", point=(-0.001, 2)).alt
    assert "drawn as a dot" in plain and "digit" not in plain and "cross at (0.00, 2.00)" in plain


def test_a_place_just_below_zero_is_written_without_a_sign():
    figure = plots.decoded_point(*codes(), images(1)[0], point=(-0.004, -0.0), title="t")
    assert "(0.00, 0.00)" in figure.alt and "-0.0" not in words(figure) + figure.alt


MOVES = {
    "another place": {"point": (1.0, -1.5)},
    "a place outside": {"point": (30.0, 2.0)},
    "another image": {"image": images(1, seed=5)[0]},
    "a larger image": {"image": images(1, side=32)[0]},
    "a colour image": {"image": images(1, channels=3)[0]},
    "another title": {"title": "Tgjpq (1.0) " * 2},
    "a title of more lines": {"title": "many words " * 20},
    "another description": {"alt": "words"},
    "other codes": {"z": codes()[0] + 1},
    "fewer codes": {"z": codes(50)[0], "labels": codes(50)[1]},
    "no labels": {"labels": None},
    "other labels": {"labels": (codes()[1] + 1) % 10},
}


@pytest.mark.parametrize("change", MOVES.values(), ids=MOVES.keys())
def test_a_picture_changed_is_the_picture_drawn_anew_whatever_changes(change):
    z, labels = codes()
    first = {"z": z, "labels": labels, "image": images(1)[0], "point": (0.5, 1), "title": "t"}
    for settled in (True, False):
        old = plots.decoded_point(**first)
        if settled:
            old.png()
        for how in (first | change, first):  # there and back
            new = plots.decoded_point(**how, on=old)
            assert (new.png(), new.alt) == ((fresh := plots.decoded_point(**how)).png(), fresh.alt)
            old = new


def test_a_picture_of_the_same_codes_is_changed_and_any_other_is_left_alone():
    how = {"image": images(1)[0], "title": "t"}
    old = plots.decoded_point(*codes(), point=(0, 0), **how)
    assert plots.decoded_point(*codes(), point=(1, 0), **how, on=old) is old
    before = old.png()
    for other in (plots.Picture(), CALLS["bars"](), old):
        assert plots.decoded_point(*codes(50), point=(1, 0), **how, on=other) is not other
    assert old.png() == before


@pytest.mark.parametrize("point", [(0.5, 1), (9, -9)])
def test_every_code_and_the_place_lie_inside_the_map(point):
    z, labels = codes()
    for figure in (plots.code_map(z, labels, title="t", point=point), plots.code_map(z[:1], title="t", point=point)):
        (left, right), (bottom, top) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
        for first, second in (*(z if labels is None else z[:1]), point):
            assert left < first < right and bottom < second < top


@pytest.mark.parametrize("wrong", [[0, 1, 3], [2, 1, 0], [0, 0, 0], [0, np.nan, 1]])
def test_a_grid_that_does_not_rise_in_even_steps_is_refused(wrong):
    with pytest.raises(ValueError, match="across must rise in even steps"):
        plots.tiles(images(3), title="t", across=wrong, up=[0.0])
    with pytest.raises(ValueError, match="up must rise in even steps"):
        plots.tiles(images(3), title="t", across=[0.0], up=wrong)
    plots.tiles(images(300), title="t", across=torch.linspace(-3.7, 2.9, 300), up=[0.0])  # float32 is even enough


@pytest.mark.parametrize(("across", "up", "height"), [(3, 40, 28), (40, 3, 28), (4, 4, 14), (1, 1, 28)])
def test_a_tile_keeps_its_form_and_the_picture_its_size(across, up, height):
    count = across * up
    figure = plots.tiles(images(count)[:, :, :height], title="t", across=np.arange(across), up=np.arange(up))
    width, tall = size(figure)
    assert width <= 1000 and tall <= 1000 and not cut(figure)
    box = figure.axes[0].get_window_extent()
    assert (box.height / up) / (box.width / across) == pytest.approx(height / 28, rel=0.02)


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
