"""What `aetutor.widgets` promises: the picture follows the sliders, errors are seen, and a still stays behind."""

import io
from html import escape

import ipywidgets
import matplotlib
import numpy as np
import pytest
import torch
from conftest import spots
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from torch import nn

from aetutor import models, plots, runtime, widgets

VIEW = "application/vnd.jupyter.widget-view+json"


def draw(height: float) -> plots.Picture:
    if height > 8:
        raise ZeroDivisionError(f"no <bar> of {height}")
    return plots.bars({"bar": height}, title="A bar", x="unit")


def live():
    return widgets.Live(draw, {"height": widgets.slider("height", 0, 10, 2)})


@pytest.fixture
def model():
    with runtime.seeded("weights"):
        return models.DenseAutoencoder(2, hidden=(8,), shape=(1, 8, 8)).eval()


@pytest.fixture
def x():
    return spots(6) / 255


def title(picture):
    return picture.get_suptitle()


def pixels(png):
    """What a PNG shows, however it is packed."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return image.size, image.tobytes()


def follows(it):
    """Whether the reader sees the still of the controls' present values, without a message, and hears its words."""
    still = it.draw()
    seen = pixels(it.picture.value) == pixels(still.png()) and it.message.value == ""
    seen = seen and it.picture.layout.visibility is None
    read = getattr(it.picture, "tooltip", still.alt)  # ipywidgets 7 has none
    return seen and read == still.alt and f">{escape(still.alt)}</div>" in it.description.value


# --- Live -----------------------------------------------------------------------------------------------------


def test_moving_a_slider_changes_the_picture_and_moving_it_back_brings_the_picture_back():
    it = live()
    first = it.picture.value
    it.controls["height"].value = 5
    assert it.picture.value != first
    assert pixels(it.picture.value) == pixels(draw(5).png())
    it.controls["height"].value = 2
    assert it.picture.value == first and follows(it)


def test_an_error_while_drawing_is_shown_and_goes_with_the_next_good_move():
    it = live()
    first = it.picture.value
    it.controls["height"].value = 9
    assert it.message.value == '<b role="alert">ZeroDivisionError: no &lt;bar&gt; of 9.0</b>'
    assert it.picture.layout.visibility == "hidden"  # it shows other values
    assert it.picture.value == first
    it.controls["height"].value = 3
    assert follows(it)


def test_an_error_in_the_first_picture_is_raised():
    with pytest.raises(ZeroDivisionError):
        widgets.Live(draw, {"height": widgets.slider("height", 0, 10, 9)})


def test_the_reader_sees_controls_above_message_above_picture():
    it = live()
    slider, lost, *below = it.box.children
    assert slider is it.controls["height"] and below == [it.message, it.picture, it.description]
    assert "The kernel was restarted" in lost.value  # shown by the front end, which alone can know
    assert it.message.value == ""


def test_a_notebook_gets_the_widget_and_beside_it_the_still_with_its_description():
    it = live()
    it.controls["height"].value = 4
    data, metadata = DisplayFormatter().format(it)
    assert data[VIEW] == {"version_major": 2, "version_minor": 0, "model_id": it.box.model_id}
    still = draw(4)
    assert data["image/png"] == still.png() and pixels(it.picture.value) == pixels(still.png())
    assert data["text/plain"] == still.alt != ""
    assert metadata["image/png"]["alt"] == still.alt


def test_the_widget_view_is_the_one_that_ipywidgets_itself_would_send(monkeypatch):
    sent = []  # by ipywidgets 7 (Colab), which does not answer the formatter but shows itself
    monkeypatch.setattr("ipywidgets.widgets.widget.display", lambda data, raw: sent.append(data), raising=False)
    it = live()
    theirs, _ = DisplayFormatter().format(it.box)
    ours, _ = DisplayFormatter().format(it)
    assert ours[VIEW] == (theirs or sent[0])[VIEW]


def test_two_live_pictures_do_not_move_each_other():
    one, two = live(), live()
    before = two.picture.value
    one.controls["height"].value = 7
    assert two.picture.value == before and one.box.model_id != two.box.model_id


