"""What `widgets.draw_digit` and `widgets.as_mnist` promise: a drawing placed as MNIST's are, and an answer to each."""

import math
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import spots
from IPython.core.formatters import DisplayFormatter
from torch import nn

from aetutor import data, models, plots, runtime, widgets

SIDE, FINE = 8, 4
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def mnist():
    return data.load("mnist")


@pytest.fixture
def model():
    with runtime.seeded("weights"):
        return models.DenseAutoencoder(3, hidden=(8,), shape=(1, SIDE, SIDE)).eval()


def brighter(x):
    return x + 0.25


def drawing(model, *, count: int = 40, labels=True, **how):
    labels = torch.arange(count) % 3 if labels is True else labels
    given = {"examples": spots(30, seed=5), "noise": brighter} | how
    images = given.pop("images", spots(count, seed=4))
    return widgets.draw_digit(model.encode, model.decode, images, labels, **given)


def fine(image) -> np.ndarray:
    """An image (S, S) as the board would send it."""
    return np.kron(np.asarray(image, np.uint8), np.ones((FINE, FINE), np.uint8))


def ask(it, page, **how):
    """What the board is told: the message, the pictures (P, S, S) and the code."""
    sent = []
    it.board.send = lambda content, buffers=None: sent.append((content, buffers))
    question = {"kind": "drawing", "frame": 7, "view": "me", "centre": False, "seed": 0} | how
    it._hear(it.board, question, [memoryview(np.ascontiguousarray(page))])
    ((content, buffers),) = sent
    side = it.board.about["side"]
    pictures = np.frombuffer(buffers[0], np.uint8).reshape(-1, side, side) if buffers else None
    return SimpleNamespace(
        **content, pictures=pictures, code=np.frombuffer(buffers[1], np.float32) if buffers else None
    )


def errors(told) -> dict[str, float]:
    return {row["name"]: row["error"] for row in told.errors}


# --- As MNIST was made ----------------------------------------------------------------------------------------------


def test_mnist_itself_is_as_the_description_says_so_it_stays_as_it_is(mnist):
    images = mnist.test[:2000]
    again = widgets.as_mnist(images)
    same = (again == images).flatten(1).all(1)
    assert same.float().mean() > 0.99  # the rest are a few whose longer side is not 20


def test_a_digit_moved_and_enlarged_comes_back_where_mnist_had_it(mnist):
    images = mnist.test[:200]
    moved = torch.zeros(200, 1, 150, 170, dtype=torch.uint8)
    moved[:, :, 9 : 9 + 112, 50 : 50 + 112] = torch.from_numpy(np.kron(images.numpy(), np.ones((4, 4), np.uint8)))
    again = widgets.as_mnist(moved)
    assert (again == images).flatten(1).all(1).float().mean() > 0.99


def test_the_longer_side_takes_20_pixels_and_the_mass_lies_within_half_a_pixel_of_pixel_14():
    rng = np.random.default_rng(0)
    for _ in range(30):
        page = np.zeros((112, 112), np.uint8)
        top, left = rng.integers(0, 60, 2)
        tall, wide = rng.integers(20, 50, 2)
        page[top : top + tall, left : left + wide] = rng.integers(100, 256, (tall, wide))
        (out,) = widgets.as_mnist(torch.from_numpy(page)[None, None])[0].numpy()
        rows, columns = (np.flatnonzero(out.any(axis)) for axis in (1, 0))
        lengths = [np.ptp(rows) + 1, np.ptp(columns) + 1]
        assert max(lengths) == 20
        assert min(lengths) == pytest.approx(20 * min(tall, wide) / max(tall, wide), abs=0.51)
        for axis in (0, 1):
            assert abs(np.average(np.arange(28), weights=out.sum(1 - axis)) - 14) <= 0.5


def test_each_pixel_is_the_mean_of_what_it_covers():
    page = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 1, 100, 100)).astype(np.uint8))
    page[:, :, [0, -1]] = page[:, :, :, [0, -1]] = 255  # ink up to the edge
    wanted = nn.functional.avg_pool2d(page.float(), 5)[0, 0]
    inside = widgets.as_mnist(page)[0, 0].float()
    rows, columns = (inside.any(axis).nonzero()[:, 0] for axis in (1, 0))
    assert (inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] - wanted).abs().max() <= 0.5


