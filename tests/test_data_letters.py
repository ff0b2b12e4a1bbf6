"""What `data.printed` promises: characters of MNIST's size in MNIST's place, and clear words where there is none."""

import numpy as np
import pytest
import torch

from aetutor import data

TEXT = "0123456789ABCXYZαβγψΩ"


def test_the_whole_text_comes_in_one_font_and_then_in_the_next():
    both = data.printed("AB", fonts=("DejaVuSans", "DejaVuSerif"))
    assert both.shape == (4, 1, 28, 28) and both.dtype == torch.uint8
    assert torch.equal(both[:2], data.printed("AB", fonts="DejaVuSans"))
    assert torch.equal(both[2:], data.printed("AB", fonts=["DejaVuSerif"]))
    assert len({page.numpy().tobytes() for page in both}) == 4


def test_the_longer_side_takes_20_pixels_and_the_mass_lies_in_the_middle():
    for page in data.printed(TEXT).numpy()[:, 0].astype(float):
        rows, columns = (np.flatnonzero(page.sum(axis)) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)  # a row at the edge may round to nothing
        assert page.max() > 200
        for axis in (0, 1):
            middle = np.average(np.arange(28), weights=page.sum(1 - axis))
            assert abs(middle - 13.5) <= 0.51


def test_mnist_lies_in_the_same_place():
    digits = data.load("mnist").test[:500, 0].numpy().astype(float)
    middles = [np.average(np.arange(28), weights=page.sum(axis)) for page in digits for axis in (0, 1)]
    assert np.abs(np.array(middles) - 13.5).max() < 1.1
    assert {int(np.ptp(np.flatnonzero(page.sum(1)))) + 1 for page in digits} <= set(range(8, 21))


def test_a_character_that_cannot_be_centred_stays_whole():
    (page,) = data.printed("L", fonts="DejaVuSans")[:, 0]
    assert page.shape == (28, 28) and int((page > 0).any(1).sum()) == 20


def test_spaces_are_left_out():
    assert torch.equal(data.printed(" A\n"), data.printed("A"))


@pytest.mark.parametrize(("text", "fonts"), [("", "DejaVuSans"), ("  ", "DejaVuSans"), ("A", ())])
def test_nothing_to_draw_is_refused(text, fonts):
    with pytest.raises(ValueError, match="expected at least one of each"):
        data.printed(text, fonts=fonts)


def test_a_font_that_does_not_exist_is_refused_with_the_ones_that_do():
    with pytest.raises(ValueError, match=r"no font 'Helvetica'; expected one such as .*DejaVuSans,"):
        data.printed("A", fonts="Helvetica")


def test_a_character_that_the_font_lacks_is_refused():
    with pytest.raises(ValueError, match="DejaVu Sans has no picture for '漢'"):
        data.printed("A漢", fonts="DejaVuSans")
