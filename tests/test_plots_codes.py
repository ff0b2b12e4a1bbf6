"""What `plots.code_bars` promises: every image, every number of the code, and which of them are out of the usual."""

import matplotlib
import numpy as np
import pytest
from conftest import spots
from matplotlib.patches import Rectangle

from aetutor import plots


def draw(code=(1.0, -2.0, 0.5), *, count=3, images=None, **how):
    images = spots(count) if images is None else images
    given = {"captions": [f"image {i}" for i in range(count)], "title": "A title"} | how
    return plots.code_bars(images, code, **given)


def bars(figure):
    """(from, to, whether filled) of each bar of the code, in the order of the code's numbers."""
    axes = figure.axes[-1]
    found = [p for c in axes.containers for p in c if isinstance(p, Rectangle) and p.get_width() < 0.6]
    found.sort(key=lambda p: p.get_x())
    return [(p.get_y(), p.get_y() + p.get_height(), p.get_facecolor()[3] > 0) for p in found]


def test_every_number_of_the_code_has_its_bar_and_one_beyond_its_band_is_hollow():
    figure = draw(low=[-1, -1, -1], high=[0.5, 1, 1])
    assert bars(figure) == [(0, 1, False), (0, -2, False), (0, 0.5, True)]
    assert "3 code numbers from -2 to 1, 2 of them outside their usual range" in figure.alt
    assert all(filled for *_, filled in bars(draw()))
    assert "usual" not in draw().alt


def test_the_bands_are_those_given():
    axes = draw(low=[-1, -2, -3], high=[1, 2, 4]).axes[-1]
    bands = sorted((p.get_x(), p.get_y(), p.get_height()) for c in axes.containers for p in c if p.get_width() > 0.6)
    assert [(low, tall) for _, low, tall in bands] == [(-1, 2), (-2, 4), (-3, 7)]


@pytest.mark.parametrize("count", [1, 9, 30])
def test_each_image_stands_above_its_caption(count):
    images = spots(count)
    figure = draw(images=images, count=count)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    np.testing.assert_allclose(np.stack(shown), images[:, 0] / 255)
    words = " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text)).replace("\n", " ")
    assert words.count("image") == count and all(f"image {i}" in figure.alt for i in range(count))


def test_a_code_that_does_not_fit_is_refused():
    for wrong in ([], [[1.0, 2.0]], 5.0):
        with pytest.raises(ValueError, match=r"expected images and one code \(Z,\)"):
            draw(wrong)
    with pytest.raises(ValueError, match="code_bars: expected images and one code"):
        draw(images=spots(0), count=0)
    with pytest.raises(ValueError, match="got 2 captions for 3 images"):
        draw(captions=["a", "b"])
    with pytest.raises(ValueError, match=r"low has shape \(2,\) for a code of 3 numbers"):
        draw(low=[0, 0], high=[1, 1, 1])


@pytest.mark.parametrize("name", ["code", "low", "high"])
def test_numbers_that_are_not_finite_are_refused(name):
    given = {"code": [1.0, 2.0, 3.0], "low": [0.0, 0.0, 0.0], "high": [4.0, 4.0, 4.0]}
    for wrong in (np.nan, np.inf):
        given[name][1] = wrong
        with pytest.raises(ValueError, match=f"{name} holds numbers that are not finite"):
            draw(**given)


def test_too_many_images_are_refused():
    with pytest.raises(ValueError, match="at most 30 fit side by side"):
        draw(count=31)