def test_a_size_that_is_no_multiple_keeps_the_ink_and_its_place():
    page = torch.zeros(1, 1, 37, 37, dtype=torch.uint8)
    page[:, :, 3:34, 10:17] = 200  # 31 × 7
    out = widgets.as_mnist(page)[0, 0].double()
    assert out.sum().item() == pytest.approx(200 * 20 * round(7 * 20 / 31), rel=0.03)
    assert out.max() == 200


def test_what_cannot_be_centred_stays_whole():
    page = torch.zeros(1, 1, 40, 40, dtype=torch.uint8)
    page[:, :, :, 0] = page[:, :, 39, :] = 255
    page[:, :, 0, 39] = 1  # so faint that it hardly counts, yet part of the drawing
    out = widgets.as_mnist(page)[0, 0]
    assert (out.sum(0) > 0).sum() == 20 and (out.sum(1) > 0).sum() == 20
    dot = torch.zeros(1, 1, 40, 40, dtype=torch.uint8)
    dot[:, :, 39, 39] = 9
    assert (widgets.as_mnist(dot) == 9).sum() == 400


def test_other_sizes_keep_the_proportions_and_nothing_stays_nothing():
    page = torch.zeros(3, 1, 30, 30, dtype=torch.uint8)
    page[0, :, 2:12, 2:7] = 255
    for side in (2, 7, 14, 64):
        out = widgets.as_mnist(page, side=side)
        assert out.shape == (3, 1, side, side) and out.dtype == torch.uint8
        assert out[0].any(2).sum() == max(1, round(side * 20 / 28)) and not out[1:].any()
    assert widgets.as_mnist(page[:0]).shape == (0, 1, 28, 28)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(1, 1, 8, 8), torch.zeros(8, 8, dtype=torch.uint8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)]
)
def test_what_is_no_drawing_is_refused(wrong):
    with pytest.raises(ValueError, match=r"as_mnist: expected uint8 drawings \(B, 1, H, W\), got Tensor torch"):
        widgets.as_mnist(wrong)


@pytest.mark.parametrize("side", [1, 0, 2.5, True, "28"])
def test_a_side_that_is_no_size_is_refused(side):
    with pytest.raises(ValueError, match=f"side is {side!r}; expected a whole number of 2 or more"):
        widgets.as_mnist(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), side=side)


# --- The answer to a drawing ----------------------------------------------------------------------------------------


def test_the_board_is_told_all_that_becomes_of_the_drawing(model):
    it = drawing(model)
    image = spots(1, seed=9)
    told = ask(it, fine(image[0, 0]))
    assert (told.kind, told.frame, told.view) == ("answer", 7, "me")
    x = image / 255
    with torch.no_grad():
        z = model.encode(x + 0.25)
        x_hat = model.decode(z)
    np.testing.assert_allclose(told.code, z[0], rtol=1e-5, atol=1e-6)
    assert it.board.about["pictures"] == ["your drawing", "with noise", "reconstruction"]
    drawn, noisy, out, *near = told.pictures
    np.testing.assert_array_equal(drawn, image[0, 0])
    np.testing.assert_allclose(noisy / 255, (x + 0.25).clamp(0, 1)[0, 0], atol=0.003)
    np.testing.assert_allclose(out / 255, x_hat[0, 0], atol=0.003)
    assert len(near) == it.board.about["nearest"] == len(told.notes) == 5
    assert errors(told)["reconstruction"] == pytest.approx((x_hat - x).square().sum().item(), rel=1e-5)


def test_the_floors_are_the_nearest_and_the_mean_training_image_and_the_median_of_test_images(model):
    images, examples = spots(40, seed=4), spots(30, seed=5)
    told = ask(drawing(model), fine(spots(1, seed=9)[0, 0]))
    x, train, test = (part.double() / 255 for part in (spots(1, seed=9), images, examples))
    with torch.no_grad():
        x_hat = model.decode(model.encode(test.float() + 0.25)).double()
    found = errors(told)
    assert found["nearest training image"] == pytest.approx((train - x).square().sum((1, 2, 3)).min().item())
    assert found["mean training image"] == pytest.approx((train.mean(0) - x).square().sum().item(), rel=1e-5)
    median = (x_hat - test).square().sum((1, 2, 3)).median().item()
    assert found["median of 30 test images (reconstruction)"] == pytest.approx(median, rel=1e-5)
    assert [row["floor"] for row in told.errors] == [False, True, True, True]


