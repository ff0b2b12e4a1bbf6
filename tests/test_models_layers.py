"""What the shape arithmetic of `aetutor.models` promises: torch's answers, refusals and connections, unrun."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from aetutor import models


def grid(**ranges):
    """Every setting of the ranges given, as keyword arguments."""
    return [dict(zip(ranges, values, strict=True)) for values in product(*ranges.values())]


CONVOLUTIONS = grid(size=range(1, 12), kernel=range(1, 7), stride=range(1, 5), padding=range(4), dilation=range(1, 4))
TRANSPOSED = grid(
    size=range(1, 7),
    kernel=range(1, 5),
    stride=range(1, 5),
    padding=range(4),
    output_padding=range(5),
    dilation=range(1, 4),
)
FEW = {"size": range(1, 8), "kernel": range(1, 5), "stride": range(1, 4), "padding": range(3), "dilation": (1, 2)}


def answer(call, **how):
    """What a call returns, or None where it refuses with the error that torch or this course uses."""
    try:
        return call(**how)
    except (RuntimeError, ValueError):
        return None


def ran(layer, size, kernel, **how):
    """Pixels that come out of a layer of torch that is really run on zeros."""
    return layer(torch.zeros(1, 1, size), torch.zeros(1, 1, kernel), **how).shape[-1]


def pattern(layer, size, kernel, **how):
    """Which of `size` input pixels make which outputs of a layer of ones differ from zero: (O, I)."""
    return layer(torch.eye(size)[:, None], torch.ones(1, 1, kernel), **how)[:, 0].T != 0


# --- Sizes ----------------------------------------------------------------------------------------------------


def test_a_convolution_has_the_size_that_torch_gives_it_and_is_refused_where_torch_refuses_it():
    wanted = [answer(ran, layer=F.conv1d, **how) for how in CONVOLUTIONS]
    assert len(wanted) > 3000 and 300 < wanted.count(None) < 1500
    assert [answer(models.conv_size, **how) for how in CONVOLUTIONS] == wanted


def test_pooling_has_the_size_of_a_convolution_wherever_torch_pools():
    def pooled(size, kernel, **how):
        return F.max_pool1d(torch.zeros(1, 1, size), kernel, **how).shape[-1]

    halves = [how for how in CONVOLUTIONS if 2 * how["padding"] <= how["kernel"]]  # torch pools no further out
    wanted = [answer(pooled, **how) for how in halves]
    assert len(wanted) > 1000 and 100 < wanted.count(None)
    assert [answer(models.conv_size, **how) for how in halves] == wanted


def test_a_transposed_convolution_has_the_size_that_torch_gives_it_and_is_refused_where_torch_refuses_it():
    wanted = [answer(ran, layer=F.conv_transpose1d, **how) for how in TRANSPOSED]
    assert len(wanted) > 5000 and 1000 < wanted.count(None) < 4000
    assert [answer(models.transposed_size, **how) for how in TRANSPOSED] == wanted


def test_what_is_left_out_is_left_out_in_torch_too():
    assert models.conv_size(28, kernel=3) == ran(F.conv1d, 28, 3) == 26
    assert models.transposed_size(28, kernel=3) == ran(F.conv_transpose1d, 28, 3) == 30


def test_a_kernel_of_4_with_stride_2_and_padding_1_halves_and_doubles_28_14_7():
    how = {"kernel": 4, "stride": 2, "padding": 1}
    assert [models.conv_size(size, **how) for size in (28, 14)] == [14, 7]
    assert [models.transposed_size(size, **how) for size in (7, 14)] == [14, 28]


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8], ids=lambda kind: kind.__name__)
def test_numpys_whole_numbers_will_do_and_do_not_overflow(kind):
    how = {"kernel": kind(7), "stride": kind(2), "padding": kind(3), "dilation": kind(20)}
    for call in (models.conv_size, models.transposed_size):
        found = call(kind(127), **how)
        assert type(found) is int
        assert found == call(127, **{name: int(value) for name, value in how.items()})
    how["padding"] = kind(0)
    assert models.reach(kind(127), **how).tolist() == models.reach(127, kernel=7, stride=2, dilation=20).tolist()
    for transposed in (True, False):
        assert models.reach(kind(127), transposed=transposed, **how).any(1).sum() > 1


# --- Who reaches whom -----------------------------------------------------------------------------------------


def test_reach_is_where_a_convolution_of_ones_of_one_bright_pixel_is_not_zero():
    seen = 0
    for how in grid(**FEW):
        if answer(models.conv_size, **how):
            found = models.reach(**how)
            assert found.dtype == torch.bool and found.is_contiguous()
            assert torch.equal(found, pattern(F.conv1d, **how)), how
            seen += 1
    assert seen > 300


def test_reach_of_a_transposed_convolution_is_where_that_of_ones_is_not_zero():
    seen = 0
    for how in grid(**FEW, output_padding=range(2)):
        if answer(models.transposed_size, **how):
            found = models.reach(**how, transposed=True)
            assert found.dtype == torch.bool and found.is_contiguous()
            assert torch.equal(found, pattern(F.conv_transpose1d, **how)), how
            seen += 1
    assert seen > 600


def test_a_transposed_convolution_has_the_connections_of_the_convolution_turned_round():
    seen = 0
    for how in grid(**FEW):
        small = answer(models.conv_size, **how)
        size = how.pop("size")
        if small and (back := answer(models.transposed_size, size=small, **how)):
            rest = size - back  # what the convolution rounded away
            turned = models.reach(small, output_padding=rest, transposed=True, **how)
            assert torch.equal(turned, models.reach(size, **how).T), (size, how)
            seen += 1
    assert seen > 300


def test_kernel_3_with_stride_2_lays_a_checkerboard_and_kernel_4_does_not():
    def counts(kernel):
        return models.reach(5, kernel=kernel, stride=2, padding=1, transposed=True).sum(1).tolist()

    assert counts(3) == [1, 2, 1, 2, 1, 2, 1, 2, 1]
    assert counts(4) == [1, 2, 2, 2, 2, 2, 2, 2, 2, 1]


def test_reach_refuses_where_the_sizes_do_with_the_same_words():
    for transposed, size, settings in (
        (False, models.conv_size, grid(size=(1, 2), kernel=(1, 4), stride=(0, 2), padding=(0, -1), dilation=(1, 1.5))),
        (
            True,
            models.transposed_size,
            grid(size=(0, 2), kernel=(2,), stride=(1,), padding=(0, 3), output_padding=(0, 1)),
        ),
    ):
        refused = 0
        for how in settings:
            try:
                count = size(**how)
            except ValueError as error:
                refused += 1
                with pytest.raises(ValueError) as again:
                    models.reach(**how, transposed=transposed)
                assert str(again.value) == str(error)
            else:
                assert models.reach(**how, transposed=transposed).shape == (count, how["size"])
        assert 0 < refused < len(settings)


# --- Refusals -------------------------------------------------------------------------------------------------

RIGHT = {"size": 8, "kernel": 3, "stride": 2, "padding": 1, "dilation": 1}


@pytest.mark.parametrize("wrong", [-1, 2.0, 1.5, "2", None, True, np.float64(2), torch.tensor(2), (2, 2)], ids=repr)
@pytest.mark.parametrize("name", [*RIGHT, "output_padding"])
def test_a_number_that_is_not_whole_or_too_small_is_refused_by_name(name, wrong):
    least = 0 if "padding" in name else 1
    message = rf"^{name} holds .*; expected a whole number of {least} or more"
    with pytest.raises(ValueError, match=message):
        models.transposed_size(**RIGHT | {name: wrong})
    with pytest.raises(ValueError, match=message):
        models.reach(**RIGHT | {name: wrong}, transposed=True)
    if name != "output_padding":
        for call in (models.conv_size, models.reach):
            with pytest.raises(ValueError, match=message):
                call(**RIGHT | {name: wrong})


@pytest.mark.parametrize("name", ["size", "kernel", "stride", "dilation"])
def test_a_zero_is_too_small_but_for_padding(name):
    for call in (models.conv_size, models.transposed_size, models.reach):
        with pytest.raises(ValueError, match=f"{name} holds 0; expected a whole number of 1 or more"):
            call(**RIGHT | {name: 0})
        call(**RIGHT | {"padding": 0})


def test_a_kernel_that_spans_more_than_the_padded_input_is_refused_with_both_numbers_and_what_to_do():
    message = r"a kernel of 3 with dilation 4 spans 9 pixels, and the input has 8, .*expected 8 or fewer: make kernel"
    for call in (models.conv_size, models.reach):
        with pytest.raises(ValueError, match=message):
            call(6, kernel=3, dilation=4, padding=1)
        call(7, kernel=3, dilation=4, padding=1)


def test_an_output_padding_that_is_not_smaller_than_stride_or_dilation_is_refused():
    with pytest.raises(
        ValueError, match=r"output_padding is 2 with stride 2 and dilation 1; expected 1 or less: .*stride"
    ):
        models.transposed_size(4, kernel=3, stride=2, output_padding=2)
    assert models.transposed_size(4, kernel=3, stride=2, output_padding=2, dilation=3) == 15
    with pytest.raises(ValueError, match=r"output_padding is 1 with stride 1 and dilation 1; expected 0 or less"):
        models.reach(4, kernel=3, output_padding=1, transposed=True)


def test_a_padding_that_takes_every_pixel_is_refused():
    with pytest.raises(
        ValueError, match=r"padding 2 takes 4 pixels off an output of 4; expected at least 1 .*: make padding"
    ):
        models.transposed_size(2, kernel=3, padding=2)
    with pytest.raises(ValueError, match=r"padding 3 takes 6 pixels off an output of 4"):
        models.reach(2, kernel=3, padding=3, transposed=True)
    assert models.transposed_size(3, kernel=3, padding=2) == 1


@pytest.mark.parametrize("wrong", [1, 2, -1, None])
def test_a_convolution_is_given_no_output_padding(wrong):
    with pytest.raises(ValueError, match=rf"output_padding is {wrong}, and a convolution has none; .*transposed=True"):
        models.reach(8, kernel=3, stride=4, output_padding=wrong)
