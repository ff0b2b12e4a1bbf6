"""What `widgets.layer_calculator` promises: the formula with the numbers of the sliders, its true result, a reason."""

import statistics
import time

import ipywidgets
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from test_widgets import follows, pixels
from torch import nn

from aetutor import models, plots, widgets

SLIDERS = {
    "size": (1, 12, 32, "input pixels"),
    "kernel": (1, 4, 7, "kernel"),
    "stride": (1, 2, 4, "stride"),
    "padding": (0, 1, 3, "padding"),
    "output_padding": (0, 0, 3, "output padding"),
    "dilation": (1, 1, 3, "dilation"),
    "output": (0, 3, 5, "output pixel"),
}


def calculator(**values):
    it = widgets.layer_calculator(models.reach)
    for name, value in values.items():
        it.controls[name].value = value
    return it


def title(it):
    return it.draw().get_suptitle().replace("\n", " ")


def frame(it):
    """What the reader sees: the picture of the moment, as the still of the same values."""
    assert follows(it)
    return pixels(it.picture.value)


def test_there_is_a_control_for_every_number_of_a_layer_within_its_range():
    it = calculator()
    assert list(it.controls) == ["layer", *SLIDERS]
    layer, *sliders = it.controls.values()
    assert isinstance(layer, ipywidgets.ToggleButtons) and layer.description == "layer"
    assert layer.options == ("convolution", "transposed convolution") and layer.value == "convolution"
    for slider, expected in zip(sliders, SLIDERS.values(), strict=True):
        assert isinstance(slider, ipywidgets.IntSlider) and slider.continuous_update
        assert (slider.min, slider.value, slider.max, slider.description) == expected


def test_the_first_picture_is_that_of_12_pixels_halved_with_its_padding():
    it = calculator()
    reach = models.reach(14, kernel=4, stride=2)
    words = "⌊(12 + 2·1 − 1·(4 − 1) − 1) / 2⌋ + 1 = 6 output pixels"
    assert frame(it) == pixels(plots.connections(reach, title=words, padding=1).png())


def test_a_transposed_convolution_has_its_own_formula_and_no_padding_in_its_input():
    it = calculator(layer="transposed convolution")
    reach = models.reach(12, kernel=4, stride=2, padding=1, transposed=True)
    words = "(12 − 1)·2 − 2·1 + 1·(4 − 1) + 0 + 1 = 24 output pixels"
    assert frame(it) == pixels(plots.connections(reach, title=words, output=3).png())
    it.controls["output_padding"].value = 1
    assert title(it) == "(12 − 1)·2 − 2·1 + 1·(4 − 1) + 1 + 1 = 25 output pixels"


@pytest.mark.parametrize("layer", ["convolution", "transposed convolution"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "output_padding", "dilation"),
    [(28, 4, 2, 1, 0, 1), (7, 3, 2, 1, 1, 1), (32, 7, 4, 0, 3, 3), (1, 1, 1, 0, 0, 1), (9, 5, 3, 3, 2, 2)],
)
def test_the_formula_written_gives_the_number_written_which_is_torchs_and_that_of_the_pixels_drawn(
    layer, size, kernel, stride, padding, output_padding, dilation
):
    how = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    it = calculator(layer=layer, size=size, output_padding=output_padding, **how)
    how["kernel_size"] = how.pop("kernel")
    if layer == "convolution":
        torchs = nn.Conv1d(1, 1, **how)
    else:
        torchs = nn.ConvTranspose1d(1, 1, output_padding=output_padding, **how)
    count = torchs(torch.zeros(1, 1, size)).shape[-1]
    formula, result = title(it).split(" = ")
    python = formula.translate({ord("·"): "*", ord("−"): "-", ord("⌊"): "int(", ord("⌋"): ")"})
    assert eval(python) == count
    assert result == ("1 output pixel" if count == 1 else f"{count} output pixels")
    assert it.controls["output"].max == count - 1
    assert f"above {count} output pixel" in it.draw().alt
    assert f"{size} input pixel" in it.draw().alt
    frame(it)


MOVES = {"size": 20, "kernel": 3, "stride": 3, "padding": 0, "output_padding": 1, "dilation": 2, "output": 4}


@pytest.mark.parametrize("name", MOVES)
def test_each_slider_changes_the_picture_and_moving_it_back_brings_it_back(name):
    it = calculator(layer="transposed convolution")
    first, start = frame(it), it.controls[name].value
    it.controls[name].value = MOVES[name]
    assert frame(it) != first
    it.controls[name].value = start
    assert frame(it) == first


