"""What `plots.loss_surface` promises: contours of the loss given, an arrow that goes down, and a frame that stays."""

import io

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from aetutor import plots

ACROSS, UP = np.linspace(-2, 2, 21), np.linspace(-2, 2, 31)
BOWL = 3 * (ACROSS - 1) ** 2 + UP[:, None] ** 2 + 0.5  # (31, 21), lowest at (1, 0)


def points(count=30):
    return np.random.default_rng(0).normal(size=(count, 2)) * (1, 0.3)


def call(**how):
    x = points()
    given = {"across": ACROSS, "up": UP, "loss": BOWL, "point": (0.5, 1.0), "step": (3.0, -2.0), "x": x}
    given |= {"x_hat": x @ [[0.8, 0.4], [0.4, 0.2]], "title": "A title"} | how
    return plots.loss_surface(given.pop("across"), given.pop("up"), given.pop("loss"), **given)


def arrow(figure):
    """Where the arrow starts and ends; None if there is none."""
    (patch,) = figure.axes[0].patches
    return np.array(patch._posA_posB) if patch.get_visible() else None


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(figure.png())).convert("L")).astype(int)


def labels(figure):
    return [float(text.get_text()) for text in figure.axes[0].texts]


# --- Left: the loss -------------------------------------------------------------------------------------------


def test_the_lines_run_where_the_loss_is_what_is_written_on_them():
    figure = call()
    _, lines = figure.axes[0].collections
    paths = dict(zip(lines.levels, lines.get_paths(), strict=True))
    assert len(paths) > 5 and set(labels(figure)) <= set(paths) and len(set(labels(figure))) > 2
    for level, path in paths.items():
        across, up = path.vertices.T
        np.testing.assert_allclose(3 * (across - 1) ** 2 + up**2 + 0.5, level, atol=0.07)  # between the grid's places


def test_no_two_lines_crowd_even_where_the_slope_differs_a_thousandfold():
    cliff = np.exp(3.5 * (ACROSS + UP[:, None]))
    inside = [(cliff < level).mean() for level in call(loss=cliff).axes[0].collections[1].levels]
    assert np.diff([0, *inside, 1]).min() > 0.05 and len(inside) == 9


def test_what_is_higher_is_drawn_brighter_so_that_it_survives_grey_printing():
    bands, _ = call().axes[0].collections
    red, green, blue, _ = bands.get_facecolor().T
    assert (np.diff(0.2126 * red + 0.7152 * green + 0.0722 * blue) > 0).all() and len(red) > 5


def test_a_loss_far_from_zero_has_its_lines_too_and_a_flat_one_none():
    assert len(set(call(loss=1000 + BOWL / 100).axes[0].collections[1].levels)) > 5
    flat = call(loss=np.full_like(BOWL, 2.0))
    assert list(flat.axes[0].collections) == [] and flat.png()


def test_rows_of_the_loss_go_up_and_columns_across():
    levels = call(loss=np.tile(ACROSS, (31, 1))).axes[0].collections[1]
    for level, path in zip(levels.levels, levels.get_paths(), strict=True):
        np.testing.assert_allclose(path.vertices[:, 0], level)


def test_the_marker_stands_at_the_point_and_the_arrow_leads_from_there_along_the_step():
    figure = call()
    assert [*figure.axes[0].lines[0].get_xydata()[0]] == [0.5, 1.0]
    start, end = arrow(figure)
    np.testing.assert_array_equal(start, [0.5, 1.0])
    along = (end - start) / np.hypot(*(end - start))
    np.testing.assert_allclose(along, np.array([3, -2]) / np.hypot(3, 2))


def test_the_arrow_can_be_seen_whatever_the_slope_is_longer_where_it_is_steeper_and_gone_where_there_is_none():
    lengths = []
    for slope in (1e-6, 1.0, 5.0, 50.0, 1e9):
        start, end = arrow(call(step=(0.6 * slope, 0.8 * slope)))
        lengths.append(np.hypot(*(end - start)) / 4)  # of the panel's width
    assert lengths[0] == pytest.approx(0.08) and lengths[-1] == pytest.approx(0.3)
    assert lengths == sorted(lengths) and len({round(length, 3) for length in lengths[1:]}) == 4
    median = np.median(np.hypot(*np.gradient(BOWL, UP, ACROSS)))
    assert np.ptp(arrow(call(step=(median, 0))), 0) == pytest.approx([0.6, 0])  # 15 %
    assert arrow(call(step=(0, 0))) is None and arrow(call(step=(1e-12, 0))) is None
    assert arrow(call(loss=np.zeros_like(BOWL), step=(0, 0))) is None