def test_drawing_a_widget_imports_no_style_into_matplotlib(model):
    before = {name: value for name, value in matplotlib.rcParams.copy().items() if name != "backend"}
    it = widgets.map_explorer(model.decode, torch.randn(9, 2))
    it.controls["first"].value = 0.1
    assert {name: value for name, value in matplotlib.rcParams.copy().items() if name != "backend"} == before


def test_a_picture_that_draw_is_given_back_is_only_ever_its_own_and_never_one_given_away():
    seen = []

    def again(height: float, on: plots.Picture | None = None) -> plots.Picture:
        seen.append(on)
        if height > 8:
            raise ZeroDivisionError
        return draw(height)

    it = widgets.Live(again, {"height": widgets.slider("height", 0, 10, 2)}, reuse=True)
    given = it.draw()
    assert seen == [None, None]
    it.controls["height"].value = 5
    it.controls["height"].value = 6
    assert all(isinstance(on, plots.Picture) for on in seen[2:]) and given not in seen
    it.controls["height"].value = 9  # fails, and may have left the picture half changed
    it.controls["height"].value = 3
    assert seen[-1] is None and it.message.value == ""


def test_a_frame_is_one_message_with_its_words_and_is_not_drawn_twice_when_one_control_moves_another(monkeypatch):
    drawn, sent = [], []

    def both(first: float, second: float) -> plots.Picture:
        drawn.append((first, second))
        return draw(first + second)

    one, two = (widgets.slider(name, 0, 4, 0) for name in ("first", "second"))
    one.observe(lambda change: setattr(two, "value", change["new"]), names="value")
    it = widgets.Live(both, {"first": one, "second": two})
    monkeypatch.setattr(
        type(it.picture), "send_state", lambda self, key: sent.append({key} if key == str(key) else {*key})
    )
    drawn.clear()
    one.value = 3
    assert drawn == [(3, 3)]
    (names,) = sent
    assert names == ({"value", "tooltip"} if it.picture.has_trait("tooltip") else set())  # 7: no kernel, no names
    assert follows(it)


def test_what_a_screen_reader_is_told_is_no_markup():
    it = widgets.Live(
        lambda a: plots.bars({"bar": a}, title="a < b & <i>c</i>", x="unit"), {"a": widgets.slider("a", 0, 1, 0)}
    )
    assert "a &lt; b &amp; &lt;i&gt;c&lt;/i&gt;" in it.description.value and 'role="status"' in it.description.value
    it.controls["a"].value = 1
    assert follows(it)


# --- Slider ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "step", "digits"),
    [(-3, 5, 0.1, 1), (0, 1, 0.01, 2), (-3, 3, 0.05, 2), (0, 2, 0.02, 2), (-4.4, 5.2, 0.1, 1), (0, 800, 10, 0)],
)
def test_a_slider_has_about_100_round_steps_shows_as_many_digits_and_acts_while_it_moves(low, high, step, digits):
    it = widgets.slider("first code number", low, high, low + 10 * step)
    assert isinstance(it, ipywidgets.FloatSlider) and it.continuous_update
    assert (it.min, it.max, it.description) == (low, high, "first code number")
    assert it.step == step and 80 <= (high - low) / step <= 200 and it.readout_format == f".{digits}f"
    assert it.value == pytest.approx(low + 10 * step, abs=1e-12)


def test_a_range_that_no_round_step_divides_is_kept_and_has_100_steps():
    it = widgets.slider("a", 0, 1 / 3, 0.1)
    assert (it.min, it.max, it.step) == (0, 1 / 3, pytest.approx(1 / 300)) and it.readout_format == ".3f"
    assert (it.value / it.step) % 1 == pytest.approx(0, abs=1e-6) and it.value == pytest.approx(0.1)


def test_a_slider_starts_on_a_step_so_that_its_handle_and_its_number_agree():
    assert widgets.slider("a", 0, 1, 0.123).value == 0.12
    assert widgets.slider("a", -3, 3, 0.01).value == 0


