"""What `models.Denoiser` promises: an image of the same size in [0, 1], from pixels as far as its depth reaches."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aetutor import models, runtime


def net(width=6, *, seed=0, **how):
    with runtime.seeded("weights", seed):
        return models.Denoiser(width, **how)


def noisy(channels=1, height=8, width=8, count=3, seed=0):
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("size", [(8, 8), (2, 2), (6, 14), (28, 4)], ids=str)
@pytest.mark.parametrize(
    ("channels", "extra", "depth", "width"), [(1, 0, 1, 1), (3, 0, 2, 5), (1, 1, 3, 4), (3, 2, 2, 7)]
)
def test_code_and_image_have_the_shapes_that_were_asked_for(count, size, channels, extra, depth, width):
    model, x = net(width, depth=depth, channels=channels, extra=extra), noisy(channels + extra, *size, count=count)
    z = model.encode(x)
    assert z.shape == (count, width, size[0] // 2, size[1] // 2)
    assert model(x).shape == model.decode(z).shape == model.logits(z).shape == (count, channels, *size)


@pytest.mark.parametrize("extra", [0, 1])
def test_the_call_is_the_decoder_of_the_encoder(extra):
    model, x = net(channels=3, extra=extra), noisy(3 + extra)
    assert torch.equal(model(x), model.decode(model.encode(x)))
    assert torch.equal(model(x), model.logits(model.encode(x)).sigmoid())


def test_the_network_is_the_written_out_chain_of_its_layers():
    model, x = net(4, depth=2, channels=3, extra=1).double(), noisy(4, 6, 10).double()
    (w0, b0), (w1, b1), (w2, b2) = zip(*[iter(model.parameters())] * 2, strict=True)
    # Channel c of a pixel at (2i + a, 2j + b) becomes channel 4c + 2a + b at (i, j), and back.
    h = torch.stack([x[:, c, a::2, b::2] for c in range(4) for a in range(2) for b in range(2)], 1)
    for weight, bias in ((w0, b0), (w1, b1)):
        h = F.conv2d(h, weight, bias, padding=1)
        h = h / (1 + torch.exp(-h))
    torch.testing.assert_close(model.encode(x), h)
    h = F.conv2d(h, w2, b2, padding=1)
    out = torch.empty(3, 3, 6, 10, dtype=torch.float64)
    for c in range(3):
        for a in range(2):
            for b in range(2):
                out[:, c, a::2, b::2] = h[:, 4 * c + 2 * a + b]
    torch.testing.assert_close(model(x), 1 / (1 + torch.exp(-out)))


def test_every_output_lies_in_0_to_1_however_wild_the_input():
    out = net()(1e4 * noisy(count=50))
    assert out.min() >= 0 and out.max() <= 1 and out.isfinite().all()


@pytest.mark.parametrize(
    ("width", "depth", "channels", "extra"), [(1, 1, 1, 0), (5, 3, 3, 0), (8, 2, 1, 1), (4, 4, 3, 2)]
)
def test_the_number_of_parameters_is_that_of_the_formula_by_hand(width, depth, channels, extra):
    first = 9 * 4 * (channels + extra) * width + width
    between = (depth - 1) * (9 * width * width + width)
    last = 9 * width * 4 * channels + 4 * channels
    model = net(width, depth=depth, channels=channels, extra=extra)
    assert models.parameters(model) == first + between + last


def test_the_default_network_has_30_084_parameters():
    by_hand = (9 * 4 + 1) * 32 + 3 * (9 * 32 + 1) * 32 + (9 * 32 + 1) * 4
    assert models.parameters(models.Denoiser()) == by_hand == 30_084


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize(("row", "column"), [(20, 20), (21, 21), (21, 20)])
def test_a_pixel_reaches_as_many_outputs_as_the_convolutions_span_at_half_size(depth, row, column):
    model, x = net(8, depth=depth).double(), noisy(height=42, width=42, count=1).double()
    other = x.clone()
    other[..., row, column] += 1
    with torch.no_grad():
        changed = (model.logits(model.encode(other)) != model.logits(model.encode(x)))[0, 0]
    cells = 2 * (depth + 1) + 1  # each of depth + 1 convolutions adds a cell of 2 × 2 pixels on either side
    rows, columns = (changed.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    for found, place in ((rows, row), (columns, column)):
        first = 2 * (place // 2 - (depth + 1))
        assert found == list(range(first, first + 2 * cells))
    assert changed.sum() == (2 * cells) ** 2


def test_a_further_channel_is_listened_to():
    model, x = net(channels=1, extra=1), noisy(2)
    other = x.clone()
    other[:, 1] += 0.5
    assert not torch.allclose(model(x), model(other))


@pytest.mark.parametrize("depth", [1, 5])
def test_gradients_reach_every_weight(depth):
    model, x = net(depth=depth, channels=3, extra=1), noisy(4)
    (model(x) - x[:, :3]).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and (parameter.grad != 0).all(), name


def test_an_activation_stands_after_every_layer_of_the_code_and_none_after_the_last():
    model = net(depth=3, activation=nn.Tanh)
    assert [type(layer).__name__ for layer in model.encoder] == ["PixelUnshuffle"] + ["Conv2d", "Tanh"] * 3
    assert [type(layer).__name__ for layer in model.decoder] == ["Conv2d", "PixelShuffle"]
    assert model.encode(9 * noisy()).abs().max() <= 1


def test_numpys_whole_numbers_will_do_and_are_kept_as_pythons():
    model = models.Denoiser(np.int64(4), depth=np.int32(2), channels=np.int64(1), extra=np.int64(1))
    assert str(model) == str(models.Denoiser(4, depth=2, extra=1))
    assert {type(n) for n in (model.width, model.depth, model.channels, model.extra)} == {int}


def test_images_of_the_weights_own_type_are_taken():
    assert net().double()(noisy().double()).dtype == torch.float64
    assert net().bfloat16()(noisy().bfloat16()).dtype == torch.bfloat16


# --- What is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"width": 0}, "width holds 0; expected a whole number of 1 or more"),
        ({"width": 2.0}, "width holds 2.0"),
        ({"width": True}, "width holds True"),
        ({"depth": 0}, "depth holds 0; expected a whole number of 1 or more"),
        ({"channels": 0}, "channels holds 0"),
        ({"channels": None}, "channels holds None"),
        ({"extra": -1}, "extra holds -1; expected a whole number of 0 or more"),
        ({"extra": 0.5}, "extra holds 0.5"),
    ],
    ids=str,
)
def test_a_network_that_cannot_be_is_refused(how, message):
    with pytest.raises(ValueError, match=message):
        models.Denoiser(**how)


@pytest.mark.parametrize("shape", [(3, 1, 7, 8), (3, 1, 8, 7), (3, 2, 8, 8), (3, 4, 8, 8), (1, 8, 8), (3, 64)], ids=str)
def test_images_of_odd_size_or_with_other_channels_are_refused_with_both_shapes(shape):
    model = net(channels=3) if shape[1] == 1 else net()
    for call in (model, model.encode):
        with pytest.raises(ValueError, match=r"expected \(B, [13], H, W\) with even H and W") as refused:
            call(torch.zeros(shape))
        assert str(shape) in str(refused.value) and "beyond" not in str(refused.value)


@pytest.mark.parametrize("size", [(7, 8), (8, 7)], ids=str)
def test_an_odd_size_alone_is_refused(size):
    with pytest.raises(ValueError, match="with even H and W"):
        net()(noisy(1, *size))


def test_a_missing_further_channel_is_named():
    with pytest.raises(ValueError, match=r"\(3, 1, 8, 8\); expected \(B, 2, H, W\).*, 1 of the channels beyond"):
        net(extra=1)(noisy())


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
    model = net()
    for call in (model, model.encode):
        with pytest.raises(ValueError, match=rf"got {found} ?; expected a tensor of torch\.float32.*to_unit\(pixels\)"):
            call(wrong)


@pytest.mark.parametrize("shape", [(3, 5, 4, 4), (6, 4, 4), (3, 6)], ids=str)
def test_a_code_with_another_number_of_maps_is_refused(shape):
    model = net(6)
    for call in (model.decode, model.logits):
        with pytest.raises(ValueError, match=r"expected \(B, 6, H/2, W/2\)"):
            call(torch.zeros(shape))