def test_the_nearest_training_images_are_exact_and_come_with_label_and_distance(mnist):
    with runtime.seeded("weights"):
        net = models.DenseAutoencoder(2, hidden=(4,))
    images, labels = mnist.train[:6000], mnist.train_labels[:6000]
    it = widgets.draw_digit(net.encode, net.decode, images, labels, examples=mnist.test[:9])
    asked = torch.cat(
        [
            mnist.test[:12],
            mnist.test[:6].roll((7, -7), (2, 3)),
            255 - mnist.test[:2],
            images[40:42],
            torch.eye(28, dtype=torch.uint8)[None, None] * 255,
        ]
    )
    for image in asked:
        told = ask(it, fine(image[0]))
        far = (images.long() - image.long()).square().sum((1, 2, 3))
        wanted, places = far.topk(5, largest=False)
        given = torch.from_numpy(told.pictures[-5:].copy())
        assert (given.long() - image.long()).square().sum((1, 2)).tolist() == wanted.tolist()
        for note, distance, place, picture in zip(told.notes, wanted, places, given, strict=True):
            if (far == distance).sum() == 1:
                assert note == f"{labels[place]} · {distance / 255**2:.1f}" and torch.equal(picture, images[place, 0])


@pytest.mark.parametrize("side", [3, 8, 9])
def test_images_whose_keys_are_far_apart_are_at_least_as_far_apart_themselves(side):
    from aetutor.widgets.draw import _key

    random = torch.Generator().manual_seed(side)
    for images in (torch.randint(256, (60, 1, side, side), generator=random).byte(), spots(60, side=side)):
        keys = torch.cdist(_key(images).double(), _key(images).double())
        pixels = torch.cdist(images.flatten(1).double(), images.flatten(1).double())
        assert (keys <= pixels * (1 + 1e-5) + 1e-2).all()
        assert keys.sum() > 0.3 * pixels.sum()  # and it is no empty bound


def test_what_it_looks_like_is_what_most_of_the_nearest_are(model):
    bright = torch.arange(10).mul(20).byte()[:, None, None, None].expand(10, 1, SIDE, SIDE).clone()
    it = drawing(model, images=bright, labels=torch.tensor([3, 3, 8, 8, 8, 1, 1, 1, 1, 1]))
    assert ask(it, fine(np.full((SIDE, SIDE), 41))).said.startswith("looks like an 8 (3 of the 5 nearest training imag")
    assert ask(it, fine(np.full((SIDE, SIDE), 160))).said.startswith("looks like a 1 (5 of the 5 nearest training im")
    split = drawing(model, images=bright, labels=torch.tensor([0, 1, 2, 3, 4, 5, 5, 7, 7, 9]))
    words = r"no clear answer: the nearest training images are (\d, ){4}\d; squared error \d+\.\d"
    assert re.fullmatch(words, ask(split, fine(np.full((SIDE, SIDE), 130))).said)
    assert re.fullmatch(r"squared error \d+\.\d", ask(drawing(model, labels=None), fine(np.full((SIDE, SIDE), 9))).said)


def test_centring_is_a_choice_and_changes_what_the_network_gets(model):
    it = drawing(model)
    page = np.zeros((SIDE * FINE, SIDE * FINE), np.uint8)
    page[2:8, 2:6] = 240
    plain, centred = ask(it, page), ask(it, page, centre=True)
    np.testing.assert_array_equal(plain.pictures[0], page.reshape(SIDE, FINE, SIDE, FINE).mean((1, 3)).round())
    np.testing.assert_array_equal(
        centred.pictures[0], widgets.as_mnist(torch.from_numpy(page)[None, None], side=SIDE)[0, 0]
    )
    assert plain.scale == 1 and centred.scale == pytest.approx(6 / 6 * FINE)  # 6 fine pixels on 6 of 8 coarse ones
    assert not np.array_equal(plain.code, centred.code)


@pytest.mark.parametrize("centre", [True, False])
def test_an_empty_board_is_said_to_be_empty(model, centre):
    told = ask(drawing(model), np.zeros((SIDE * FINE, SIDE * FINE), np.uint8), centre=centre)
    assert told.kind == "answer" and told.empty and told.pictures is None