def test_a_hint_is_shown_at_the_label_by_every_ipywidgets():
    it = widgets.slider("a", 0, 1, 0.5, hint="what it does")
    assert "what it does" in (getattr(it, "tooltip", None), it.trait_values().get("description_tooltip"))


@pytest.mark.parametrize(("value", "kept"), [(-9, -3), (9, 5), (-3, -3), (5, 5)])
def test_a_start_outside_the_range_is_moved_to_its_end(value, kept):
    assert widgets.slider("a", -3, 5, value).value == kept


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (float("nan"), 1)])
def test_an_empty_range_is_refused(low, high):
    with pytest.raises(ValueError, match="low must be below high"):
        widgets.slider("a", low, high, 1)


# --- Explorers ------------------------------------------------------------------------------------------------


def test_the_map_explorer_starts_in_the_middle_of_the_codes_and_decodes_where_the_sliders_stand(model, x):
    z = model.encode(x).detach()
    it = widgets.map_explorer(model.decode, z, torch.arange(6))
    first, second = it.controls["first"], it.controls["second"]
    for one, values in ((first, z[:, 0]), (second, z[:, 1])):
        assert values.min() <= one.min < values.min() + one.step and values.max() - one.step < one.max <= values.max()
        assert one.value == pytest.approx(values.median().item(), abs=one.step)
    before = it.picture.value
    first.value, second.value = first.max, second.min
    assert it.picture.value != before
    decoded = model.decode(torch.tensor([[first.value, second.value]])).detach().numpy()
    (drawn,) = it.draw().axes[1].images
    np.testing.assert_allclose(np.asarray(drawn.get_array()), decoded[0, 0], atol=1e-6)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_frame_of_the_map_explorer_is_the_still_of_the_same_values(model, labelled):
    z = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    it = widgets.map_explorer(model.decode, z, torch.arange(60) % 10 if labelled else None)
    first, second = it.controls["first"], it.controls["second"]
    for a, b in ((0.3, -0.7), (first.min, second.max), (0, 0), (-0.04, 1.1), (first.max, second.min)):
        first.value, second.value = a, b
        assert follows(it)


def test_a_frame_of_the_map_explorer_draws_no_map_anew(model, monkeypatch):
    it = widgets.map_explorer(model.decode, torch.randn(60, 2), torch.arange(60) % 10)
    made = []
    scatter = matplotlib.axes.Axes.scatter
    monkeypatch.setattr(matplotlib.axes.Axes, "scatter", lambda *a, **how: made.append(1) or scatter(*a, **how))
    it.controls["first"].value = 0.1
    it.controls["second"].value = 0.1
    assert made == []
    it.draw()
    assert made


def test_a_still_that_was_given_away_does_not_move_with_the_sliders(model):
    it = widgets.map_explorer(model.decode, torch.randn(9, 2))
    still = it.draw()
    before = still.png()
    it.controls["first"].value = it.controls["first"].max
    assert still.png() == before and pixels(before) != pixels(it.picture.value)


def test_a_place_just_below_zero_is_called_zero(model):
    it = widgets.map_explorer(model.decode, torch.tensor([[-1.0, -1.0], [-0.01, -0.01], [1.0, 1.0]]))
    assert title(it.draw()) == "The decoder at code (0.00, 0.00)"


def test_the_title_of_the_map_explorer_tells_one_step_from_the_next(model):
    it = widgets.map_explorer(model.decode, torch.tensor([[-40.0, -0.04], [30.0, 0.03]]))
    for one in it.controls.values():
        before = title(it.draw())
        one.value += one.step
        assert title(it.draw()) != before
        assert one.readout_format == {"first": ".1f", "second": ".4f"}.get(one, one.readout_format)


def test_the_map_explorer_refuses_codes_that_are_nan(model):
    with pytest.raises(ValueError, match="1 of 9 codes are nan"):
        z = torch.randn(9, 2)
        z[2, 0] = float("nan")
        widgets.map_explorer(model.decode, z)


def test_the_map_explorer_takes_any_function_and_no_labels():
    it = widgets.map_explorer(lambda z: z.sum(1).sigmoid().view(-1, 1, 1, 1).expand(-1, 3, 4, 4), torch.randn(9, 2))
    before = it.picture.value
    it.controls["second"].value = it.controls["second"].max
    assert it.picture.value != before


