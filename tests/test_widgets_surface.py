"""What `widgets.two_weights` promises: the loss is the one torch computes, its arrow is torch's gradient, downhill."""

import ipywidgets
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from test_widgets import follows, pixels

from aetutor import plots, widgets

PLACES = [(1.2, -0.6), (0.0, 0.0), (0.3, 1.1), (-1.5, -1.5), (-0.9, 0.03)]


@pytest.fixture
def x():
    points = torch.randn(80, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = points @ torch.tensor([[1.0, 0.5], [-0.1, 0.4]], dtype=torch.float64)
    return points - points.mean(0)


@pytest.fixture
def given(monkeypatch):
    """What the widget hands to the plot, call by call."""
    calls = []
    drawing = plots.loss_surface

    def spied(across, up, loss, **how):
        calls.append({"across": across, "up": up, "loss": loss} | how)
        return drawing(across, up, loss, **how)

    monkeypatch.setattr(plots, "loss_surface", spied)
    return calls


def go(it, place):
    it.controls["first"].value, it.controls["second"].value = place
    assert it.message.value == ""


def plain(x, w):
    """The smallest autoencoder, written out, and its loss: the mean over points, one by one."""
    return torch.stack([((w @ point) * w - point).square().sum() for point in x]).mean()


def said(it):
    """The two numbers in the title."""
    words = it.draw().get_suptitle().replace("−", "-").split()
    return float(words[words.index("error") + 1]), float(words[-1])


# --- The numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_the_step_is_the_negative_of_torchs_gradient_of_the_mean_over_points(x, given, place):
    go(widgets.two_weights(x), place)
    w = torch.tensor(place, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(plain(x, w), w)
    assert tuple(given[-1]["point"]) == place
    np.testing.assert_allclose(given[-1]["step"], -gradient, atol=1e-6)


@pytest.mark.parametrize("place", PLACES)
def test_the_error_in_the_title_is_the_mean_over_points(x, place):
    it = widgets.two_weights(x)
    go(it, place)
    error = plain(x, torch.tensor(place, dtype=torch.float64)).item()
    assert said(it)[0] == float(f"{error:.3g}")


def test_the_surface_is_the_loss_at_every_place_of_the_grid(x, given):
    widgets.two_weights(x)
    across, up, loss = (given[0][name] for name in ("across", "up", "loss"))
    assert loss.shape == (len(up), len(across)) and (across[0], across[-1]) == (up[0], up[-1]) == (-1.5, 1.5)
    for row, column in ((0, 0), (7, 50), (30, 12), (60, 59)):
        w = torch.tensor([across[column], up[row]])
        assert loss[row, column] == pytest.approx(plain(x, w).item(), abs=1e-6)


def test_the_reconstructions_are_the_points_drawn_onto_the_line(x, given):
    go(widgets.two_weights(x), (0.6, 0.9))
    w = torch.tensor([0.6, 0.9], dtype=torch.float64)
    np.testing.assert_allclose(given[-1]["x_hat"], torch.stack([(w @ point) * w for point in x]))


def test_the_minima_are_plus_and_minus_the_first_principal_axis_and_reach_the_smallest_possible_error(x, given):
    _, spread, axes = torch.linalg.svd(x, full_matrices=False)
    smallest = (spread[1] ** 2 / len(x)).item()
    it = widgets.two_weights(x)
    for axis in (axes[0], -axes[0]):
        go(it, tuple(axis.tolist()))
        np.testing.assert_allclose(given[-1]["step"], 0, atol=1e-6)
        assert said(it) == (float(f"{smallest:.3g}"),) * 2
    across, up, loss = (given[0][name] for name in ("across", "up", "loss"))
    row, column = np.unravel_index(loss.argmin(), loss.shape)
    lowest = np.array([across[column], up[row]])
    assert min(np.hypot(*(lowest - axis.numpy())) for axis in (axes[0], -axes[0])) < 0.05  # a step of the grid
    assert loss.min() > smallest


def test_going_where_the_arrow_points_ends_at_a_minimum(x, given):
    it = widgets.two_weights(x)
    for _ in range(25):
        w, step = given[-1]["point"], given[-1]["step"]
        go(it, tuple(np.clip(w + 0.2 * step, -1.5, 1.5)))
    now, smallest = said(it)
    assert now == pytest.approx(smallest, rel=0.01)


def test_at_zero_there_is_no_slope_and_no_line(x, given):
    it = widgets.two_weights(x)
    go(it, (0, 0))
    assert not given[-1]["step"].any() and not given[-1]["x_hat"].any()
    assert "where the slope is zero" in it.draw().alt
    assert said(it)[0] == float(f"{x.square().sum(1).mean().item():.3g}")


def test_points_on_a_line_can_be_kept_whole(x):
    it = widgets.two_weights(torch.outer(x[:, 0], torch.tensor([0.6, 0.8], dtype=torch.float64)))
    go(it, (0.6, 0.8))
    assert it.draw().get_suptitle().endswith(": mean squared error 0 per point; smallest possible 0")  # not 1e-17


def test_the_errors_of_large_points_are_written_out():
    it = widgets.two_weights([[300.0, 0.0], [0.0, 123.0]])
    go(it, (0, 0))
    assert it.draw().get_suptitle().endswith(": mean squared error 52600 per point; smallest possible 7560")


# --- The widget -----------------------------------------------------------------------------------------------


def test_the_sliders_are_named_span_the_surface_and_start_where_the_loss_is_not_the_smallest(x):
    for turn in range(4):  # whatever the first principal axis
        angle = torch.tensor(turn * torch.pi / 4, dtype=torch.float64)
        cos, sin = angle.cos(), angle.sin()
        it = widgets.two_weights(x @ torch.stack([torch.stack([cos, sin]), torch.stack([-sin, cos])]))
        now, smallest = said(it)
        assert now > 1.1 * smallest
    assert [c.description for c in it.controls.values()] == [f"weight {w}" for w in ("w₁", "w₂")]
    for control in it.controls.values():
        assert isinstance(control, ipywidgets.FloatSlider) and (control.min, control.max) == (-1.5, 1.5)
        assert ((control.value - control.min) / control.step) % 1 == pytest.approx(0, abs=1e-9)  # on a stop


def test_the_title_names_the_weights_and_zero_is_never_minus_zero(x):
    it = widgets.two_weights(x)
    go(it, (0.9, -0.45))
    assert it.draw().get_suptitle().startswith("w = (0.90, −0.45): mean squared error ")
    go(it, (-0.001, 1.0))
    assert it.draw().get_suptitle().startswith("w = (0.00, 1.00): mean squared error ")
    assert " per point; smallest possible " in it.draw().get_suptitle()


def test_a_frame_is_the_still_of_the_same_values_and_changes_the_picture_it_has(x, given):
    it = widgets.two_weights(x)
    seen = {it.picture.value}
    for place in PLACES[1:]:
        go(it, place)
        assert given[-1]["on"] is it._last
        assert follows(it)
        seen.add(it.picture.value)
    assert len(seen) == len(PLACES)
    data, _ = DisplayFormatter().format(it)
    assert widgets.VIEW in data and pixels(data["image/png"]) == pixels(it.picture.value)


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.numpy(),
        lambda x: x.clone().requires_grad_(),
        lambda x: x.tolist(),
    ],
    ids=["array", "tensor with gradient", "lists"],
)
def test_tensors_and_arrays_give_the_same(x, form):
    assert widgets.two_weights(form(x)).picture.value == widgets.two_weights(x).picture.value
    assert widgets.two_weights(x.bfloat16()).message.value == ""


def test_one_point_and_points_all_at_the_origin_are_drawn():
    assert said(widgets.two_weights([[1.0, 2.0]]))[1] == 0
    assert said(widgets.two_weights(np.zeros((4, 2)))) == (0, 0)


@pytest.mark.parametrize("x", [torch.zeros(5, 3), torch.zeros(5), np.zeros((0, 2)), torch.zeros(2, 2, 2), []], ids=str)
def test_what_is_not_points_of_the_plane_is_refused(x):
    with pytest.raises(ValueError, match=r"expected points of the plane, \(N, 2\), at least one"):
        widgets.two_weights(x)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_points_that_are_not_finite_are_refused_with_their_number(x, wrong):
    x[3] = x[5, 0] = wrong
    with pytest.raises(ValueError, match="2 of 80 points are nan or infinite"):
        widgets.two_weights(x)
