"""What `widgets.noise_explorer` promises: one pattern of noise per image, which grows, and a PSNR that is right."""

import math
import re

import ipywidgets
import numpy as np
import pytest
import torch
from conftest import spots
from IPython.core.formatters import DisplayFormatter
from skimage.metrics import peak_signal_noise_ratio
from test_widgets import follows, pixels
from torch import nn

from aetutor import corruptions, plots, widgets


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def x(request):
    return spots(6, side=8, channels=request.param) / 255


def gaussian(x, level):
    return corruptions.gaussian(x, sigma=level)


def smooth(noisy, level):
    return nn.functional.avg_pool2d(noisy, 3, 1, 1, count_include_pad=False)


WAYS = {"left as it is": lambda noisy, level: noisy, "mean of 3 × 3": smooth}


def explorer(x, damage=gaussian, ways=WAYS, **how):
    return widgets.noise_explorer(x, damage, ways, **{"low": 0, "high": 1, "level": 0.3} | how)


def go(it, **values):
    for name, value in values.items():
        it.controls[name].value = value
    assert it.message.value == ""


def shown(it):
    """The images drawn, as (C, H, W)."""
    arrays = [np.asarray(axes.images[0].get_array()) for axes in it.draw().axes]
    return [a[None] if a.ndim == 2 else a.transpose(2, 0, 1) for a in arrays]


def decibels(it):
    """{name: what is written} of the description."""
    listed = it.draw().alt.split("with PSNR: ")[1].rstrip(".").split(", ")
    return dict(re.fullmatch(r"(.+?) (-?−?[\d.]+\u00a0dB|∞\u00a0dB|not finite)", one).groups() for one in listed)


def seeded(damage, x, image, level):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(image)
        return damage(x[image : image + 1].clone(), level)