def test_output_padding_rests_for_a_plain_convolution_and_changes_nothing():
    it = calculator()
    resting = it.controls["output_padding"]
    assert resting.disabled
    first = frame(it)
    resting.value = 3
    assert frame(it) == first
    it.controls["layer"].value = "transposed convolution"
    assert not resting.disabled
    assert "ValueError: output_padding is 3 with stride 2" in it.message.value
    it.controls["layer"].value = "convolution"
    assert resting.disabled and frame(it) == first


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"kernel": 7, "dilation": 3}, "a kernel of 7 with dilation 3 spans 19 pixels, and the input has 14"),
        ({"layer": "transposed convolution", "size": 1, "kernel": 3, "padding": 3}, "padding 3 takes 6 pixels"),
        ({"layer": "transposed convolution", "output_padding": 2}, "output_padding is 2 with stride 2"),
    ],
    ids=["kernel", "padding", "output padding"],
)
def test_a_layer_that_cannot_be_is_answered_with_the_reason_and_the_last_picture_stays(values, reason):
    it = calculator()
    *before, last = values.items()
    for name, value in before:
        it.controls[name].value = value
    stays, most = frame(it), it.controls["output"].max
    it.controls[last[0]].value = last[1]
    assert (pixels(it.picture.value), it.controls["output"].max) == (stays, most)
    assert f">ValueError: {reason}" in it.message.value
    for name in values:
        it.controls[name].value = SLIDERS[name][1] if name in SLIDERS else "convolution"
    frame(it)


def test_the_output_pixel_is_kept_among_those_that_exist():
    it = calculator()
    output = it.controls["output"]
    output.value = 5
    assert "output pixel 5," in it.draw().alt.lower()
    it.controls["stride"].value = 4
    assert (output.max, output.value) == (2, 2) and "output pixel 2," in it.draw().alt.lower()
    frame(it)
    it.controls["size"].value = 1
    assert "spans" in it.message.value and output.max == 2
    it.controls["padding"].value = 2
    assert (output.max, output.value) == (0, 0)
    assert "= 1 output pixel" in title(it)
    frame(it)
    it.controls["size"].value = 32
    assert (output.max, output.value) == (8, 0)
    frame(it)


def test_the_corners_of_all_ranges_are_drawn_or_answered_with_a_reason():
    it = calculator()
    drawn = 0
    for layer in ("convolution", "transposed convolution"):
        for size, kernel, stride, dilation in ((32, 7, 4, 3), (32, 1, 1, 1), (1, 7, 4, 3), (1, 1, 4, 1)):
            for pads in (0, 3):
                values = (layer, size, kernel, stride, pads, pads, dilation)
                for control, value in zip(it.controls.values(), values, strict=False):
                    control.value = value
                if not it.message.value:
                    drawn += 1
                    frame(it)
                else:
                    assert ">ValueError: " in it.message.value and "connections" not in it.message.value
    assert drawn > 8


def test_the_function_handed_in_is_the_one_that_is_asked_and_its_first_refusal_is_raised():
    asked = []

    def reach(size, **how):
        asked.append(how)
        return models.reach(size, **how)

    it = widgets.layer_calculator(reach)
    before = len(asked)
    it.controls["layer"].value = "transposed convolution"
    assert len(asked) > before and asked[-1]["transposed"] is True and asked[0]["transposed"] is False
    assert set(asked[-1]) == {"kernel", "stride", "padding", "output_padding", "dilation", "transposed"}

    def never(size, **how):
        raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        widgets.layer_calculator(never)


def test_a_notebook_gets_the_calculator_and_beside_it_the_described_still():
    it = calculator()
    data, metadata = DisplayFormatter().format(it)
    assert data[widgets.VIEW]["model_id"] == it.box.model_id and pixels(data["image/png"]) == pixels(it.picture.value)
    assert metadata["image/png"]["alt"].startswith("⌊(12 + 2·1") and "6 output pixels" in metadata["image/png"]["alt"]


def test_a_frame_is_quick():
    it, seconds = calculator(size=28), []
    for step in range(9):
        start = time.process_time()  # a busy machine does not count
        it.controls["output"].value = step
        seconds.append(time.process_time() - start)
    assert statistics.median(seconds) < 0.15  # about 0.04 on an idle core
