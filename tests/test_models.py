"""What `aetutor.models` promises: the network that was asked for, whatever its widths and image shape."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from aetutor import models, runtime
from aetutor.models import Autoencoder, ConvAutoencoder, DenseAutoencoder

HIDDEN = [(), (5,), (16, 9), (4, 4, 4, 4)]
SHAPES = [(1, 8, 8), (3, 5, 7), (1, 1, 1), (4, 2, 3)]


def images(shape, count=3, seed=0):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("code", [1, 6])
def test_code_and_reconstruction_have_the_shapes_that_were_asked_for(hidden, shape, code):
    model, x = DenseAutoencoder(code, hidden=hidden, shape=shape), images(shape)
    z = model.encode(x)
    assert z.shape == (3, code)
    assert model.decode(z).shape == model.logits(z).shape == model(x).shape == x.shape


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_number_of_parameters_is_that_of_the_formula_by_hand(hidden, shape):
    widths = [shape[0] * shape[1] * shape[2], *hidden, 6]
    encoder = sum((a + 1) * b for a, b in pairwise(widths))  # a weights and one bias per unit
    decoder = sum((b + 1) * a for a, b in pairwise(widths))
    assert models.parameters(DenseAutoencoder(6, hidden=hidden, shape=shape)) == encoder + decoder


def test_the_default_network_has_419_120_parameters():
    assert models.parameters(DenseAutoencoder()) == 785 * 256 + 257 * 32 + 33 * 256 + 257 * 784 == 419_120


def test_parameters_counts_shared_tensors_once_and_frozen_ones_not_at_all():
    layer = nn.Linear(3, 2)
    assert models.parameters(nn.Sequential(layer, layer)) == 8
    layer.bias.requires_grad_(False)
    assert models.parameters(nn.Sequential(layer, nn.BatchNorm1d(2))) == 6 + 4


def test_the_network_is_the_written_out_product_of_its_matrices():
    model, x = DenseAutoencoder(2, hidden=(5,), shape=(1, 3, 4)), images((1, 3, 4))
    w = model.state_dict()
    h = (x.flatten(1) @ w["encoder.1.weight"].T + w["encoder.1.bias"]).clamp_min(0)
    z = h @ w["encoder.3.weight"].T + w["encoder.3.bias"]
    h = (z @ w["decoder.0.weight"].T + w["decoder.0.bias"]).clamp_min(0)
    logits = h @ w["decoder.2.weight"].T + w["decoder.2.bias"]
    torch.testing.assert_close(model.encode(x), z)
    torch.testing.assert_close(model(x), 1 / (1 + torch.exp(-logits.view(3, 1, 3, 4))))


def test_a_single_width_means_a_list_of_one():
    assert str(DenseAutoencoder(hidden=7)) == str(DenseAutoencoder(hidden=(7,))) == str(DenseAutoencoder(hidden=[7]))


def test_a_sigmoid_keeps_every_output_in_0_to_1_and_no_sigmoid_does_not():
    z = 1000 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    bounded = DenseAutoencoder(2, shape=(1, 8, 8)).decode(z)
    assert bounded.min() >= 0 and bounded.max() <= 1
    free = DenseAutoencoder(2, shape=(1, 8, 8), output="none").decode(z)
    assert free.min() < 0 and free.max() > 1


def test_without_hidden_layers_and_sigmoid_the_network_is_affine_and_with_either_it_is_not():
    x, y = images((1, 4, 4)).double(), images((1, 4, 4), seed=1).double()

    def bend(**how):
        """How far the image of a point between x and y is from the point between their images."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = DenseAutoencoder(3, shape=(1, 4, 4), **how).double()
        return (model(0.3 * x + 0.7 * y) - (0.3 * model(x) + 0.7 * model(y))).abs().max().item()

    assert bend(hidden=(), output="none") < 1e-12
    assert bend(hidden=(), output="sigmoid") > 1e-6
    assert bend(hidden=(8,), output="none") > 1e-6


@pytest.mark.parametrize("hidden", [(), (32,), (32, 16), (32, 32, 32, 32)])
def test_gradients_reach_every_parameter(hidden):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DenseAutoencoder(3, hidden=hidden, shape=(1, 4, 4))
    x = images((1, 4, 4), count=64)
    (model(x) - x).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_weights_saved_as_safetensors_make_the_same_network_again(tmp_path):
    trained, fresh = (DenseAutoencoder(3, hidden=(8, 5), shape=(3, 4, 4)) for _ in range(2))
    x = images((3, 4, 4))
    assert not torch.equal(trained(x), fresh(x))
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(trained(x), fresh(x))