def test_one_faint_dot_is_answered_without_a_nan(model):
    page = np.zeros((SIDE * FINE, SIDE * FINE), np.uint8)
    page[-1, -1] = 40
    for centre in (True, False):
        told = ask(drawing(model), page, centre=centre)
        assert all(math.isfinite(error) for error in errors(told).values())
    page[-1, -1] = 1  # rounds to nothing on the coarse grid
    assert ask(drawing(model), page).empty


def test_noise_keeps_its_pattern_until_it_is_drawn_anew(model):
    it = drawing(model, noise=lambda x: x + torch.rand_like(x))
    page = fine(np.zeros((SIDE, SIDE)) + 9)
    before = torch.get_rng_state()
    first, again, other = ask(it, page), ask(it, page), ask(it, page, seed=1)
    np.testing.assert_array_equal(first.pictures[1], again.pictures[1])
    assert (first.pictures[1] != other.pictures[1]).mean() > 0.5
    assert torch.equal(torch.get_rng_state(), before)


def test_without_noise_nothing_is_called_noisy(model):
    it = drawing(model, noise=None)
    assert it.board.about["pictures"] == ["your drawing", "reconstruction"] and not it.board.about["noise"]
    assert len(ask(it, fine(spots(1)[0, 0])).pictures) == 2 + 5


def test_other_networks_stand_beside_with_their_errors(model):
    it = drawing(model, others={"half": lambda x: x / 2, "as it is": lambda x: x}, name="code of 3")
    assert it.board.about["pictures"] == ["your drawing", "with noise", "code of 3", "half", "as it is"]
    image = spots(1, seed=9)
    told = ask(it, fine(image[0, 0]))
    x = image.double() / 255
    assert errors(told)["as it is"] == pytest.approx(0.25**2 * SIDE**2, rel=1e-5)
    assert errors(told)["half"] == pytest.approx(((x + 0.25) / 2 - x).square().sum().item(), rel=1e-4)
    assert list(errors(told))[:3] == ["code of 3", "half", "as it is"] and "(code of 3)" in list(errors(told))[-1]


def test_code_numbers_beyond_what_is_usual_in_training_are_counted(model):
    it = drawing(model)
    low, high = (np.array(it.board.about[end]) for end in ("low", "high"))
    with torch.no_grad():
        usual = model.encode(spots(40, seed=4) / 255 + 0.25).numpy()
    np.testing.assert_allclose(np.quantile(usual, 0.01, 0), low, atol=1e-4)
    np.testing.assert_allclose(np.quantile(usual, 0.99, 0), high, atol=1e-4)
    told = ask(it, fine(np.full((SIDE, SIDE), 255)))
    assert told.beyond == ((told.code < low) | (told.code > high)).sum() > 0


def test_what_is_not_finite_is_said_and_drawn_and_sent_as_something_that_json_has(model):
    spoilt = drawing(model, others={"broken": lambda x: x * math.nan})
    told = ask(spoilt, fine(spots(1)[0, 0]))
    row = next(row for row in told.errors if row["name"] == "broken")
    assert row["error"] is None and row["text"] == "not finite"
    assert (told.pictures[3] == 0).all()


# --- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("the <bad> kind"), KeyboardInterrupt()], ids=type)
def test_an_error_in_a_network_reaches_the_board_and_the_next_drawing_is_answered(model, error):
    wrong = []

    def moody(x):
        if wrong:
            raise wrong.pop()
        return x

    it = drawing(model, others={"moody": moody})
    wrong.append(error)
    told = ask(it, fine(spots(1)[0, 0]))
    assert (told.kind, told.frame, told.view) == ("error", 7, "me")
    assert told.said == f"{type(error).__name__}: {error}"
    assert ask(it, fine(spots(1)[0, 0])).kind == "answer"


def test_a_message_of_another_kind_is_left_alone(model):
    it = drawing(model)
    it.board.send = None  # would fail
    it._hear(it.board, {"kind": "greeting"}, [])


def test_messages_from_the_browser_arrive(model):
    it, sent = drawing(model), []
    it.board.send = lambda content, buffers=None: sent.append(content)
    question = {"kind": "drawing", "frame": 1, "view": "v", "centre": True, "seed": 0}
    it.board._msg_callbacks(it.board, question, [fine(spots(1)[0, 0]).tobytes()])  # as ipywidgets does
    assert [content["kind"] for content in sent] == ["answer"]