def test_the_map_explorer_lets_a_code_number_that_never_changes_stand_still_in_the_middle(model):
    z = torch.stack([torch.linspace(-1, 1, 9), torch.full((9,), 0.5)], 1)
    it = widgets.map_explorer(model.decode, z)
    second = it.controls["second"]
    assert second.min < second.value < second.max and second.value == pytest.approx(0.5)


@pytest.mark.parametrize("z", [torch.zeros(5, 3), torch.zeros(5), torch.zeros(0, 2)])
def test_the_map_explorer_refuses_codes_that_are_not_two_numbers_each(model, z):
    with pytest.raises(ValueError, match=r"expected codes \(N, 2\)"):
        widgets.map_explorer(model.decode, z)


def test_the_map_explorer_refuses_labels_that_do_not_fit(model):
    with pytest.raises(ValueError, match="labels"):
        widgets.map_explorer(model.decode, torch.randn(5, 2), torch.arange(4))


def explorer(model, x, **how):
    return widgets.code_explorer(model.encode, model.decode, x, **{"spread": [0.5, 2.0], "which": [1, 0]} | how)


def test_the_code_explorer_adds_to_a_code_number_in_units_of_its_spread(model, x):
    it = explorer(model, x)
    assert list(it.controls) == ["image", "z1", "z0"]
    it.controls["image"].value = 3
    it.controls["z1"].value = 1.5
    moved = model.encode(x[3:4]) + torch.tensor([[0.0, 1.5 * 2.0]])
    expected = [x[3, 0], model(x[3:4])[0, 0], model.decode(moved)[0, 0]]
    drawn = [np.asarray(axes.images[0].get_array()) for axes in it.draw().axes]
    for array, image in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(array, image.detach().numpy(), atol=1e-6)
    error = (model.decode(moved)[0] - x[3]).square().sum().item()
    assert f"{error:.1f}" in title(it.draw())


def test_each_control_of_the_code_explorer_changes_the_picture(model, x):
    it = explorer(model, x)
    for control, value in ((it.controls["image"], 5), (it.controls["z0"], 3), (it.controls["z1"], -3)):
        before = it.picture.value
        control.value = value
        assert it.picture.value != before and it.message.value == ""


def test_a_frame_of_the_code_explorer_is_the_still_of_the_same_values_on_axes_that_stay(model, x, monkeypatch):
    it = explorer(model, x)
    made = []
    add = plots.Picture.add_axes
    monkeypatch.setattr(plots.Picture, "add_axes", lambda *a, **how: made.append(1) or add(*a, **how))
    for name, value in (("image", 5), ("z0", 3), ("z1", -0.6), ("image", 0)):
        it.controls[name].value = value
        assert made == []
        assert follows(it)
        assert made
        made.clear()


def test_the_code_explorer_works_with_one_image(model, x):
    it = explorer(model, x[:1], which=[0])
    assert (it.controls["image"].min, it.controls["image"].max, it.controls["image"].value) == (0, 0, 0)
    before = it.picture.value
    it.controls["z0"].value = 2.0
    assert it.picture.value != before
    assert VIEW in DisplayFormatter().format(it)[0]


@pytest.mark.parametrize("spread", [[1.0, 2.0], np.ones(2), torch.ones(2), torch.ones(2, requires_grad=True)], ids=str)
def test_the_spread_may_be_a_list_an_array_or_a_tensor(model, x, spread):
    assert explorer(model, x, spread=spread).message.value == ""


def test_the_code_explorer_takes_functions_and_colour_images():
    x = torch.rand(2, 3, 4, 4)
    it = widgets.code_explorer(lambda x: x.flatten(1), lambda z: z.view(-1, 3, 4, 4), x, spread=[0.1] * 48, which=[47])
    before = it.picture.value
    it.controls["z47"].value = 3
    assert it.picture.value != before