def test_numpys_whole_numbers_will_do_and_are_kept_as_pythons():
    model = DenseAutoencoder(np.int64(2), hidden=np.array([5, 4]), shape=np.array([1, 8, 8]))
    assert str(model) == str(DenseAutoencoder(2, hidden=(5, 4), shape=(1, 8, 8)))
    assert str(DenseAutoencoder(hidden=np.int32(7))) == str(DenseAutoencoder(hidden=(7,)))
    assert {type(n) for n in (model.code, *model.hidden, *model.shape)} == {int}
    assert model(images((1, 8, 8))).shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"code": 0}, "code holds 0"),
        ({"code": 2.0}, "code holds 2.0"),
        ({"code": True}, "code holds True"),
        ({"code": np.True_}, "code holds"),
        ({"code": np.float64(2)}, "code holds"),
        ({"hidden": (8, -1)}, "hidden holds -1"),
        ({"shape": (1, 0, 8)}, "shape holds 0"),
        ({"shape": (28, 28)}, r"expected \(channels, height, width\)"),
        ({"output": "relu"}, 'expected "sigmoid" or "none"'),
    ],
)
def test_a_network_that_cannot_be_is_refused(how, message):
    with pytest.raises(ValueError, match=message):
        DenseAutoencoder(**how)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "Tensor torch.uint8"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.float64), "Tensor torch.float64"),
        (np.zeros((2, 1, 8, 8), np.float32), "ndarray float32"),
        ([[0.0]], "list"),
    ],
    ids=str,
)
def test_images_of_another_type_are_refused_with_what_makes_them(wrong, found):
    model = DenseAutoencoder(2, shape=(1, 8, 8))
    for call in (model, model.encode):
        with pytest.raises(ValueError, match=rf"got {found} ?; expected a tensor of torch\.float32.*to_unit\(pixels\)"):
            call(wrong)


def test_images_of_the_weights_own_type_are_taken():
    x = images((1, 8, 8)).double()
    assert DenseAutoencoder(2, shape=(1, 8, 8)).double()(x).dtype == torch.float64


@pytest.mark.parametrize("wrong", [torch.zeros(1, 8, 8), torch.zeros(2, 64), torch.zeros(2, 3, 8, 8)])
def test_images_of_another_shape_are_refused_with_both_shapes_and_what_to_do(wrong):
    model = DenseAutoencoder(2, shape=(1, 8, 8))
    for call in (model, model.encode):
        with pytest.raises(ValueError, match=r"expected \(B, 1, 8, 8\)") as refused:
            call(wrong)
        assert str(tuple(wrong.shape)) in str(refused.value)
        assert ("build the model for images of (3, 8, 8)" in str(refused.value)) == (wrong.dim() == 4)


@pytest.mark.parametrize("wrong", [torch.zeros(2), torch.zeros(3, 3), torch.zeros(1, 3, 2)])
def test_a_code_of_another_length_is_refused(wrong):
    model = DenseAutoencoder(2, shape=(1, 8, 8))
    for call in (model.decode, model.logits):
        with pytest.raises(ValueError, match=r"expected \(B, 2\)"):
            call(wrong)


# --- The convolutional network --------------------------------------------------------------------------------

SIZES = [(28, 28), (29, 29), (30, 30), (31, 31), (4, 4), (5, 5), (7, 4), (6, 9), (5, 32), (33, 8)]


def conv(code=3, seed=0, **how):
    with runtime.seeded("weights", seed):
        return ConvAutoencoder(code, **{"width": 2, "size": 8} | how)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("channels", "width", "hidden", "code"), [(1, 1, 0, 1), (3, 2, 5, 6)])
