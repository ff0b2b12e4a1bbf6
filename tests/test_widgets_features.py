"""What `widgets.feature_explorer` promises: one feature map is scaled, all else stays, and the error is counted."""

import ipywidgets
import numpy as np
import pytest
import torch
from conftest import spots
from test_widgets import follows
from torch import nn

from aetutor import plots, widgets


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def x(request):
    return spots(6, side=8, channels=request.param) / 255


@pytest.fixture
def network(x):
    """(features, finish): 8 × 8 pixels to 5 maps of 4 × 4, and back."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        channels = x.shape[1]
        first = nn.Sequential(nn.Conv2d(channels, 5, 3, 2, 1), nn.Tanh())
        rest = nn.Sequential(nn.ConvTranspose2d(5, channels, 4, 2, 1), nn.Sigmoid())
    return first.eval(), rest.eval()


def go(it, **values):
    for name, value in values.items():
        it.controls[name].value = value
    assert it.message.value == ""


def shown(it):
    """The four images drawn, as (C, H, W)."""
    arrays = [np.asarray(axes.images[0].get_array()) for axes in it.draw().axes]
    return [a[None] if a.ndim == 2 else a.transpose(2, 0, 1) for a in arrays]


def errors(it):
    """The two numbers in the title: before, after."""
    before, after = it.draw().get_suptitle().split(";")
    return float(before.split()[-1]), float(after.split()[-1])


# --- The picture ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0, 2.0])
def test_one_map_is_scaled_and_nothing_else(network, x, strength):
    features, finish = network
    it = widgets.feature_explorer(features, finish, x)
    go(it, image=4, feature=3, strength=strength)
    with torch.no_grad():
        maps = features(x)  # of all images at once
        plain = finish(maps)[4]
        kept = [maps[:, k] * (strength if k == 3 else 1.0) for k in range(5)]
        out = finish(torch.stack(kept, 1))[4]
    image, _, reconstruction, scaled = shown(it)
    np.testing.assert_allclose(image, x[4])
    np.testing.assert_allclose(reconstruction, plain, atol=1e-6)
    np.testing.assert_allclose(scaled, out, atol=1e-6)
    wanted = [np.square(np.asarray(y) - np.asarray(x[4])).sum() for y in (plain, out)]
    assert errors(it) == pytest.approx(wanted, rel=0.006)  # three digits


def test_at_its_start_nothing_is_scaled(network, x):
    it = widgets.feature_explorer(*network, x)
    assert [control.value for control in it.controls.values()] == [0, 0, 1]
    _, _, plain, scaled = shown(it)
    np.testing.assert_array_equal(plain, scaled)
    assert len(set(errors(it))) == 1
    assert it.draw().get_suptitle().endswith(f"with map 0 × 1.00: {errors(it)[1]:.3g}")


def test_a_map_of_which_the_rest_takes_no_notice_can_be_scaled_without_effect(x):
    it = widgets.feature_explorer(lambda x: torch.cat([x[:, :1], -x[:, :1]], 1), lambda h: h[:, :1].expand_as(x[:1]), x)
    go(it, feature=1, strength=2)
    assert len(set(errors(it))) == 1
    go(it, feature=0, strength=0)
    assert errors(it)[1] == pytest.approx(x[0].square().sum().item(), rel=0.006)


def test_the_map_is_drawn_on_its_own_range_in_cells_as_large_as_the_image(network, x):
    it = widgets.feature_explorer(*network, x)
    go(it, image=2, feature=4)
    with torch.no_grad():
        cells = network[0](x)[2, 4].numpy()
    drawn = shown(it)[1]
    assert drawn.shape == x.shape[1:] and (drawn.min(), drawn.max()) == (0, 1)
    wanted = np.kron((cells - cells.min()) / np.ptp(cells), np.ones((2, 2)))
    for channel in drawn:
        np.testing.assert_allclose(channel, wanted, atol=1e-6)
    assert f"black {cells.min():.2g}, white {cells.max():.2g}" in it.draw().alt


def test_the_map_is_drawn_as_it_was_before_it_is_scaled(network, x):
    it = widgets.feature_explorer(*network, x)
    before = shown(it)[1]
    go(it, strength=0)
    np.testing.assert_array_equal(shown(it)[1], before)


@pytest.mark.parametrize("side", [(1, 1), (3, 5), (16, 16)], ids=str)
def test_maps_of_any_size_are_enlarged_or_thinned_to_the_images(x, side):
    def features(x):
        return nn.functional.interpolate(x, side)

    it = widgets.feature_explorer(features, lambda h: nn.functional.interpolate(h, (8, 8)), x)
    assert shown(it)[1].shape == x.shape[1:]


def test_a_map_that_is_the_same_everywhere_is_grey(x):
    it = widgets.feature_explorer(lambda x: torch.zeros_like(x), lambda h: h, x)
    assert (shown(it)[1] == 0.5).all() and "0 everywhere" in it.draw().alt


def test_what_the_slider_drives_out_of_range_is_clipped_to_be_drawn_and_not_to_be_counted(x):
    it = widgets.feature_explorer(lambda x: 10 * x, lambda h: h / 10 + 6 * (h - 10 * x[:1]), x)
    go(it, feature=0, strength=2)
    image, _, plain, scaled = shown(it)
    np.testing.assert_allclose(plain, image, atol=1e-6)
    wanted = np.asarray(x[0]).copy()
    wanted[0] *= 62  # x + 6 · 10 x, and once more x for the map twice as strong
    np.testing.assert_allclose(scaled, wanted.clip(0, 1), atol=1e-6)
    assert errors(it)[1] == pytest.approx(61**2 * x[0, 0].square().sum().item(), rel=0.006)


def test_a_reconstruction_in_another_unit_is_refused_by_the_plot(x):
    with pytest.raises(ValueError, match=r"intensity in \[0, 1\] expected; found up to"):
        widgets.feature_explorer(lambda x: x, lambda h: 255 * h, x)


def test_features_that_are_nan_are_refused_by_the_plot(x):
    with pytest.raises(ValueError, match="nan or infinite"):
        widgets.feature_explorer(lambda x: x / 0, lambda h: h, x)


# --- The controls ---------------------------------------------------------------------------------------------


def test_the_controls_choose_among_all_images_and_all_maps(network, x):
    it = widgets.feature_explorer(*network, x)
    image, feature, strength = it.controls.values()
    assert isinstance(image, ipywidgets.IntSlider) and (image.min, image.max) == (0, 5)
    assert isinstance(feature, ipywidgets.IntSlider) and (feature.min, feature.max) == (0, 4)
    assert (strength.min, strength.max) == (0, 2)
    assert [c.description for c in it.controls.values()] == ["image", "feature map number", "strength (× the map)"]


def test_each_control_changes_the_picture_which_is_the_still_of_the_same_values(network, x, monkeypatch):
    it = widgets.feature_explorer(*network, x)
    made = []
    add = plots.Picture.add_axes
    monkeypatch.setattr(plots.Picture, "add_axes", lambda *a, **how: made.append(1) or add(*a, **how))
    for name, value in (("strength", 1.5), ("feature", 2), ("image", 5), ("strength", 0)):
        before = it.picture.value
        go(it, **{name: value})
        assert made == []  # the axes stay
        assert follows(it) and it.picture.value != before
        made.clear()


def test_features_are_computed_once_while_the_image_stays(network, x):
    features, finish = network
    times = []
    it = widgets.feature_explorer(lambda x: times.append(1) or features(x), finish, x)
    go(it, strength=0.5, feature=1)
    go(it, strength=2, feature=4)
    assert len(times) == 1
    go(it, image=1)
    assert len(times) == 2


def test_one_image_and_one_map_will_do(x):
    it = widgets.feature_explorer(lambda x: x[:, :1], lambda h: h.expand_as(x[:1]), x[:1])
    assert it.controls["image"].max == it.controls["feature"].max == 0
    go(it, strength=0)
    assert errors(it)[1] == pytest.approx(x[0].square().sum().item(), rel=0.006)


# --- The network ----------------------------------------------------------------------------------------------


def test_layers_that_work_in_place_change_neither_the_images_nor_the_maps(x):
    kept = x.clone()
    it = widgets.feature_explorer(lambda x: x.sub_(0.3), nn.ReLU(inplace=True), x)
    go(it, strength=0.5)
    go(it, strength=1)
    low = f"black {kept[0, 0].min().item() - 0.3:.2g}"
    assert torch.equal(x, kept) and low in it.draw().alt


def test_batches_go_to_the_device_of_the_network_and_come_back(x):
    seen = []

    class Elsewhere(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, device="meta"))

        def forward(self, batch):
            seen.append(batch.device.type)
            return torch.full(batch.shape, 0.5)

    it = widgets.feature_explorer(Elsewhere(), Elsewhere(), x)
    go(it, strength=0)
    assert len(seen) >= 4 and set(seen) == {"meta"}


def test_no_gradient_is_kept_and_no_weight_changes(network, x):
    before = [p.clone() for part in network for p in part.parameters()]
    go(widgets.feature_explorer(*network, x.clone().requires_grad_()), strength=0)
    after = [p for part in network for p in part.parameters()]
    assert all(map(torch.equal, before, after)) and all(p.grad is None for p in after)


# --- What is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (8, 8), (1, 8, 8)], ids=str)
def test_no_image_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected images \(N, C, H, W\), at least one; got"):
        widgets.feature_explorer(lambda x: x, lambda h: h, torch.zeros(shape))


@pytest.mark.parametrize(
    "features",
    [
        lambda x: x.flatten(1),
        lambda x: x[0],
        lambda x: x.repeat(2, 1, 1, 1),
        lambda x: x[:, :0],
    ],
    ids=["codes", "no batch", "two for one", "no map"],
)
def test_features_that_are_no_maps_are_refused(x, features):
    with pytest.raises(ValueError, match=r"features must give maps \(N, K, h, w\); for one image it gave \("):
        widgets.feature_explorer(features, lambda h: x[:1], x)


@pytest.mark.parametrize(
    "finish",
    [lambda h: h[..., :-1], lambda h: h.flatten(1), lambda h: h[0], lambda h: h.repeat(1, 2, 1, 1)],
    ids=["too narrow", "flat", "no batch", "more channels"],
)
def test_a_rest_that_does_not_give_the_images_shape_back_is_refused(x, finish):
    with pytest.raises(ValueError, match=rf"finish must give images \(1, {x.shape[1]}, 8, 8\) back; got"):
        widgets.feature_explorer(lambda x: x, finish, x)
