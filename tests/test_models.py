"""What `aetutor.models` promises: the network that was asked for, whatever its widths and image shape."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from aetutor import models
from aetutor.models import DenseAutoencoder

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
        assert ("build the model with shape=(3, 8, 8)" in str(refused.value)) == (wrong.dim() == 4)


@pytest.mark.parametrize("wrong", [torch.zeros(2), torch.zeros(3, 3), torch.zeros(1, 3, 2)])
def test_a_code_of_another_length_is_refused(wrong):
    model = DenseAutoencoder(2, shape=(1, 8, 8))
    for call in (model.decode, model.logits):
        with pytest.raises(ValueError, match=r"expected \(B, 2\)"):
            call(wrong)