def test_the_arrow_is_as_long_in_another_unit_of_the_loss():
    np.testing.assert_allclose(arrow(call(loss=1e4 * BOWL, step=(3e4, -2e4))), arrow(call()))


# --- Right: the points ----------------------------------------------------------------------------------------


def test_each_point_is_tied_to_its_reconstruction():
    x = points(5)
    x_hat = x[::-1].copy()
    errors, _, drawn, reconstructed = call(x=x, x_hat=x_hat).axes[1].lines
    np.testing.assert_array_equal(drawn.get_xydata(), x)
    np.testing.assert_array_equal(reconstructed.get_xydata(), x_hat)
    strokes = errors.get_xydata().reshape(5, 3, 2)
    np.testing.assert_array_equal(strokes[:, :2], np.stack([x, x_hat], 1))
    assert np.isnan(strokes[:, 2]).all()  # the pen is lifted


def test_the_line_runs_through_the_origin_along_the_weights_beyond_the_frame_and_is_gone_at_zero():
    figure = call(point=(-0.3, 1.2))
    ends = figure.axes[1].lines[1].get_xydata()
    np.testing.assert_allclose(ends.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(ends[:, 0] * 1.2, ends[:, 1] * -0.3)
    assert (np.abs(ends).max(1) > figure.axes[1].get_xlim()[1]).all()
    assert len(call(point=(0, 0)).axes[1].lines[1].get_xdata()) == 0


def test_the_frame_depends_on_the_points_alone_and_shows_them_all():
    near, far = call(), call(point=(-2, -2), x_hat=100 * points())
    for side in (0, 1):
        assert near.axes[side].get_position().bounds == far.axes[side].get_position().bounds
        assert near.axes[side].get_xlim() == far.axes[side].get_xlim()
        assert near.axes[side].get_ylim() == far.axes[side].get_ylim()
    low, high = near.axes[1].get_xlim()
    assert low == -high == near.axes[1].get_ylim()[0] and high > np.abs(points()).max()
    assert near.axes[1].get_aspect() == 1


def test_what_is_cut_off_is_counted_in_the_description():
    assert "out of view" not in call().alt
    x_hat = points().copy()
    x_hat[:4] *= 1000
    assert "30 points" in call(x_hat=x_hat).alt and "; 4 of them out of view" in call(x_hat=x_hat).alt


def test_points_that_are_all_at_the_origin_and_a_single_one_are_drawn():
    assert call(x=np.zeros((3, 2)), x_hat=np.zeros((3, 2))).axes[1].get_xlim() == (-1, 1)
    assert "Beside it 1 point of" in call(x=[[1, 2]], x_hat=[[0, 0]]).alt


# --- Both -----------------------------------------------------------------------------------------------------


def test_the_description_says_place_way_and_error_and_the_axes_what_they_are():
    x = points()
    figure = call(x_hat=x + (0.3, 0.4))
    assert "marked at (0.50, 1.00), its arrow, the way down, towards (" in figure.alt
    assert "mean squared error 0.25 per point" in figure.alt
    assert "where the slope is zero" in call(step=(0, 0)).alt
    assert call(alt="words").alt == "A title. words"
    named = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    assert named == [("weight w₁", "weight w₂"), ("first coordinate of x", "second coordinate of x")]
    said = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert said == ["error", "point", "reconstruction"]


@pytest.mark.parametrize("scale", [1e-6, 0.01, 1, 1234.5, 1e7])
@pytest.mark.parametrize("title", ["A title", "many words " * 20])
def test_no_word_is_cut_or_covered_whatever_the_unit_of_the_points(scale, title):
    figure = call(x=scale * points(), x_hat=scale * points(), title=title)
    grey = pixels(figure)
    assert min(grey[:2].min(), grey[-2:].min(), grey[:, :2].min(), grey[:, -2:].min()) == 255
    left, right = (axes.get_tightbbox() for axes in figure.axes)
    assert left.x1 <= right.x0 and max(left.y1, right.y1) <= figure._suptitle.get_window_extent().y0


def test_tensors_and_arrays_draw_the_same():
    tensors = {name: torch.tensor(value) for name, value in {"across": ACROSS, "up": UP, "loss": BOWL}.items()}
    x = torch.tensor(points())
    more = {"x": x, "x_hat": x @ x.new_tensor([[0.8, 0.4], [0.4, 0.2]]), "point": torch.tensor([0.5, 1.0])}
    assert call(**tensors, **more).png() == call().png()


CHANGES = {
    "another point": {"point": (-1, 0.2)},
    "no weights": {"point": (0, 0)},
    "another step": {"step": (-30, 0.1)},
    "no step": {"step": (0, 0)},
    "other reconstructions": {"x_hat": 40 * points()},
    "other points": {"x": 2 * points()},
    "fewer points": {"x": points(7), "x_hat": points(7)},
    "another loss": {"loss": BOWL**2},
    "another grid": {"across": 2 * ACROSS},
    "another title": {"title": "Tgjpq (1.0)"},
    "a title of more lines": {"title": "many words " * 20},
    "another description": {"alt": "words"},
}
STAY = {"another point", "no weights", "another step", "no step", "other reconstructions", "another title"}


@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_changed_is_the_picture_drawn_anew_whatever_changes(change):
    old = call()
    assert call(on=old) is old
    old.png()  # as a widget does
    for how in (CHANGES[change], {}):  # there and back
        new = call(**how, on=old)
        assert (new is old) == (change in STAY | {"another description"})
        assert (new.png(), new.alt) == ((fresh := call(**how)).png(), fresh.alt)
        old = new
    assert call(on=plots.bars({"one": 1.0}, title="A title", x="unit")).axes[1:]


def test_a_frame_draws_no_contour_anew(monkeypatch):
    old = call()
    monkeypatch.setattr(matplotlib.axes.Axes, "contour", None)
    monkeypatch.setattr(matplotlib.axes.Axes, "plot", None)
    assert call(point=(1, 1), on=old).png()
    with pytest.raises(TypeError):  # the guard above works
        call()


NAN = np.where(BOWL == BOWL.max(), np.nan, BOWL)
WRONG = {
    "loss of another form": ({"loss": BOWL.T}, r"loss must be numbers \(31, 21\), got float64 \(21, 31\)"),
    "loss that is nan": ({"loss": NAN}, "2 of the 651 numbers of loss are nan or infinite"),
    "a grid that falls": ({"across": ACROSS[::-1]}, "across must rise"),
    "a grid that stands": ({"up": np.zeros(31)}, "up must rise"),
    "a grid of one": ({"up": [0.0], "loss": BOWL[:1]}, "up must rise and hold at least two"),
    "a grid of two axes": ({"up": UP[None]}, r"up must be numbers \(N,\), got float64 \(1, 31\)"),
    "three weights": ({"point": (0, 0, 0)}, r"point must be numbers \(2,\)"),
    "words": ({"point": ("a", "b")}, r"point must be numbers \(2,\), got <U1"),
    "a step that is infinite": ({"step": (np.inf, 0)}, "1 of the 2 numbers of step"),
    "a point off the grid": ({"point": (0, 2.1)}, r"\(0.00, 2.10\) is off the surface, which is -2…2 across and -2…2"),
    "points in space": ({"x": np.zeros((4, 3))}, r"x must be numbers \(N, 2\), got float64 \(4, 3\)"),
    "no points": ({"x": np.zeros((0, 2))}, r"x must be numbers \(N, 2\), got float64 \(0, 2\)"),
    "points that are nan": ({"x": np.full((4, 2), np.nan)}, "8 of the 8 numbers of x are nan"),
    "other reconstructions": ({"x_hat": points(29)}, r"x_hat must be numbers \(30, 2\), got float64 \(29, 2\)"),
}


@pytest.mark.parametrize(("how", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_drawn_is_refused(how, message):
    with pytest.raises(ValueError, match=message):
        call(**how)
