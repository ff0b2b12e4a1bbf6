"""What `plots.connections` promises: every connection drawn once, counted and described, from 1 pixel to 160."""

import io
import itertools

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from PIL import Image

from aetutor import models, plots

BLUE = plots.COLOURS[0].lower()


def conv(size, kernel, *, padding=0, **how):
    """A convolution's connections, its padding among the columns."""
    return models.reach(size + 2 * padding, kernel=kernel, **how)


def transposed(size, kernel, **how):
    return models.reach(size, kernel=kernel, transposed=True, **how)


FORMS = {
    "halving": (conv(12, 4, stride=2, padding=1), 1),
    "28 to 14": (conv(28, 4, stride=2, padding=1), 1),
    "doubling": (transposed(6, 4, stride=2, padding=1), 0),
    "uneven": (transposed(12, 3, stride=2), 0),
    "dilated": (conv(12, 3, dilation=2, padding=2), 2),
    "mostly padding": (conv(1, 7, padding=3), 3),
    "padding alone seen": (conv(5, 1, padding=3), 3),
    "pixels left over": (conv(13, 3, stride=4), 0),
    "never reached": (transposed(4, 2, stride=3), 0),
    "one to one": (conv(1, 1), 0),
    "one to many": (transposed(1, 7), 0),
    "many to one": (conv(64, 64), 0),
    "64 each way": (conv(64, 3, padding=1), 1),
    "64 to 127": (transposed(64, 1, stride=2), 0),
    "the calculator's longest": (transposed(32, 7, stride=4, dilation=3, output_padding=3), 0),
    "a long row": (transposed(32, 7, stride=4), 0),
    "the longest": (conv(160, 2, stride=2), 0),
    "counted in two digits": (conv(20, 12, padding=3), 3),
    "no connection": (torch.zeros(3, 5, dtype=torch.bool), 0),
    "some at random": (torch.rand(9, 14, generator=torch.Generator().manual_seed(0)) < 0.3, 2),
    "from right to left": (torch.eye(20, dtype=torch.bool).flip(0), 0),
}
every = pytest.mark.parametrize(("reach", "padding"), FORMS.values(), ids=FORMS.keys())


def drawn(reach, padding=0, **how):
    return plots.connections(reach, padding=padding, **{"title": "A title"} | how)


def lines(figure):
    """[(start, end, thick, dashed, colour)] of every line, in inches."""
    found = []
    for many in (c for c in figure.axes[0].collections if isinstance(c, LineCollection)):
        look = (many.get_linewidth()[0] > 1.5, many.get_linestyle()[0][1] is not None, to_hex(many.get_color()[0]))
        found += [(tuple(start), tuple(end), *look) for start, end in many.get_segments()]
    return found


def squares(figure):
    """[(middle, bottom, top, width, face, dashed)] of every square, left to right: the input's, then the output's."""
    found = []
    for many in (c for c in figure.axes[0].collections if isinstance(c, PolyCollection)):
        paths, faces = many.get_paths(), many.get_facecolor()
        for number, path in enumerate(paths):
            (left, bottom), (right, top) = path.vertices[:-1].min(0), path.vertices[:-1].max(0)
            dashed = many.get_linestyle()[0][1] is not None
            middle = round((left + right) / 2, 6)
            found.append((middle, bottom, top, right - left, to_hex(faces[number % len(faces)]), dashed))
    low = min(bottom for _, bottom, *_ in found)
    return sorted(s for s in found if s[1] > low), sorted(s for s in found if s[1] == low)


def texts(figure):
    return [text for text in figure.axes[0].texts if text.get_text()]


def numbers(figure):
    return [text for text in texts(figure) if text.get_text().isdigit()]


def boxes(artists):
    return [artist.get_window_extent() for artist in artists]


# --- What is drawn --------------------------------------------------------------------------------------------


