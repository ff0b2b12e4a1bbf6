"""What `plots.arrows` promises: every arrow starts at its point and ends where the point is moved to, on equal axes."""

import itertools
import re

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.quiver import Quiver
from test_plots import cut, size, words

from aetutor import plots


def plane(count, scale=1.0, seed=0):
    return scale * np.random.default_rng(seed).normal(size=(count, 2))


def draw(fields, points, *, data=None, title="A title", **how):
    return plots.arrows(fields, points, data=plane(40, seed=9) if data is None else data, title=title, **how)


def tips(axes):
    """Where the arrows drawn start and where they end, in pixels."""
    (drawn,) = (c for c in axes.collections if isinstance(c, Quiver))
    start = axes.transData.transform(drawn.get_offsets())
    dots = drawn.get_transform().get_matrix()
    ends = []
    for path, at in zip(drawn.get_paths(), start, strict=True):
        shape = path.vertices @ dots[:2, :2].T
        ends.append(at + shape[np.hypot(*shape.T).argmax()])
    return start, np.array(ends)


FORMS = {
    "wide": plane(60) * [3, 1],
    "tall": plane(60) * [0.2, 4],
    "far from the origin": plane(60) + [1000, -30],
    "large": plane(60, 1e6),
    "small": plane(60, 1e-6),
}


@pytest.mark.parametrize("points", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_every_arrow_starts_at_its_point_and_ends_where_the_point_is_moved_to(points, count):
    spread = points.std()
    fields = {f"field {i}": plane(60, spread * 4.0**-i, seed=i + 1) for i in range(count)}
    figure = draw(fields, points, data=points[:20])
    figure.png()
    assert len(figure.axes) == count
    for axes, move in zip(figure.axes, fields.values(), strict=True):
        start, end = tips(axes)
        np.testing.assert_allclose(start, axes.transData.transform(points), atol=1e-6)
        long = np.hypot(*(end - axes.transData.transform(points)).T) > 3  # pixels; below, head and tail are one
        assert long.any() or move.std() < spread / 50
        np.testing.assert_allclose(end[long], axes.transData.transform(points + move)[long], atol=1)


def test_a_point_that_stays_is_a_dot_and_no_arrow():
    points = plane(2)
    figure = draw({"a": np.array([[0.0, 0.0], [1.0, 1.0]])}, points)
    figure.png()
    start, end = tips(figure.axes[0])
    (still, moved) = np.hypot(*(end - start).T)
    assert 0.5 < still < 2 < 20 < moved


def test_heads_are_as_large_as_the_arrow_allows_and_no_larger_than_that_of_a_long_one():
    figure = draw({"a": np.array([[4.0, 0.0], [0.4, 0.0], [0.1, 0.0]])}, np.array([[-2.0, 0], [0, 1], [0, -1]]))
    figure.png()
    (drawn,) = (c for c in figure.axes[0].collections if isinstance(c, Quiver))
    dots = drawn.get_transform().get_matrix()[1, 1]
    long, short, shorter = (np.ptp(path.vertices[:, 1]) * dots for path in drawn.get_paths())
    assert 5 < long < 9 and long >= short >= shorter > 1.5  # pixels


def test_the_data_are_drawn_in_every_panel_as_small_dots_below_the_arrows():
    data = plane(33, seed=4)
    figure = draw({"a": plane(9), "b": plane(9, seed=1)}, plane(9, seed=2), data=torch.from_numpy(data))
    for axes in figure.axes:
        (dots,) = axes.lines
        np.testing.assert_array_equal(np.stack(dots.get_data(), 1), data)
        assert dots.get_linestyle() == "None" and 1 <= dots.get_markersize() <= 3
        assert all(dots.get_zorder() < arrow.get_zorder() for arrow in axes.collections)


@pytest.mark.parametrize("scale", [[1, 1], [1, 9], [40, 1], [0, 1], [1, 0]], ids=str)
def test_all_panels_have_the_same_limits_equal_units_and_hold_all_there_is(scale):
    points, data = plane(20) * scale, plane(30, seed=3) * scale
    fields = {"a": plane(20, 0.1) * scale, "b": plane(20, 2.0, seed=5) * scale, "c": np.zeros((20, 2))}
    figure = draw(fields, points, data=data)
    width, height = size(figure)
    assert width <= 1000 and height <= 700 and not cut(figure)
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    for axes in figure.axes:
        (left, right), (bottom, top), box = axes.get_xlim(), axes.get_ylim(), axes.get_window_extent()
        assert box.width / (right - left) == pytest.approx(box.height / (top - bottom))
        seen = np.vstack([data, points, *(points + move for move in fields.values())])
        assert left < seen[:, 0].min() and seen[:, 0].max() < right
        assert bottom < seen[:, 1].min() and seen[:, 1].max() < top


def test_a_single_point_that_stays_can_be_drawn():
    figure = draw({"a": [[0.0, 0.0]]}, [[2.0, 3.0]], data=[[2.0, 3.0]])
    assert not cut(figure) and figure.axes[0].get_xlim()[0] < 2 < figure.axes[0].get_xlim()[1]


def test_panels_are_named_side_by_side_and_nothing_is_cut_or_covered():
    names = ["σ = 0.1", "a name of some length that takes a second line", "wwwww" * 12]
    figure = draw({name: plane(9, seed=i) for i, name in enumerate(names)}, plane(9, 100))
    assert not cut(figure)
    drawn = [axes.get_title() for axes in figure.axes]
    assert [name.replace(" ", "") for name in names] == ["".join(name.split()) for name in drawn]
    titles = [axes.title.get_window_extent() for axes in figure.axes]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(titles))
    assert max(box.y1 for box in titles) < figure._suptitle.get_window_extent().y0
    assert "first coordinate" in words(figure) and "second coordinate" in words(figure)