@pytest.mark.parametrize(
    ("networks", "complaint"),
    [
        ({"encode": lambda x: x}, r"encode must give one code per image, floats \(B, Z\); got Tensor torch.float32"),
        ({"encode": lambda x: x.flatten(1).byte()}, "encode must give one code per image"),
        ({"encode": lambda x: None}, "encode must give one code per image.*got NoneType"),
        ({"encode": lambda x: x[:1].flatten(1)}, "encode must give one code per image"),
        ({"decode": lambda z: z}, r"decode must give floats of shape \(\d+, 1, 8, 8\); got"),
        ({"decode": lambda z: z.new_zeros(len(z), 1, 8, 7)}, "decode must give floats of shape"),
        ({"noise": lambda x: x[0]}, "noise must give floats of shape"),
        ({"noise": lambda x: (255 * x).byte()}, "noise must give floats of shape"),
        ({"others": {"the culprit": lambda x: x[..., 1:]}}, "'the culprit' must give floats of shape"),
    ],
)
def test_a_network_that_gives_another_shape_is_named_before_anything_is_drawn(model, networks, complaint):
    encode, decode = networks.pop("encode", model.encode), networks.pop("decode", model.decode)
    with pytest.raises(ValueError, match="draw_digit: " + complaint):
        widgets.draw_digit(encode, decode, spots(9), examples=spots(3), **networks)


@pytest.mark.parametrize(
    "wrong",
    [
        spots(9) / 255,
        spots(9)[:, 0],
        spots(9, channels=3),
        spots(9)[:0],
        spots(9)[..., :7],
        spots(9).numpy(),
        None,
    ],
    ids=["floats", "no channel", "colour", "none", "not square", "array", "nothing"],
)
@pytest.mark.parametrize("name", ["images", "examples"])
def test_images_that_are_not_grey_square_bytes_are_refused(model, name, wrong):
    with pytest.raises(
        ValueError, match=f"{name} must be grey, square uint8 images \\(N, 1, S, S\\), at least one; got"
    ):
        drawing(model, **{name: wrong, "labels": None})


def test_images_and_examples_of_two_sizes_are_refused(model):
    with pytest.raises(ValueError, match="images are 8 × 8 pixels and examples 9 × 9"):
        drawing(model, examples=spots(3, side=9))


@pytest.mark.parametrize("labels", [torch.zeros(39), torch.zeros(40, 1), [1, 2], 5])
def test_labels_that_do_not_fit_are_refused(model, labels):
    with pytest.raises(ValueError, match=r"got labels \(.*\) for 40 images; expected one label each"):
        drawing(model, labels=labels)


# --- The reader's models --------------------------------------------------------------------------------------------


def test_a_model_in_training_is_asked_in_evaluation_mode_and_left_as_it_was(model):
    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.drop, self.norm = model, nn.Dropout(0.5), nn.BatchNorm2d(1)
            self.seen = []

        def encode(self, x):
            self.seen.append((self.training, self.drop.training, torch.is_grad_enabled()))
            return self.drop(self.inner.encode(self.norm(x)))

        def decode(self, z):
            return self.inner.decode(z)

    net = Moody().train()
    net.norm.eval()  # frozen on purpose
    state = {name: value.clone() for name, value in net.state_dict().items()}
    it = widgets.draw_digit(net.encode, net.decode, spots(9), examples=spots(3))
    ask(it, fine(spots(1)[0, 0]))
    it.draw()
    assert set(net.seen) == {(False, False, False)}
    assert net.training and net.drop.training and net.inner.training and not net.norm.training
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    net.decode = lambda z: 1 / 0
    broken = widgets.draw_digit(net.encode, model.decode, spots(9), examples=spots(3), others={"bad": lambda x: x})
    broken._ask.others["bad"] = lambda x: 1 / 0
    assert ask(broken, fine(spots(1)[0, 0])).said == "ZeroDivisionError: division by zero"
    assert net.training and not net.norm.training