@every
def test_there_is_a_square_for_every_pixel_in_two_rows_that_overlap_nowhere(reach, padding):
    figure = drawn(reach, padding)
    above, below = squares(figure)
    assert (len(below), len(above)) == reach.shape
    assert max(top for _, _, top, *_ in below) + 1 < min(bottom for _, bottom, *_ in above)
    for row in (above, below):
        for (x, *_, wide, _, _), (y, *_, wider, _, _) in itertools.pairwise(row):
            assert x + wide / 2 < y - wider / 2
    dashed = [dashed for *_, dashed in above]
    inside = len(above) - 2 * padding
    assert dashed == [True] * padding + [False] * inside + [True] * padding
    assert not any(dashed for *_, dashed in below)


@every
def test_there_is_a_line_for_every_connection_from_its_input_pixel_to_its_output_pixel(reach, padding):
    figure = drawn(reach, padding)
    above, below = squares(figure)
    columns, rows = ({s[0]: number for number, s in enumerate(row)} for row in (above, below))
    found = []
    for (x, top), (y, bottom), *_ in lines(figure):
        found.append((rows[round(y, 6)], columns[round(x, 6)]))
        assert top == pytest.approx(above[0][1]) and bottom == pytest.approx(below[0][2])
    assert sorted(found) == [tuple(pair) for pair in reach.nonzero().tolist()]