def test_conv_code_and_reconstruction_have_the_shapes_that_were_asked_for(size, channels, width, hidden, code):
    model = conv(code, width=width, channels=channels, size=size, hidden=hidden)
    x = images((channels, *size))
    z = model.encode(x)
    assert z.shape == (3, code) and model.shape == (channels, *size)
    assert model.decode(z).shape == model.logits(z).shape == model(x).shape == x.shape


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("channels", "width", "hidden", "code"), [(1, 1, 0, 1), (1, 16, 0, 32), (3, 2, 5, 6)])
def test_conv_the_number_of_parameters_is_that_of_the_formula_by_hand(size, channels, width, hidden, code):
    flat = 2 * width * (size[0] // 4) * (size[1] // 4)
    widths = (flat, hidden, code) if hidden else (flat, code)
    kernels = 16 * channels * width + 16 * width * 2 * width
    encoder = kernels + width + 2 * width + sum((a + 1) * b for a, b in pairwise(widths))
    decoder = kernels + width + channels + sum((b + 1) * a for a, b in pairwise(widths))
    model = conv(code, width=width, channels=channels, size=size, hidden=hidden)
    assert models.parameters(model) == encoder + decoder


def test_the_default_conv_network_has_118_913_parameters():
    kernels = 16 * 16 + 16 * 16 * 32
    by_hand = 2 * kernels + (16 + 32) + (16 + 1) + 32 * 7 * 7 * 32 * 2 + 32 + 32 * 7 * 7
    assert models.parameters(ConvAutoencoder()) == by_hand == 118_913


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("size", [(8, 8), (9, 11)], ids=str)
def test_the_conv_network_is_the_written_out_chain_of_its_layers(size, hidden):
    model, x = conv(2, channels=3, size=size, hidden=hidden), images((3, *size))
    w = list(model.parameters())  # weight, bias, weight, bias, …, in the order of the layers
    a = [w[i : i + 2] for i in range(0, len(w), 2)]

    def silu(x):
        return x / (1 + torch.exp(-x))

    h = silu(F.conv2d(x, *a[0], stride=2, padding=1))
    h = silu(F.conv2d(h, *a[1], stride=2, padding=1))
    maps = h.shape[1:]
    assert maps == (4, size[0] // 4, size[1] // 4)
    h = h.flatten(1)
    if hidden:
        z = silu(h @ a[2][0].T + a[2][1]) @ a[3][0].T + a[3][1]
        h = silu(silu(z @ a[4][0].T + a[4][1]) @ a[5][0].T + a[5][1])
    else:
        z = h @ a[2][0].T + a[2][1]
        h = silu(z @ a[3][0].T + a[3][1])
    torch.testing.assert_close(model.encode(x), z)
    # A transposed convolution that gives a row or column too few, where a side was odd, is asked for it.
    for kernel, side in [(a[-2], [size[0] // 2, size[1] // 2]), (a[-1], size)]:
        h = h.view(len(x), *maps) if h.dim() == 2 else silu(h)
        more = [now - 2 * then for now, then in zip(side, h.shape[2:], strict=True)]
        h = F.conv_transpose2d(h, *kernel, stride=2, padding=1, output_padding=more)
    torch.testing.assert_close(model.logits(z), h)
    torch.testing.assert_close(model.decode(z), h.sigmoid())
    torch.testing.assert_close(model(x), h.sigmoid())


@pytest.mark.parametrize("size", [(8, 8), (9, 9), (10, 10), (11, 11), (5, 7)], ids=str)
def test_every_pixel_is_seen_by_the_encoder_and_reached_by_the_decoder(size):
    model, x = conv(4, size=size).double(), images((1, *size), count=16).double().requires_grad_()
    model.encode(x).sum().backward()
    assert (x.grad.abs().sum(0) > 0).all()
    z = torch.randn(16, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (model.logits(z).std(0) > 0).all()  # none hangs on its bias alone


def test_the_decoder_lays_no_checkerboard_since_its_kernels_cover_every_pixel_equally_often():
    model = conv(activation=nn.Identity, size=32)
    transposed = [layer for layer in model.decoder if isinstance(layer, nn.ConvTranspose2d)]
    assert len(transposed) == 2
    for layer in transposed:
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
        inside = layer(torch.ones(1, layer.in_channels, 8, 8))[..., 2:-2, 2:-2]
        assert inside.min() == inside.max() > 0


def test_a_single_size_means_a_square():
    assert str(ConvAutoencoder(size=12)) == str(ConvAutoencoder(size=(12, 12))) == str(ConvAutoencoder(size=[12, 12]))


def test_the_width_is_that_of_the_first_layer_and_the_second_has_twice_as_many_maps():
    layers = [
        layer for layer in conv(width=5, channels=3).modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    assert [(layer.in_channels, layer.out_channels) for layer in layers] == [(3, 5), (5, 10), (10, 5), (5, 3)]


@pytest.mark.parametrize("hidden", [0, 6])
def test_an_activation_stands_between_all_layers_of_conv_and_none_after_the_last(hidden):
    x, y = images((1, 8, 8)).double(), images((1, 8, 8), seed=1).double()
    z, u = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def bend(f, a, b):
        return (f(0.3 * a + 0.7 * b) - (0.3 * f(a) + 0.7 * f(b))).abs().max().item()

    plain = conv(hidden=hidden, activation=nn.Identity, output="none").double()
    assert bend(plain, x, y) < 1e-12
    assert bend(conv(hidden=hidden, activation=nn.Identity).double(), x, y) > 1e-10  # the sigmoid alone
    bent = conv(hidden=hidden, output="none").double()
    assert bend(bent.encode, x, y) > 1e-10 and bend(bent.decode, z, u) > 1e-10
    for kind in (nn.SiLU, nn.Tanh):
        model = conv(hidden=hidden, activation=kind)
        found = [type(layer) for part in (model.encoder, model.decoder) for layer in part]
        learnt = [type(layer) for layer in model.modules() if list(layer.parameters(recurse=False))]
        assert found.count(kind) == len(learnt) - 2  # after each that learns, but for the code's and the image's
    assert not isinstance(model.encoder[-1], nn.Tanh) and not isinstance(model.decoder[-1], nn.Tanh)


def test_a_sigmoid_keeps_every_conv_output_in_0_to_1_and_no_sigmoid_does_not():
    z = 1000 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    bounded = conv().decode(z)
    assert bounded.min() >= 0 and bounded.max() <= 1
    free = conv(output="none")
    assert free.decode(z).min() < 0 and free.decode(z).max() > 1 and torch.equal(free.decode(z), free.logits(z))


@pytest.mark.parametrize(("hidden", "channels", "size"), list(product([0, 32], [1, 3], [(8, 8), (9, 7)])))
def test_gradients_reach_every_parameter_of_conv(hidden, channels, size):
    model, x = conv(hidden=hidden, channels=channels, size=size), images((channels, *size), count=64)
    (model(x) - x).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_conv_weights_saved_as_safetensors_make_the_same_network_again(tmp_path):
    trained, fresh = (conv(hidden=5, channels=3, size=(9, 8), seed=seed) for seed in (0, 1))
    x = images((3, 9, 8))
    assert not torch.equal(trained(x), fresh(x))
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(trained(x), fresh(x))


def test_conv_takes_numpys_whole_numbers_and_keeps_them_as_pythons():
    given = ConvAutoencoder(
        np.int64(2), width=np.int32(3), channels=np.int8(1), size=np.array([8, 9]), hidden=np.int64(5)
    )
    assert str(given) == str(ConvAutoencoder(2, width=3, channels=1, size=(8, 9), hidden=5))
    assert str(ConvAutoencoder(size=np.int32(12))) == str(ConvAutoencoder(size=12))
    assert {type(n) for n in (given.code, given.width, given.hidden, *given.shape)} == {int}
    assert given(images((1, 8, 9))).shape == (3, 1, 8, 9)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"code": 0}, "code holds 0; expected a whole number of 1 or more"),
        ({"code": 2.0}, "code holds 2.0"),
        ({"code": True}, "code holds True"),
        ({"width": 0}, "width holds 0"),
        ({"width": 1.5}, "width holds 1.5"),
        ({"channels": 0}, "channels holds 0"),
        ({"channels": None}, "channels holds None"),
        ({"size": 3}, "size holds 3; expected a whole number of 4 or more"),
        ({"size": (28, 3)}, "size holds 3; expected a whole number of 4 or more"),
        ({"size": (28.0, 28)}, "size holds 28.0"),
        ({"size": True}, "size holds True"),
        ({"size": (28,)}, r"size is \(28,\); expected pixels, as in 28, or \(height, width\)"),
        ({"size": (1, 28, 28)}, r"size is \(1, 28, 28\); expected pixels"),
        ({"hidden": -1}, "hidden holds -1; expected a whole number of 0 or more"),
        ({"hidden": True}, "hidden holds True"),
        ({"hidden": (256,)}, r"hidden holds \(256,\)"),
        ({"output": "relu"}, 'expected "sigmoid" or "none"'),
    ],
    ids=str,
)
def test_a_conv_network_that_cannot_be_is_refused(how, message):
    with pytest.raises(ValueError, match=message):
        ConvAutoencoder(**how)


def test_conv_refuses_images_and_codes_of_another_type_or_shape_with_both_shapes():
    model = conv(2)
    for wrong in (torch.zeros(1, 8, 8), torch.zeros(2, 64), torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 9)):
        for call in (model, model.encode):
            with pytest.raises(ValueError, match=r"expected \(B, 1, 8, 8\)") as refused:
                call(wrong)
            assert str(tuple(wrong.shape)) in str(refused.value)
    with pytest.raises(ValueError, match=r"got Tensor torch\.uint8; expected a tensor of torch\.float32"):
        model(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    for wrong in (torch.zeros(2), torch.zeros(3, 3), torch.zeros(1, 2, 2)):
        for call in (model.decode, model.logits):
            with pytest.raises(ValueError, match=r"expected \(B, 2\)"):
                call(wrong)


def test_a_network_of_a_readers_own_gets_its_ways_through_from_autoencoder():
    class Own(Autoencoder):
        def __init__(self, output):
            super().__init__()
            self.code, self.shape, self.output = 2, (1, 4, 4), output
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
            self.decoder = nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4)))

    x, own = images((1, 4, 4)), Own("sigmoid")
    torch.testing.assert_close(own(x), own.decoder(own.encoder(x)).sigmoid())
    own.output = "none"
    torch.testing.assert_close(own(x), own.logits(own.encode(x)))
    with pytest.raises(ValueError, match=r"expected \(B, 1, 4, 4\)"):
        own(images((1, 5, 4)))