def test_a_model_elsewhere_gets_its_images_where_its_weights_are_and_a_function_on_the_cpu(model):
    seen = []

    class Elsewhere(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, device="meta"))

        def encode(self, x):
            seen.append(("encode", x.device.type))
            return torch.zeros(len(x), 2)

        def decode(self, z):
            seen.append(("decode", z.device.type))
            return torch.zeros(len(z), 1, SIDE, SIDE)

    net = Elsewhere()

    def plain(x):
        seen.append(("plain", x.device.type))
        return x

    it = widgets.draw_digit(net.encode, net.decode, spots(9), examples=spots(3), noise=plain, others={"plain": plain})
    ask(it, fine(spots(1)[0, 0]))
    assert set(seen) == {("encode", "meta"), ("decode", "meta"), ("plain", "cpu")}


def test_what_works_in_place_changes_nothing_for_the_others(model):
    images = spots(9)
    kept = images.clone()
    it = widgets.draw_digit(
        lambda x: model.encode(x.mul_(0.5)),
        model.decode,
        images,
        examples=spots(3),
        noise=lambda x: x.add_(0.1),
        others={"zero": lambda x: x.zero_(), "as it is": lambda x: x},
    )
    told = ask(it, fine(spots(1, seed=9)[0, 0]))
    assert torch.equal(images, kept)
    np.testing.assert_array_equal(told.pictures[0], spots(1, seed=9)[0, 0])
    assert (told.pictures[3] == 0).all() and errors(told)["as it is"] == pytest.approx(0.01 * SIDE**2, rel=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_images_will_do_and_one_code_number(count):
    with runtime.seeded("weights"):
        net = models.DenseAutoencoder(1, hidden=(), shape=(1, 5, 5))
    images = spots(count, side=5)
    it = widgets.draw_digit(net.encode, net.decode, images, list(range(count)), examples=images[:1])
    told = ask(it, fine(images[0, 0]))
    assert it.board.about["nearest"] == len(told.notes) == count and told.notes[0] == "0 · 0.0"
    assert it.draw().png().startswith(b"\x89PNG")


# --- What a notebook gets -------------------------------------------------------------------------------------------


def test_a_notebook_gets_the_board_and_beside_it_the_described_still(model):
    it = drawing(model)
    shown, metadata = DisplayFormatter().format(it)
    assert shown[VIEW]["model_id"] == it.board.model_id and shown[VIEW]["version_major"] == 2
    still = it.draw()
    assert isinstance(still, plots.Picture)
    assert shown["image/png"] == still.png() and shown["text/plain"] == still.alt == metadata["image/png"]["alt"]
    assert VIEW not in metadata  # only Colab is told where the board's code is


def test_the_still_is_the_first_example_and_what_the_board_would_show_of_it(model):
    it = drawing(model)
    told = ask(it, fine(spots(30, seed=5)[0, 0]))
    still = it.draw()
    shown = [np.asarray(axes.images[0].get_array()) for axes in still.axes if axes.images]
    np.testing.assert_allclose(np.stack(shown), told.pictures / 255, atol=0.003)
    assert told.said in still.get_suptitle().replace("\n", " ")


def test_on_colab_the_notebook_is_told_where_the_boards_code_comes_from(model, monkeypatch):
    asked = []
    output = SimpleNamespace(
        enable_custom_widget_manager=lambda: asked.append(1), _widgets=SimpleNamespace(_installed_url="a/manager.js")
    )
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    _, metadata = drawing(model)._repr_mimebundle_()
    assert asked and metadata[VIEW] == {"colab": {"custom_widget_manager": {"url": "a/manager.js"}}}
    assert "alt" in metadata["image/png"]


def test_the_browser_gets_its_program_its_style_and_twenty_examples_and_loads_nothing_else(model):
    it = drawing(model)
    state = it.board.get_state()
    assert "export default { render }" in state["_esm"] and ".aetutor-draw" in state["_css"]
    for text in (state["_esm"], state["_css"]):
        addresses = re.sub(r"http://www\.w3\.org/2000/svg", "", text)  # a name, which nobody fetches
        assert not re.search(r"https?:|//cdn|\bimport\b|\bfetch\b|url\(|@import", addresses)
    assert bytes(state["examples"]) == spots(30, seed=5)[:20].numpy().tobytes()
    assert state["about"]["examples"] == 20 and state["about"]["side"] == SIDE


def test_two_boards_do_not_hear_each_other(model):
    one, two = drawing(model), drawing(model, labels=None)
    assert one.board.model_id != two.board.model_id
    assert "looks like" in ask(one, fine(spots(1)[0, 0])).said and "looks" not in ask(two, fine(spots(1)[0, 0])).said
