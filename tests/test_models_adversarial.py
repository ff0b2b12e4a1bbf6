"""What `models.Generator`, `Discriminator` and `Adversarial` promise: two players, and new images from the first."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from aetutor import losses, models, runtime, train

SHAPES = {"grey": (1, 8, 8), "colour": (3, 8, 8), "wide": (1, 8, 20), "high, colour": (3, 12, 4)}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
CODE = 5


def made(kind, shape=(1, 8, 8), number=0, **how):
    with runtime.seeded("weights", number):
        return kind(width=2, channels=shape[0], size=shape[1:], **how)


def generator(shape=(1, 8, 8), number=0):
    """A generator whose running averages have moved from where they start, as training moves them."""
    model = made(models.Generator, shape, number, code=CODE)
    with torch.no_grad():
        for seed in range(3):
            model.train()(codes(50, seed=seed))
    return model


def autoencoder(kind="conv"):
    with runtime.seeded("weights"):
        body = models.ConvAutoencoder(CODE, width=2, size=8)
        return models.VariationalAutoencoder(body) if kind == "variational" else body


GENERATORS = {
    "generator": generator,
    "conv": autoencoder,
    "variational": partial(autoencoder, "variational"),
}
generators = pytest.mark.parametrize("name", GENERATORS)


def net(name="generator"):
    return models.Adversarial(GENERATORS[name](), made(models.Discriminator))


def codes(count=3, seed=0):
    return torch.randn(count, CODE, generator=torch.Generator().manual_seed(seed))


def images(shape=(1, 8, 8), count=3, seed=0):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


# --- The two players --------------------------------------------------------------------------------------------


@shapes
@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_codes_become_images_in_0_1_and_images_one_logit_each(shape, count, training):
    maker, judge = made(models.Generator, shape, code=CODE), made(models.Discriminator, shape)
    maker.train(training and count * shape[1] * shape[2] > 16)  # of a single number, there is no variance
    x = maker(codes(count))
    assert maker.shape == judge.shape == shape and maker.code == CODE
    assert x.shape == (count, *shape) and ((x >= 0) & (x <= 1)).all()
    assert judge(x).shape == judge(images(shape, count)).shape == (count,)


@shapes
def test_parameters_are_those_of_the_formula_by_hand(shape):
    channels, width, flat = shape[0], 2, 4 * (shape[1] // 4) * (shape[2] // 4)
    kernels = 16 * (channels * width + width * 2 * width)
    normalised = 2 * (2 * width + width)  # a scale and a shift for each map
    maker, judge = made(models.Generator, shape, code=CODE), made(models.Discriminator, shape)
    assert models.parameters(maker) == (CODE + 1) * flat + kernels + (width + channels) + normalised
    assert models.parameters(judge) == kernels + (width + 2 * width) + flat + 1


def test_without_arguments_they_are_of_the_size_of_a_digit():
    maker, judge = models.Generator(), models.Discriminator()
    assert (maker.code, maker.shape, judge.shape) == (16, (1, 28, 28), (1, 28, 28))
    assert models.parameters(maker) == 17 * 32 * 49 + 16 * (16 + 16 * 32) + 17 + 96
    assert models.parameters(judge) == 16 * (16 + 16 * 32) + 48 + 32 * 49 + 1


def test_a_call_of_the_generator_is_decode_and_a_normalisation_stands_before_each_inner_activation():
    model = generator().eval()
    assert torch.equal(model(codes()), model.decode(codes()))
    kinds = [type(layer) for layer in model.decoder]
    assert [kinds[i - 1] for i, kind in enumerate(kinds) if kind is nn.SiLU] == [nn.BatchNorm2d] * 2


def test_what_the_discriminator_says_of_an_image_does_not_depend_on_the_others():
    model, x = made(models.Discriminator).train(), images(count=5)
    alone = torch.cat([model(x[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(model(x), alone)
    assert len(alone.unique()) == 5


def test_the_discriminator_gives_logits_which_may_have_either_sign():
    model = made(models.Discriminator)
    with torch.no_grad():
        for sign in (-1, 1):
            model.layers[-2].bias.fill_(5.0 * sign)
            assert (sign * model(images()) > 1).all()


@shapes
def test_the_gradient_of_fooling_reaches_every_parameter_of_both(shape):
    maker, judge = made(models.Generator, shape, code=CODE), made(models.Discriminator, shape)
    losses.fool(judge(maker(codes(32)))).sum().backward()
    for part, parameter in (*maker.named_parameters(), *judge.named_parameters()):
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, part


def test_numpys_whole_numbers_will_do():
    four, two, one, size = np.int64(4), np.int64(2), np.int64(1), np.array([8, 12])
    x = models.Generator(four, width=two, channels=one, size=size)(torch.zeros(2, 4))
    assert x.shape == (2, 1, 8, 12)
    assert models.Discriminator(width=two, channels=one, size=size)(x).shape == (2,)


# --- Two in one -------------------------------------------------------------------------------------------------


@generators
def test_an_autoencoder_may_be_the_generator_and_decoding_is_its_decoding(name):
    model = net(name).eval()
    assert model.code == CODE
    assert torch.equal(model.decode(codes()), model.generator.decode(codes()))
    assert model.discriminator(model.decode(codes())).shape == (3,)
    assert models.parameters(model) == models.parameters(model.generator) + models.parameters(model.discriminator)


@generators
@pytest.mark.parametrize("count", [0, 1, 3, 500, 1201])
def test_a_new_image_is_a_decoded_standard_normal_code(name, count):
    model = net(name)
    found = model.sample(count, generator=torch.Generator().manual_seed(3))
    assert found.shape == (count, 1, 8, 8) and not found.requires_grad
    torch.testing.assert_close(found, model.eval().decode(codes(count, seed=3)).detach())


@generators
def test_new_images_repeat_with_the_generator_and_go_on_with_it(name):
    model, stream = net(name), runtime.stream("new")
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


def test_a_new_image_does_not_depend_on_the_others_as_it_would_in_train_mode():
    model = net().train()
    averages = copy.deepcopy(dict(model.named_buffers()))
    z = codes(32)
    assert torch.equal(codes(16), z[:16])  # torch draws in sixteens
    many = model.sample(32, generator=torch.Generator().manual_seed(0))
    few = model.sample(16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(few, many[:16])
    assert all(torch.equal(value, averages[name]) for name, value in model.named_buffers())
    assert not torch.allclose(model.decode(z[:16]), model.decode(z)[:16])


def modes(model):
    return [part.training for part in model.modules()]


@pytest.mark.parametrize("training", [True, False])
def test_sampling_leaves_every_parts_mode_as_it_was_also_after_an_error(training):
    model = net().train(training)
    model.discriminator.train(not training)
    model.generator.decoder[2].train(not training)  # one normalisation held still, say
    before, seen = modes(model), []
    handle = model.generator.decoder.register_forward_hook(lambda *_: seen.append(modes(model.generator)))
    model.sample(2)
    handle.remove()
    assert modes(model) == before and not any(seen[0])

    def fail(*_):
        raise KeyboardInterrupt

    model.generator.decoder[-1].register_forward_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        model.sample(2)
    assert modes(model) == before


def test_a_generator_of_another_type_is_asked_in_that_type_and_one_without_weights_is_asked_too():
    class Plain(nn.Module):
        code = 4

        def decode(self, z):
            return z.view(-1, 1, 2, 2)

    assert models.Adversarial(Plain(), nn.Flatten()).sample(3).shape == (3, 1, 2, 2)
    assert net().double().sample(2).dtype == torch.float64


def test_the_codes_of_new_images_are_standard_normal_and_independent():
    class Plain(nn.Module):
        code = 4

        def decode(self, z):
            return z

    z = models.Adversarial(Plain(), nn.Flatten()).sample(40_000, generator=runtime.stream("test")).double()
    assert (z.mean(0).abs() < 5 / 200).all()  # standard error 1 / √40000
    torch.testing.assert_close(z.T.cov(), torch.eye(4, dtype=torch.float64), rtol=0, atol=5 * 2**0.5 / 200)


# --- With the rest of the course --------------------------------------------------------------------------------


def made_up(model, x):
    return model.decode(torch.randn(len(x), model.code, device=x.device))


def judge(model, x):
    return losses.tell_apart(model.discriminator(x), model.discriminator(made_up(model, x)))


def forge(model, x):
    return losses.fool(model.discriminator(made_up(model, x)))


def play(model, images, objective, *, epochs=1, **how):
    return train.fit(
        model, images, objective=objective, epochs=epochs, batch=100, lr=0.01, momentum=0.5, device="cpu",
        progress=False, **how,
    )  # fmt: skip


def moved(model, before):
    """Names of the weights that are not what they were."""
    return {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}


def names(model, *parts):
    return {name for name, _ in model.named_parameters() if name.startswith(parts)}


@generators
def test_both_players_train_in_turns_and_each_moves_its_own_part_alone(tiny, name):
    part = "generator" if name == "generator" else "generator.decoder"  # what encodes is not asked
    for players in ({"discriminator": judge, part: forge}, {"discriminator": judge}, {part: forge}):
        model = net(name)
        before = copy.deepcopy(model.state_dict())
        history = play(model, tiny, players, epochs=2)
        assert moved(model, before) == names(model, *players)
        assert list(history.players) == list(players)
        assert all(len(each) == 2 and np.isfinite(each).all() for each in history.players.values())
        assert not model.training and model.sample(3).shape == (3, 1, 8, 8)


def test_the_generator_learns_how_bright_images_are(tiny):
    model, wanted = net(), tiny.valid.float().mean().item() / 255

    def distance(found):
        return (found.sample(300, generator=runtime.stream("score")).mean() - wanted).abs()

    start = distance(model)
    history = play(model, tiny, {"discriminator": judge, "generator": forge}, epochs=30, score=distance)
    assert history.best.valid < 0.5 * start
    assert distance(model).item() == pytest.approx(history.best.valid, abs=1e-5)


def test_a_training_in_bfloat16_counts_in_float32(tiny):
    model = net()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.discriminator(model.decode(codes()))
        found = judge(model, images())
    assert logits.dtype == torch.bfloat16 and found.dtype == torch.float32
    history = play(model, tiny, {"discriminator": judge, "generator": forge}, precision=torch.bfloat16)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert np.isfinite(list(history.players.values())).all()


@generators
def test_a_copy_is_the_same_network_and_shares_nothing(name):
    model = net(name).eval()
    twin = copy.deepcopy(model)
    assert torch.equal(twin.decode(codes()), model.decode(codes()))
    with torch.no_grad():
        for weight in twin.parameters():
            weight.add_(1)
    assert torch.equal(model.decode(codes()), net(name).eval().decode(codes()))
    assert torch.equal(model.discriminator(images()), net(name).discriminator(images()))


@generators
def test_weights_saved_as_safetensors_make_the_same_two_players_again(name, tmp_path):
    one = net(name).eval()
    other = models.Adversarial(GENERATORS[name](), made(models.Discriminator, number=1)).eval()
    with torch.no_grad():
        for value in other.generator.state_dict().values():
            value.add_(1)  # the running averages and their count too
    assert not torch.allclose(one.decode(codes()), other.decode(codes()))
    assert not torch.equal(one.discriminator(images()), other.discriminator(images()))
    save_file(one.state_dict(), tmp_path / "weights.safetensors")
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert all(torch.equal(value, one.state_dict()[key]) for key, value in other.state_dict().items())
    assert torch.equal(one.decode(codes()), other.decode(codes()))
    assert torch.equal(one.discriminator(images()), other.discriminator(images()))


# --- What is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [models.Generator, models.Discriminator])
@pytest.mark.parametrize(
    ("size", "said"),
    [
        (30, r"size is 30; expected sides that are multiples of 4"),
        ((28, 30), r"size is \(28, 30\); expected sides that are multiples of 4"),
        ((8, 8, 8), r"size is \(8, 8, 8\); expected pixels, as in 28, or \(height, width\)"),
        (0, "size holds 0; expected a whole number of 4 or more"),
        (3, "size holds 3; expected a whole number of 4 or more"),
        (28.0, r"size holds 28\.0; expected a whole number"),
        ("28", "size holds '2'; expected a whole number"),
    ],
)
def test_a_size_that_cannot_be_halved_twice_is_refused(kind, size, said):
    with pytest.raises(ValueError, match=said):
        kind(size=size)


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, "2", None])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (models.Generator, "code"),
        (models.Generator, "width"),
        (models.Generator, "channels"),
        (models.Discriminator, "width"),
        (models.Discriminator, "channels"),
    ],
)
def test_a_width_that_is_no_positive_whole_number_is_refused(kind, name, wrong):
    with pytest.raises(ValueError, match=f"^{name} holds {wrong!r}; expected a whole number of 1 or more"):
        kind(**{name: wrong})


@pytest.mark.parametrize("shape", [(2, CODE + 1), (CODE,), (2, CODE, 1, 1)])
def test_a_code_of_another_shape_is_refused(shape):
    model = net()
    for call in (model.generator, model.generator.decode, model.decode):
        with pytest.raises(ValueError, match=rf"got a code of shape \({shape[0]}.*\); expected \(B, {CODE}\)"):
            call(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 1, 8, 12), (1, 8, 8), (2, 64), ()])
def test_an_image_of_another_shape_is_refused(shape):
    found = ", ".join(map(str, shape))
    with pytest.raises(ValueError, match=rf"^Discriminator: got \({found}\); expected \(B, 1, 8, 8\)"):
        made(models.Discriminator)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), r"Tensor torch\.uint8"),
        (np.zeros((2, 1, 8, 8), np.float32), "ndarray float32"),
        ([[0.0]], "list "),
    ],
    ids=["uint8", "array", "list"],
)
def test_an_image_that_is_no_floating_tensor_is_refused_with_what_makes_it_one(wrong, found):
    with pytest.raises(ValueError, match=rf"^Discriminator: got {found}; .* floating tensor: runtime\.to_unit"):
        made(models.Discriminator)(wrong)


class Decodes:
    """Has all that is asked of a generator, but is no network."""

    code = CODE

    def decode(self, z):
        return z


def half(**parts):
    wrong = nn.Linear(2, 2)
    for name, value in parts.items():
        setattr(wrong, name, value)
    return wrong


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (nn.Linear(2, 2), "Linear"),
        (half(code=CODE), "Linear"),
        (half(decode=nn.Identity()), "Linear"),
        (half(decode=3, code=CODE), "Linear"),
        (half(decode=nn.Identity(), code="5"), "Linear"),
        (models.Autoencoder(), "Autoencoder"),
        (models.Discriminator(), "Discriminator"),
        (models.Generator, "the class Generator"),
        (Decodes(), "Decodes"),
        (None, "NoneType"),
    ],
)
def test_a_generator_that_cannot_decode_codes_of_a_known_length_is_refused(wrong, found):
    with pytest.raises(TypeError, match=rf"^generator is {found}; expected a network with \.decode and \.code"):
        models.Adversarial(wrong, models.Discriminator())


@pytest.mark.parametrize(
    ("wrong", "found"), [(models.Discriminator, "the class Discriminator"), (len, "builtin.*"), (None, "NoneType")]
)
def test_a_discriminator_that_is_no_network_is_refused(wrong, found):
    with pytest.raises(TypeError, match=rf"^discriminator is {found}; expected a network .*models\.Discriminator\(\)"):
        models.Adversarial(models.Generator(), wrong)