@every
def test_one_output_pixel_its_lines_and_what_reaches_it_stand_out_by_fill_thickness_and_colour(reach, padding):
    for output in {0, len(reach) // 2, len(reach) - 1}:
        figure = drawn(reach, padding, output=output)
        above, below = squares(figure)
        assert [face == BLUE for *_, face, _ in below] == [number == output for number in range(len(below))]
        seen = [bool(hit) and not dashed for hit, (*_, dashed) in zip(reach[output], above, strict=True)]
        assert [face == BLUE for *_, face, _ in above] == seen
        for (x, _), (y, _), thick, dashed, colour in lines(figure):
            chosen = round(y, 6) == below[output][0]
            assert thick == chosen == (colour == BLUE)
            (pixel,) = (pixel for pixel in above if pixel[0] == round(x, 6))
            assert dashed == pixel[-1]  # from padding: dashed, as the padding is


@every
def test_an_output_pixel_is_the_darker_the_more_input_pixels_reach_it_and_padding_does_not_count(reach, padding):
    counts = reach[:, padding : reach.shape[1] - padding].sum(1).tolist()
    figure = drawn(reach, padding)
    _, below = squares(figure)
    shades = {}
    for number, (*_, face, _) in enumerate(below):
        if number != len(below) // 2:
            shades.setdefault(counts[number], set()).add(int(face[1:3], 16))
    assert all(len(shade) == 1 for shade in shades.values())
    ordered = [shades[count].pop() for count in sorted(shades)]
    assert ordered == sorted(set(ordered), reverse=True)
    assert min(ordered, default=255) > 140  # a black number is read on it
    written = [text.get_text() for text in numbers(figure)]
    assert written in ([], [str(count) for count in counts])


@pytest.mark.parametrize(("count", "written"), [(1, True), (12, True), (40, True), (64, False), (160, False)])
def test_numbers_are_left_out_where_they_would_be_too_small_and_their_range_is_said_instead(count, written):
    figure = drawn(conv(count, 1))
    assert len(numbers(figure)) == written * count
    said = " ".join(text.get_text() for text in texts(figure))
    assert ("1 input pixel reaches each, the more the darker" in said) == (not written)
    assert ("inside: how many input pixels reach each" in said) == written
    assert all(text.get_fontsize() >= 7 for text in texts(figure))


@every
def test_every_number_lies_in_its_square_and_no_words_overlap_or_leave_the_picture(reach, padding):
    figure = drawn(reach, padding, output=0)
    figure.draw_without_rendering()
    _, below = squares(figure)
    dpi = figure.get_dpi()
    for text, (middle, bottom, top, wide, *_) in zip(numbers(figure), below, strict=False):
        box = text.get_window_extent()
        assert (middle - wide / 2) * dpi < box.x0 and box.x1 < (middle + wide / 2) * dpi
        assert bottom * dpi <= box.y0 and box.y1 <= top * dpi
    words = [text for text in texts(figure) if text not in numbers(figure)]
    assert len(words) == 3
    for one, other in itertools.combinations(boxes([*words, figure._suptitle]), 2):
        assert not one.overlaps(other)
    pixels = np.asarray(Image.open(io.BytesIO(figure.png())).convert("L"))
    assert pixels[:, :2].min() == pixels[:, -2:].min() == pixels[:2].min() == pixels[-2:].min() == 255


def test_each_output_pixel_of_a_convolution_stands_right_under_the_middle_of_what_it_sees():
    for size, kernel, stride, dilation, padding in (
        (12, 4, 2, 1, 1),
        (13, 3, 4, 1, 0),
        (9, 7, 1, 1, 0),
        (20, 3, 3, 2, 2),
    ):
        reach = conv(size, kernel, stride=stride, dilation=dilation, padding=padding)
        above, below = squares(drawn(reach, padding))
        for row, pixel in zip(reach, below, strict=True):
            assert pixel[0] == pytest.approx(np.mean([above[i][0] for i in row.nonzero()[:, 0]]), abs=1e-5)


def test_the_inputs_of_a_transposed_convolution_stand_a_stride_apart_whatever_is_cut_off_at_the_ends():
    for how in ({"padding": 0}, {"padding": 1}, {"padding": 1, "output_padding": 1}):
        above, below = squares(drawn(transposed(8, 4, stride=2, **how)))
        assert above[1][0] - above[0][0] == pytest.approx(2 * (below[1][0] - below[0][0]), rel=0.07)


@pytest.mark.parametrize("title", ["Short", "A title of many words " * 8], ids=len)
def test_a_picture_is_as_large_whatever_it_shows_so_that_it_stands_still_under_sliders(title):
    assert len({Image.open(io.BytesIO(drawn(*form, title=title).png())).size for form in FORMS.values()}) == 1


# --- What is said ---------------------------------------------------------------------------------------------


def test_the_middle_output_pixel_is_the_one_filled_if_none_is_named():
    for outputs, middle in ((1, 0), (2, 1), (5, 2), (6, 3)):
        assert drawn(conv(outputs, 1)).png() == drawn(conv(outputs, 1), output=middle).png()


def test_the_words_and_the_description_give_rows_padding_counts_and_what_reaches_the_pixel():
    figure = drawn(*FORMS["halving"], output=0)
    assert figure.alt == (
        "A title. 12 input pixels and 1 of padding at each end above 6 output pixels, with a line wherever one reaches"
        " the other. 3 to 4 input pixels reach each output pixel; from the left: 3 4 4 4 4 3. Output pixel 0, counted"
        " from 0, is filled: input pixels 0, 1, 2 reach it."
    )
    assert [text.get_text() for text in texts(figure) if text not in numbers(figure)] == [
        "12 input pixels, with 1 of padding at each end (dashed)",
        "6 output pixels; inside: how many input pixels reach each",
        "filled: output pixel 0, counted from 0; 3 input pixels reach it",
    ]


def test_the_description_of_the_uneven_layer_tells_of_its_unevenness():
    alt = drawn(*FORMS["uneven"]).alt
    assert "12 input pixels above 25 output pixels" in alt and "1 to 2 input pixels reach" in alt
    assert "from the left: 1 1 2 1 2 1 2 1" in alt and "padding" not in alt


@pytest.mark.parametrize(
    ("form", "output", "said", "told"),
    [
        ("one to one", 0, "1 input pixel above 1 output pixel,", "0; 1 input pixel reaches it"),
        ("one to one", 0, "is filled: input pixel 0 reaches it.", "1 output pixel; inside"),
        ("never reached", 2, "0 to 1 input pixels reach each", "0; no input pixel reaches it"),
        ("never reached", 2, "is filled: none reaches it.", "4 input pixels"),
        ("padding alone seen", 0, "is filled: none reaches it.", "no input pixel reaches it"),
        ("a long row", 9, "2 2 2 1 …. Output pixel 9", "131 output pixels; 1 to 2 input pixels reach each, the more"),
    ],
)
def test_one_none_and_many_are_said_as_they_should_be(form, output, said, told):
    figure = drawn(*FORMS[form], output=output)
    assert said in figure.alt
    assert told in " | ".join(text.get_text() for text in texts(figure))


def test_a_description_of_ones_own_takes_the_place_of_the_made_one():
    assert drawn(conv(3, 1), alt="Three pixels.").alt == "A title. Three pixels."


@pytest.mark.parametrize(
    "form", [lambda r: r, lambda r: r.numpy(), lambda r: r.tolist()], ids=["tensor", "array", "lists"]
)
def test_tensors_arrays_and_lists_draw_the_same(form):
    reach, padding = FORMS["halving"]
    assert drawn(form(reach), np.int64(padding), output=np.int64(2)).png() == drawn(reach, padding, output=2).png()


def test_drawing_changes_neither_the_array_nor_a_readers_style_nor_is_changed_by_it():
    reach, padding = FORMS["halving"]
    before = reach.clone()
    plain = drawn(reach, padding).png()
    with matplotlib.rc_context({"text.color": "red", "lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red"}):
        settings = dict(matplotlib.rcParams)
        assert drawn(reach, padding).png() == plain
        assert dict(matplotlib.rcParams) == settings
    assert torch.equal(reach, before)


# --- Refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.ones(5, bool), r"bool of shape \(5,\)"),
        (np.ones((1, 5, 5), bool), r"bool of shape \(1, 5, 5\)"),
        (True, r"bool of shape \(\)"),
        (np.ones((5, 5)), r"float64 of shape \(5, 5\)"),
        (torch.ones(5, 4, dtype=torch.int64), r"int64 of shape \(5, 4\)"),
        ([["a"]], r"<U1 of shape \(1, 1\)"),
    ],
    ids=str,
)
def test_what_is_no_table_of_bools_is_refused_with_what_makes_one(wrong, found):
    with pytest.raises(
        ValueError, match=rf"reach is {found}; expected bool \(output pixels, input pixels\).*models\.reach"
    ):
        drawn(wrong)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (161, 5), (5, 161)], ids=str)