def test_the_code_explorer_refuses_no_image_and_code_numbers_that_do_not_exist(model, x):
    with pytest.raises(ValueError, match="at least one image"):
        explorer(model, x[:0])
    for which in ([2], [-1]):
        with pytest.raises(ValueError, match=r"which is \[.*numbers 0…1"):
            explorer(model, x, which=which)


def test_a_code_number_named_twice_gets_one_slider_and_moves_once(model, x):
    one, twice = explorer(model, x, which=[1]), explorer(model, x, which=torch.tensor([1, 1]))
    for it in (one, twice):
        it.controls["z1"].value = 1.5
    assert list(one.controls) == list(twice.controls) and one.picture.value == twice.picture.value


@pytest.mark.parametrize("spread", [[1.0], [1.0] * 3, [[1.0, 1.0]], 1.0], ids=str)
def test_a_spread_of_another_code_is_refused(model, x, spread):
    with pytest.raises(ValueError, match=r"spread has shape .*; a code here has 2 numbers"):
        explorer(model, x, spread=spread, which=[0])


def test_a_spread_that_is_nan_is_refused_with_the_code_numbers(model, x):
    with pytest.raises(ValueError, match=r"not finite for code numbers \[1\]"):
        explorer(model, x, spread=torch.tensor([1.0, float("nan")]))


def test_an_encoder_that_gives_no_code_is_refused(model, x):
    with pytest.raises(ValueError, match=r"one code per image, \(N, Z\)"):
        widgets.code_explorer(lambda x: x, lambda z: z, x, spread=[1.0], which=[0])


def test_the_sliders_of_the_code_explorer_name_code_number_and_unit(model, x):
    assert [s.description for s in explorer(model, x).controls.values()] == [
        "image",
        "number 1 (± σ)",
        "number 0 (± σ)",
    ]


def test_batches_go_to_the_device_of_the_model_and_come_back():
    seen = []

    class Elsewhere(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, device="meta"))

        def decode(self, z):
            seen.append(z.device.type)
            return torch.full((len(z), 1, 4, 4), 0.5)

        forward = decode

    for decode in (Elsewhere().decode, Elsewhere()):  # a method and a part such as model.decoder
        widgets.map_explorer(decode, torch.randn(9, 2))
        assert set(seen) == {"meta"}
        seen.clear()


@pytest.fixture
def restless():
    """A model whose output changes from call to call in train mode, and one of whose parts is in eval mode."""

    class Restless(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.BatchNorm1d(2))
            self.decoder = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 64), nn.Unflatten(1, (1, 8, 8)), nn.Sigmoid())

        def encode(self, x):
            return self.encoder(x)

        def decode(self, z):
            return self.decoder(z)

    model = Restless().train()
    model.encoder[1].eval()
    return model


def test_a_model_in_train_mode_is_asked_in_eval_mode_and_left_as_it_was(restless, x):
    before = {name: value.clone() for name, value in restless.state_dict().items()}
    modes = [part.training for part in restless.modules()]
    assert True in modes and False in modes
    noisy = nn.Dropout(0.5).train()
    for it in (
        widgets.map_explorer(restless.decode, torch.randn(9, 2)),
        widgets.map_explorer(restless.decoder, torch.randn(9, 2)),
        explorer(restless, x),
        widgets.feature_explorer(noisy, nn.Sequential(noisy, nn.Sigmoid()), x),
    ):
        control = list(it.controls.values())[-1]
        control.value = control.max
        assert follows(it)  # computed anew, it is the same: nothing is left to chance
        assert modes == [part.training for part in restless.modules()] and noisy.training
    assert all(torch.equal(before[name], value) for name, value in restless.state_dict().items())


def test_a_model_that_fails_is_left_in_its_mode_too(restless):
    it = widgets.map_explorer(restless.decode, torch.randn(9, 2))
    modes = [part.training for part in restless.modules()]
    restless.decoder[1].forward = lambda z: 1 / 0
    it.controls["first"].value = it.controls["first"].max
    assert "ZeroDivisionError" in it.message.value and modes == [part.training for part in restless.modules()]


def test_no_gradient_is_kept_and_no_model_changes(model, x):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    it = explorer(model, x)
    it.controls["z0"].value = 1.0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