# --- The picture ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("image", "level"), [(0, 0.3), (4, 0.1), (5, 1.0)])
def test_the_row_is_image_noisy_and_what_each_way_makes_of_it(x, image, level):
    it = explorer(x)
    go(it, image=image, level=level)
    noisy = seeded(gaussian, x, image, level)
    wanted = [x[image], noisy[0], noisy[0], smooth(noisy, level)[0]]
    for drawn, expected in zip(shown(it), wanted, strict=True):
        np.testing.assert_allclose(drawn, expected.clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize("level", [0.1, 0.6])
def test_the_decibels_are_scikit_images_of_the_values_before_they_are_clipped(x, level):
    it = explorer(x)
    go(it, image=3, level=level)
    noisy = seeded(gaussian, x, 3, level)
    outs = {"noisy": noisy, "left as it is": noisy, "mean of 3 × 3": smooth(noisy, level)}
    wanted = {
        name: f"{peak_signal_noise_ratio(x[3].numpy(), out[0].numpy(), data_range=1):.1f}\u00a0dB"
        for name, out in outs.items()
    }
    assert decibels(it) == wanted


def test_each_caption_holds_the_name_and_below_it_the_decibels(x):
    it = explorer(x)
    figure = it.draw()
    lines = [text.get_text() for text in figure.texts if text is not figure._suptitle and text.get_text()]
    found = decibels(it)
    assert lines == ["image", *(part for pair in found.items() for part in pair)]


def test_the_title_names_level_noisy_and_best(x):
    it = explorer(x, label="σ")
    go(it, level=0.5)
    found = decibels(it)
    assert (
        it.draw().get_suptitle().replace("\n", " ")
        == f"At σ 0.50: noisy {found['noisy']}, best {found['mean of 3 × 3']} (mean of 3 × 3)"
    )
    alone = explorer(x, ways={"smooth": smooth}, label="σ")
    assert (
        alone.draw().get_suptitle()
        == f"At σ 0.30: noisy {decibels(alone)['noisy']}, smooth " + (decibels(alone)["smooth"])
    )


def test_what_is_equal_has_infinite_decibels_and_a_way_may_be_worse_than_0(x):
    it = explorer(x, ways={"far off": lambda noisy, level: noisy + 3, "kept": lambda noisy, level: noisy})
    go(it, level=0)
    assert decibels(it) == {"noisy": "∞\u00a0dB", "far off": "−9.5\u00a0dB", "kept": "∞\u00a0dB"}
    assert "best ∞\u00a0dB (kept)" in it.draw().get_suptitle().replace("\n", " ")


def test_what_is_not_finite_is_drawn_clipped_said_to_be_so_and_never_the_best(x):
    ways = {
        "nan": lambda noisy, level: noisy * math.nan,
        "infinite": lambda noisy, level: torch.where(noisy > 0.5, math.inf, -math.inf),
        "finite": lambda noisy, level: noisy + 2,
    }
    it = explorer(x, ways=ways)
    assert {name: text for name, text in decibels(it).items() if "not" in text} == {
        "nan": "not finite",
        "infinite": "not finite",
    }
    assert "(finite)" in it.draw().get_suptitle().replace("\n", " ")
    *_, nan, infinite, finite = shown(it)
    assert (nan == 0).all() and set(np.unique(infinite)) == {0, 1} and finite.max() == 1


@pytest.mark.parametrize("count", [1, 4, 8])
def test_no_word_is_cut_whatever_the_names(count):
    from test_plots import cut

    names = [
        "total variation",
        "the autoencoder of chapter 3, code 32",
        "w" * 25,
        "A",
        "b",
        "c",
        "d",
        "non-local means",
    ]
    it = explorer(spots(2) / 255, ways=dict.fromkeys(names[:count], smooth))
    for level in (0, 0.001, 0.5):
        go(it, level=level)
        figure = it.draw()
        assert not cut(figure)
        boxes = [text.get_window_extent() for text in figure.texts if text is not figure._suptitle and text.get_text()]
        assert all(not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


# --- The noise ------------------------------------------------------------------------------------------------


def test_the_pattern_of_an_image_only_grows_with_the_level_and_every_image_has_its_own(x):
    it = explorer(x, lambda x, level: 0.5 + (gaussian(x, level) - x) / 20)
    patterns = []
    for level in (0.1, 0.4, 0.8):
        go(it, image=2, level=level)
        patterns.append((shown(it)[1] - 0.5) / level)
    np.testing.assert_allclose(patterns[0], patterns[2], atol=1e-4)
    np.testing.assert_allclose(patterns[1], patterns[2], atol=1e-4)
    go(it, image=3)
    assert not np.allclose((shown(it)[1] - 0.5) / 0.8, patterns[2], atol=0.01)


def test_masks_only_grow_too(x):
    it = explorer(x, lambda x, level: corruptions.masking(torch.ones_like(x), share=level))
    lost = []
    for level in (0.2, 0.5, 0.9):
        go(it, level=level)
        lost.append(shown(it)[1] == 0)
    assert (lost[0] <= lost[1]).all() and (lost[1] <= lost[2]).all() and lost[0].sum() < lost[2].sum()


def test_a_readers_random_numbers_are_left_as_they_were(x):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    it = explorer(x, ways={"random": lambda noisy, level: noisy + torch.randn_like(noisy)})
    go(it, level=0.7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    assert follows(it)  # a way that draws at random is fixed as well


def test_after_an_error_too_random_numbers_are_left_as_they_were(x):
    it = explorer(x, ways={"fails": lambda noisy, level: torch.rand(3) if level > 0.5 else noisy})
    before = torch.get_rng_state()
    it.controls["level"].value = 0.9
    assert "fails&#x27; must give" in it.message.value and torch.equal(torch.get_rng_state(), before)
    go(it, level=0.2)


# --- The controls ---------------------------------------------------------------------------------------------


def test_the_controls_choose_among_all_images_and_all_levels(x):
    image, level = explorer(x, low=0.1, high=0.9, level=5, label="standard deviation σ").controls.values()
    assert isinstance(image, ipywidgets.IntSlider) and (image.min, image.max, image.value) == (0, 5, 0)
    assert isinstance(level, ipywidgets.FloatSlider) and (level.min, level.max, level.value) == (0.1, 0.9, 0.9)
    assert (image.description, level.description) == ("image", "standard deviation σ")
    assert explorer(x).controls["level"].description == "noise level"


def test_each_control_changes_the_picture_which_is_the_still_of_the_same_values(x, monkeypatch):
    it = explorer(x)
    made = []
    add = plots.Picture.add_axes
    monkeypatch.setattr(plots.Picture, "add_axes", lambda *a, **how: made.append(1) or add(*a, **how))
    for name, value in (("level", 0.5), ("image", 5), ("level", 0.1), ("image", 0)):
        before = it.picture.value
        go(it, **{name: value})
        assert made == []  # the axes stay
        assert follows(it) and it.picture.value != before
        made.clear()
    first = it.picture.value
    go(it, level=1)
    go(it, level=0.1)
    assert it.picture.value == first


def test_one_image_and_one_way_will_do(x):
    it = explorer(x[:1], ways={"smooth": smooth})
    assert it.controls["image"].max == 0
    go(it, level=0.9)
    assert len(shown(it)) == 3


def test_a_way_may_be_named_noisy_or_image(x):
    it = explorer(x, ways={"noisy": smooth, "image": smooth})
    assert len(shown(it)) == 4


def test_a_notebook_gets_the_explorer_and_beside_it_the_described_still(x):
    it = explorer(x)
    data, metadata = DisplayFormatter().format(it)
    assert data[widgets.VIEW]["model_id"] == it.box.model_id and pixels(data["image/png"]) == pixels(it.picture.value)
    assert "Image 0, the same with noise" in metadata["image/png"]["alt"]


# --- The ways -------------------------------------------------------------------------------------------------


def test_damage_and_ways_get_one_float_image_on_the_cpu_and_the_level(x):
    seen = []

    def way(noisy, level):
        seen.append((noisy.shape, noisy.dtype, noisy.device.type, level, torch.is_grad_enabled()))
        return noisy

    go(explorer(x.clone().requires_grad_(), lambda x, level: way(x, level) + level, {"a": way}), level=0.7)
    one = (x[:1].shape, torch.float32, "cpu")
    assert seen == [(*one, 0.3, False)] * 2 + [(*one, pytest.approx(0.7), False)] * 2


def test_images_go_to_the_device_of_a_model_and_to_no_other(x):
    seen = []

    class Elsewhere(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, device="meta"))

        def forward(self, noisy, level):
            seen.append(noisy.device.type)
            return torch.full(noisy.shape, level)

        def other(self, noisy, level):
            return self(noisy, level)

    model = Elsewhere()
    go(explorer(x, ways={"model": model, "method": model.other, "function": WAYS["left as it is"]}), level=0.6)
    assert seen == ["meta"] * 4


def test_a_model_in_train_mode_is_asked_in_eval_mode_and_left_in_train_mode(x):
    class Denoiser(nn.Dropout):
        def forward(self, noisy, level):
            return super().forward(noisy)

    model = Denoiser(0.9).train()
    it = explorer(x, ways={"model": model, "method": model.forward})
    _, noisy, *outs = shown(it)
    for out in outs:
        np.testing.assert_array_equal(out, noisy)
    assert model.training


def test_what_works_in_place_changes_neither_the_images_nor_what_the_others_get(x):
    kept = x.clone()
    it = explorer(
        x, lambda x, level: x.add_(level), {"a": lambda noisy, level: noisy.zero_(), "b": WAYS["left as it is"]}
    )
    assert torch.equal(x, kept)
    image, noisy, a, b = shown(it)
    np.testing.assert_allclose(image, kept[0])
    np.testing.assert_array_equal(noisy, b)
    assert (a == 0).all() and noisy.max() == 1


def test_arrays_and_other_floats_are_taken(x):
    plain = explorer(x, ways={"a": smooth})
    array = explorer(x, ways={"a": lambda noisy, level: smooth(noisy, level).numpy().astype(np.float64)})
    double = explorer(x, ways={"a": lambda noisy, level: smooth(noisy, level).double()})
    assert plain.picture.value == array.picture.value == double.picture.value
    explorer(x.bfloat16())
    explorer(x.double())


def test_no_gradient_is_kept_and_no_weight_changes(x):
    class Denoiser(nn.Conv2d):
        def forward(self, noisy, level):
            return super().forward(noisy)

    net = Denoiser(x.shape[1], x.shape[1], 3, padding=1)
    before = [p.clone() for p in net.parameters()]
    go(explorer(x, ways={"net": net}), level=0.9)
    assert all(map(torch.equal, before, net.parameters())) and all(p.grad is None for p in net.parameters())


# --- What is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(0, 1, 8, 8), torch.zeros(8, 8), torch.zeros(1, 8, 8), torch.zeros(2, 1, 8, 8, dtype=torch.uint8)],
)
def test_no_image_is_refused(wrong):
    with pytest.raises(ValueError, match=r"expected float images \(N, C, H, W\), at least one; got torch"):
        explorer(wrong)


def test_no_way_is_refused(x):
    with pytest.raises(ValueError, match="expected at least one way to denoise, got none"):
        explorer(x, ways={})


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1)])
def test_a_range_that_does_not_rise_is_refused(x, low, high):
    with pytest.raises(ValueError, match="low must be below high"):
        explorer(x, low=low, high=high)


@pytest.mark.parametrize("name", ["low", "high", "level"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_range_that_is_no_number_is_refused(x, name, wrong):
    with pytest.raises(ValueError, match=r"low, high and level are .*; expected numbers"):
        explorer(x, **{name: wrong})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a[..., :-1],
        lambda a: a[0],
        lambda a: a.flatten(1),
        lambda a: a.repeat(2, 1, 1, 1),
        lambda a: (255 * a).byte(),
        lambda a: None,
    ],
    ids=["too narrow", "no batch", "flat", "two for one", "bytes", "nothing"],
)
def test_a_way_and_a_damage_that_give_no_such_image_are_named(x, spoil):
    shape = f"\\(1, {x.shape[1]}, 8, 8\\)"
    with pytest.raises(ValueError, match=rf"'the culprit' must give floats of shape {shape}; got"):
        explorer(x, ways={**WAYS, "the culprit": lambda noisy, level: spoil(noisy)})
    with pytest.raises(ValueError, match=rf"damage must give floats of shape {shape}; got"):
        explorer(x, lambda x, level: spoil(x))