def test_no_pixel_and_more_than_fit_are_refused(shape):
    with pytest.raises(ValueError, match=rf"reach has shape \({shape[0]}, {shape[1]}\); 1 to 160 pixels fit in a row"):
        drawn(np.ones(shape, bool))


@pytest.mark.parametrize("wrong", [-1, 6, 99, 2.0, "2", True, (1,)], ids=repr)
def test_an_output_pixel_that_does_not_exist_is_refused_with_those_that_do(wrong):
    with pytest.raises(ValueError, match=r"output is .*; expected a whole number 0…5: there are 6, counted from 0"):
        drawn(*FORMS["halving"], output=wrong)
    with pytest.raises(ValueError, match=r"output is 1; expected a whole number 0…0: there is 1, counted"):
        drawn(*FORMS["one to one"], output=1)


@pytest.mark.parametrize("wrong", [-1, 3, 1.0, None, True], ids=repr)
def test_a_padding_that_leaves_no_input_pixel_is_refused(wrong):
    for columns in (5, 6):
        with pytest.raises(
            ValueError, match=rf"padding is .* 0…2: reach has {columns} columns, and one must be a pixel"
        ):
            drawn(conv(columns, 1), wrong)
        drawn(conv(columns, 1), 2)


@pytest.mark.parametrize("title", ["", " ", None, 5])
def test_connections_without_a_title_are_refused(title):
    with pytest.raises(ValueError, match="connections: title must be words"):
        drawn(conv(3, 1), title=title)