def test_the_description_counts_and_gives_the_median_length_of_each_field():
    points = plane(25)
    fields = {"still": np.zeros((25, 2)), "off": plane(25, seed=1)}
    alt = draw(fields, points, data=plane(70)).alt
    median = np.median(np.sqrt(np.square(fields["off"]).sum(1)))
    assert alt.startswith("A title. 2 panels side by side, each with 25 arrows over 70 dots of data.")
    assert re.search(r"Median length of an arrow: still 0; off ([\d.]+)\.$", alt)[1] == f"{median:.3g}"
    assert "One panel with 25 arrows" in draw({"a": fields["off"]}, points).alt
    assert draw(fields, points, alt="Words").alt == "A title. Words"


@pytest.mark.parametrize(
    "form",
    [
        torch.from_numpy,
        lambda a: torch.from_numpy(a).requires_grad_(),
        lambda a: a.tolist(),
    ],
    ids=["tensor", "tensor with gradient", "lists"],
)
def test_tensors_arrays_and_lists_draw_the_same(form):
    points, move, data = plane(9), plane(9, seed=1), plane(12, seed=2)
    plain = draw({"a": move}, points, data=data)
    assert draw({"a": form(move)}, form(points), data=form(data)).png() == plain.png()


def test_nothing_given_is_changed():
    points, move, data = plane(9), plane(9, seed=1), plane(12, seed=2)
    draw({"a": move}, points, data=data).png()
    for left, as_it_was in ((points, plane(9)), (move, plane(9, seed=1)), (data, plane(12, seed=2))):
        np.testing.assert_array_equal(left, as_it_was)


def test_arrows_are_told_from_data_in_grey_too():
    figure = draw({"a": plane(9)}, plane(9))
    (axes,) = figure.axes
    grey = [
        np.dot(matplotlib.colors.to_rgb(colour), [0.2126, 0.7152, 0.0722])
        for colour in (axes.lines[0].get_color(), axes.collections[0].get_facecolor()[0])
    ]
    assert grey[0] > 0.5 > 0.1 > grey[1]


# --- What is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 7])
def test_no_field_and_more_than_fit_are_refused(count):
    with pytest.raises(ValueError, match=f"got {count} fields; expected 1…6"):
        draw({str(i): plane(5) for i in range(count)}, plane(5))


def test_fields_that_are_no_dict_are_refused_with_the_call_that_works():
    with pytest.raises(TypeError, match=r'got ndarray; write arrows\(\{"a name": moves\}, points'):
        draw(plane(5), plane(5))


@pytest.mark.parametrize(
    "wrong", [np.zeros((5, 3)), np.zeros(5), np.zeros((5, 2, 1)), np.array([["a", "b"]] * 5), np.zeros((5, 2), complex)]
)
def test_what_is_not_points_of_the_plane_is_refused_by_name(wrong):
    right = np.zeros((5, 2))
    for name, fields, points, data in (
        ("'a field'", {"a field": wrong}, right, right),
        ("points", {"a field": right}, wrong, right),
        ("data", {"a field": right}, right, wrong),
    ):
        with pytest.raises(ValueError, match=rf"arrows: {name} must be numbers \((N|5), 2\); got") as refused:
            draw(fields, points, data=data)
        assert str(wrong.shape) in str(refused.value)


@pytest.mark.parametrize("count", [0, 4, 6])
def test_another_number_of_moves_than_points_is_refused(count):
    with pytest.raises(ValueError, match=rf"'off' must be numbers \(5, 2\); got float64 \({count}, 2\)"):
        draw({"fits": plane(5), "off": plane(count)}, plane(5))


def test_no_point_and_no_data_are_refused():
    with pytest.raises(ValueError, match="points is empty"):
        draw({"a": np.zeros((0, 2))}, np.zeros((0, 2)))
    with pytest.raises(ValueError, match="data is empty"):
        draw({"a": plane(5)}, plane(5), data=np.zeros((0, 2)))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_with_name_and_count(wrong):
    right, spoilt = plane(5), plane(5)
    spoilt[[1, 3], 0] = wrong
    for name, fields, points, data in (
        ("'a'", {"a": spoilt}, right, right),
        ("points", {"a": right}, spoilt, right),
        ("data", {"a": right}, right, spoilt),
    ):
        with pytest.raises(ValueError, match=f"2 of the 5 rows of {name} are nan or infinite"):
            draw(fields, points, data=data)
