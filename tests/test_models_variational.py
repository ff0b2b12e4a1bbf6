"""What `models.VariationalAutoencoder` promises: its body's layers, an encoder of twice the width, and new images."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from aetutor import losses, measure, models, runtime, train

BODIES = {
    "dense": partial(models.DenseAutoencoder, 3, hidden=(7, 5), shape=(1, 8, 8)),
    "linear": partial(models.DenseAutoencoder, 1, hidden=(), shape=(3, 4, 6), output="none"),
    "conv": partial(models.ConvAutoencoder, 3, width=2, size=8),
    "conv, hidden, colour, not square": partial(
        models.ConvAutoencoder, 4, width=2, channels=3, size=(9, 14), hidden=256
    ),
}
bodies = pytest.mark.parametrize("name", BODIES)


def body(name):
    with runtime.seeded("weights"):
        return BODIES[name]()


def net(name="dense"):
    first = body(name)
    with runtime.seeded("weights", 1):
        return models.VariationalAutoencoder(first)


def images(shape, count=3, seed=0):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


# --- The network ------------------------------------------------------------------------------------------------


@bodies
@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_shapes_are_those_of_the_body_and_of_two_numbers_for_each_code_number(name, count):
    first, model = body(name), net(name)
    x = images(first.shape, count)
    assert (model.code, model.shape, model.output) == (first.code, first.shape, first.output)
    mu, logvar = model.posterior(x)
    assert mu.shape == logvar.shape == model.encode(x).shape == (count, first.code)
    assert model(x).shape == model.decode(mu).shape == model.logits(mu).shape == (count, *first.shape)
    assert model.sample(count).shape == (count, *first.shape)


@bodies
def test_mean_and_log_variance_are_two_linear_maps_of_the_bodys_last_hidden_layer(name):
    model = net(name)
    x = images(model.shape)
    h = model.encoder[:-1](x)
    (weight, bias), z = model.encoder[-1].parameters(), model.code
    mu, logvar = model.posterior(x)
    torch.testing.assert_close(mu, h @ weight[:z].T + bias[:z])
    torch.testing.assert_close(logvar, h @ weight[z:].T + bias[z:])
    assert not torch.allclose(mu, logvar)


@bodies
def test_encode_is_the_mean_and_the_call_decodes_it_without_a_draw(name):
    model = net(name).train()
    x, state = images(model.shape), torch.get_rng_state()
    assert torch.equal(model.encode(x), model.posterior(x)[0])
    assert torch.equal(model(x), model.decode(model.encode(x)))
    logits = model.logits(model.encode(x))
    assert torch.equal(model(x), logits.sigmoid() if model.output == "sigmoid" else logits)
    assert torch.equal(torch.get_rng_state(), state)


@bodies
def test_all_layers_but_the_last_of_the_encoder_are_the_bodys_own(name):
    first = body(name)
    model = models.VariationalAutoencoder(first)
    assert model.decoder is first.decoder
    assert all(a is b for a, b in zip(model.encoder[:-1], first.encoder[:-1], strict=True))
    assert torch.equal(model.decode(torch.ones(2, first.code)), first.decode(torch.ones(2, first.code)))
    last = first.encoder[-1]
    assert (model.encoder[-1].in_features, model.encoder[-1].out_features) == (last.in_features, 2 * last.out_features)


@bodies
def test_it_has_as_many_parameters_more_as_a_code_number_has_weights_and_a_bias(name):
    first, model = body(name), net(name)
    wide = {"dense": 5, "linear": 3 * 4 * 6, "conv": 4 * 2 * 2, "conv, hidden, colour, not square": 256}[name]
    assert models.parameters(model) == models.parameters(first) + (wide + 1) * first.code


def test_the_conv_network_with_a_hidden_layer_has_the_parameters_of_the_formula_by_hand():
    kernels, flat = 16 * 16 + 16 * 16 * 32, 32 * 7 * 7
    convolutions = 2 * kernels + (16 + 32) + (16 + 1)
    by_hand = convolutions + (flat + 1) * 256 + 257 * 2 * 20 + 21 * 256 + 257 * flat
    assert models.parameters(models.VariationalAutoencoder(models.ConvAutoencoder(20, hidden=256))) == by_hand


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_body_of_another_type_makes_a_network_of_that_type(dtype):
    model = models.VariationalAutoencoder(body("conv").to(dtype))
    x = images(model.shape).to(dtype)
    assert {p.dtype for p in model.parameters()} == {model(x).dtype, model.sample(2).dtype} == {dtype}


def test_a_body_on_another_device_makes_a_network_there():
    model = models.VariationalAutoencoder(body("conv").to("meta"))
    assert {p.device.type for p in model.parameters()} == {model.sample(2).device.type} == {"meta"}


def test_an_autoencoder_of_ones_own_will_do():
    class Own(models.Autoencoder):
        def __init__(self):
            super().__init__()
            self.code, self.shape, self.output = 2, (1, 4, 4), "sigmoid"
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
            self.decoder = nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, self.shape))

    model = models.VariationalAutoencoder(Own())
    assert model(images((1, 4, 4))).shape == (3, 1, 4, 4) and model.posterior(images((1, 4, 4)))[1].shape == (3, 2)


# --- New images -------------------------------------------------------------------------------------------------


def identity_decoder(code=4):
    """A network whose decoder hands on the code as it is."""
    model = models.VariationalAutoencoder(models.DenseAutoencoder(code, hidden=(), shape=(1, 2, 2), output="none"))
    with torch.no_grad():
        model.decoder[0].weight.copy_(torch.eye(4))
        model.decoder[0].bias.zero_()
    return model


def test_the_codes_of_new_images_are_standard_normal_and_independent():
    z = identity_decoder().sample(40_000, generator=runtime.stream("test")).flatten(1).double()  # (40000, 4)
    assert (z.mean(0).abs() < 5 / 200).all()  # standard error 1 / √40000
    torch.testing.assert_close(z.T.cov(), torch.eye(4, dtype=torch.float64), rtol=0, atol=5 * 2**0.5 / 200)
    assert (z.pow(4).mean(0) - 3).abs().max() < 5 * 96**0.5 / 200  # kurtosis, variance E z⁸ − 9 = 96
    between = torch.corrcoef(torch.stack([z[:-1, 0], z[1:, 0]]))[0, 1]
    assert abs(between) < 5 / 200  # one image from the next


@bodies
def test_a_new_image_is_a_decoded_code(name):
    model = net(name)
    z = torch.randn(5, model.code, generator=torch.Generator().manual_seed(3))
    found = model.sample(5, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, model.decode(z), rtol=0, atol=0)
    assert not found.requires_grad


def test_new_images_repeat_with_the_generator_and_go_on_with_it():
    model = net()
    stream = runtime.stream("new")
    first, second = model.sample(4, generator=stream), model.sample(4, generator=stream)
    assert torch.equal(model.sample(4, generator=runtime.stream("new")), first) and not torch.equal(first, second)


def test_without_a_generator_new_images_follow_torchs_global_one_and_with_one_they_leave_it_alone():
    model = net()
    with runtime.seeded("new"):
        first = model.sample(4)
    with runtime.seeded("new"):
        assert torch.equal(model.sample(4), first)
        state = torch.get_rng_state()
        model.sample(4, generator=runtime.stream("new"))
        assert torch.equal(torch.get_rng_state(), state)


# --- With the rest of the course --------------------------------------------------------------------------------


LEARNERS = [
    partial(models.DenseAutoencoder, 3, hidden=(64,), shape=(1, 8, 8)),
    partial(models.ConvAutoencoder, 3, width=4, size=8, hidden=32),
]


@pytest.mark.parametrize("make", LEARNERS, ids=["dense", "conv"])
def test_it_learns_with_the_elbo_as_objective_and_beta_trades_reconstruction_for_kl(tiny, make):
    x, floor, errors, kls = tiny.test.float() / 255, measure.floors(tiny, code=3)["mean image"], [], []
    for objective in (losses.negative_elbo, partial(losses.negative_elbo, beta=4.0)):
        with runtime.seeded("weights"):
            model = models.VariationalAutoencoder(make())
        history = train.fit(model, tiny, objective=objective, epochs=30, batch=50, lr=0.01, device="cpu")
        assert history.rows[-1].train < history.rows[0].train - 10
        assert history.best.valid < history.rows[0].valid - 5
        errors.append(measure.reconstruction_error(model, tiny.test))
        kls.append(losses.gaussian_kl(*model.posterior(x)).mean().item())
    assert errors[0] < 0.5 * floor and errors[0] < 0.5 * errors[1]
    assert kls[0] > 1 and kls[0] > 2 * kls[1]


def test_several_are_trained_at_once(tiny):
    pair = [net(), net()]
    histories = train.fit_many(pair, tiny, objective=losses.negative_elbo, epochs=3, lr=0.01, device="cpu")
    for history in histories:
        assert history.rows[-1].train < history.rows[0].train


def test_the_scores_take_it_as_they_take_any_autoencoder(tiny):
    model = net("conv")
    x = tiny.test.float() / 255
    found = measure.reconstruction_error(model, tiny.test, batch=40)
    assert found == pytest.approx((model(x) - x).square().mean().item(), rel=1e-5)
    torch.testing.assert_close(measure.codes(model, tiny.test, batch=40), model.posterior(x)[0].detach())


@bodies
def test_gradients_of_the_elbo_reach_every_parameter(name):
    model = net(name)
    losses.negative_elbo(model, images(model.shape, 32)).sum().backward()
    for part, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, part


@bodies
def test_a_copy_is_the_same_network_and_shares_nothing(name):
    model = net(name)
    twin, x = copy.deepcopy(model), images(model.shape)
    assert all(torch.equal(a, b) for a, b in zip(twin.posterior(x), model.posterior(x), strict=True))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    fresh = net(name)
    assert torch.equal(model(x), fresh(x)) and not torch.equal(twin.encode(x), model.encode(x))


@bodies
def test_weights_saved_as_safetensors_make_the_same_network_again(name, tmp_path):
    trained, fresh = net(name), models.VariationalAutoencoder(BODIES[name]())
    x = images(trained.shape)
    assert not torch.equal(trained.encode(x), fresh.encode(x))
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert all(torch.equal(a, b) for a, b in zip(trained.posterior(x), fresh.posterior(x), strict=True))
    assert torch.equal(trained(x), fresh(x))


# --- What is refused --------------------------------------------------------------------------------------------


def without_linear():
    wrong = body("dense")
    wrong.encoder = nn.Sequential(*wrong.encoder, nn.Tanh())
    return wrong


def of_another_code():
    wrong = body("dense")
    wrong.code = 2
    return wrong


def no_sequential():
    wrong = body("dense")
    wrong.encoder = wrong.encoder[-1]
    return wrong


def no_autoencoder():
    wrong = nn.Module()
    wrong.code, wrong.shape, wrong.output = 3, (1, 8, 8), "sigmoid"
    wrong.encoder, wrong.decoder = body("dense").encoder, body("dense").decoder
    return wrong


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: nn.Linear(2, 2), "Linear"),
        (no_autoencoder, "Module"),
        (lambda: models.Denoiser(2), "Denoiser"),
        (models.Autoencoder, "Autoencoder"),
        (without_linear, "DenseAutoencoder"),
        (of_another_code, "DenseAutoencoder"),
        (no_sequential, "DenseAutoencoder"),
        (net, "VariationalAutoencoder"),
        (lambda: models.ConvAutoencoder, "the class ConvAutoencoder"),
        (lambda: 16, "int"),
        (lambda: None, "NoneType"),
    ],
)
def test_a_body_that_is_no_autoencoder_ending_in_a_linear_layer_is_refused_and_so_is_a_variational_one(make, found):
    with pytest.raises(TypeError, match=rf"body is {found}; expected an Autoencoder whose encoder .*nn\.Linear\(…, co"):
        models.VariationalAutoencoder(make())


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
    for call in (model, model.encode, model.posterior):
        with pytest.raises(ValueError, match=rf"got {found} ?; expected a tensor of torch\.float32.*to_unit\(pixels\)"):
            call(wrong)


def test_images_and_codes_of_another_shape_are_refused():
    model = net()
    for call in (model, model.encode, model.posterior):
        with pytest.raises(ValueError, match=r"\(2, 3, 8, 8\); expected \(B, 1, 8, 8\): build the model for"):
            call(torch.zeros(2, 3, 8, 8))
    for call in (model.decode, model.logits):
        with pytest.raises(ValueError, match=r"\(2, 6\); expected \(B, 3\)"):  # mu and logvar together are no code
            call(torch.zeros(2, 6))
