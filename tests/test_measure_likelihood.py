"""What `measure.log_likelihood` promises: log p(x) as integration over a fine grid of codes gives it, from below."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal

from aetutor import losses, measure, models, runtime

# The oracle: sums over a grid, which for smooth functions that vanish at its ends is exact to many digits.
GRIDS = {1: torch.linspace(-12, 12, 2401, dtype=torch.float64)[:, None]}
GRIDS[2] = torch.cartesian_prod(*[torch.linspace(-9, 9, 241, dtype=torch.float64)] * 2)  # (58081, 2)
CELLS = {1: math.log(24 / 2400), 2: 2 * math.log(18 / 240)}
PIXELS = (1, 2, 2)


class Small(nn.Module):
    """A decoder of hand-set weights, and a posterior that may be anything: it moves along the image's first pixels."""

    def __init__(self, weight, bias, *, shape=PIXELS, centre=0.0, slope=0.0, logvar=0.0):
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight))  # (Z, P)
        self.register_buffer("bias", torch.tensor(bias))  # (P,)
        self.shape, self.centre, self.slope, self.logvar = shape, centre, slope, logvar

    def posterior(self, x):
        mu = self.centre + self.slope * x.flatten(1)[:, : len(self.weight)]
        return mu, torch.full_like(mu, self.logvar)

    def logits(self, z):
        return (z @ self.weight + self.bias).view(-1, *self.shape)


ONE = {"weight": [[2.0, -1.5, 0.7, 3.0]], "bias": [0.3, -0.4, 0.0, 1.0]}
TWO = {
    "weight": [[2.0, -1.0, 0.5, 0.0, 1.5, -2.0], [0.0, 1.5, -2.5, 1.0, 0.5, 1.0]],
    "bias": [0.2, -0.5, 0.0, 1.0, -1.0, 0.4],
    "shape": (1, 2, 3),
}
CASES = {
    "one, prior as proposal": ONE,
    "one, a fair proposal": ONE | {"slope": 0.8, "centre": -0.2, "logvar": -0.4},
    "one, a wrong and narrower proposal": ONE | {"slope": -1.0, "centre": 0.6, "logvar": -0.3},
    "one, a wrong and wider proposal": ONE | {"slope": -1.5, "centre": -1.0, "logvar": 1.2},
    "two, prior as proposal": TWO,
    "two, a wrong proposal": TWO | {"slope": -0.7, "centre": 0.5, "logvar": 0.5},
}
cases = pytest.mark.parametrize("case", CASES)


def every_image(shape):
    """(2^P, C, H, W): all there are of black and white pixels."""
    count = math.prod(shape)
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * count).view(-1, *shape)


def on_grid(model, x):
    """log p(x, z) and log q(z | x) of images at all points of the grid, by torch.distributions: (N, G) each."""
    size = model.posterior(x[:1])[0].shape[1]
    z = GRIDS[size]  # (G, Z)
    with torch.no_grad():
        decoder = Bernoulli(logits=model.logits(z.to(x.dtype)).double().flatten(1))  # (G, P)
        mu, logvar = (part.double() for part in model.posterior(x))
        joint = torch.stack([decoder.log_prob(image.double().flatten()).sum(1) for image in x])
        joint += Independent(Normal(torch.zeros(size), torch.ones(size)), 1).log_prob(z)
        proposal = torch.stack(
            [Independent(Normal(*two), 1).log_prob(z) for two in zip(mu, (logvar / 2).exp(), strict=True)]
        )
    return joint, proposal, CELLS[size]


def exactly(model, x):
    """log p(x), and the standard deviation of one weight p(x, z) / q(z | x) divided by its mean: (N,) each."""
    joint, proposal, cell = on_grid(model, x)
    found = joint.logsumexp(1) + cell
    square = (2 * joint - proposal).logsumexp(1) + cell - 2 * found
    return found, square.expm1().sqrt()


def exact_elbo(model, x):
    joint, proposal, cell = on_grid(model, x)
    return ((proposal + cell).exp() * (joint - proposal)).sum(1)


def many(image, times):
    return image.expand(times, *image.shape[1:])


# --- The value --------------------------------------------------------------------------------------------------


@cases
def test_the_oracle_itself_gives_all_images_together_the_probability_one(case):
    model = Small(**CASES[case])
    found, _ = exactly(model, every_image(model.shape))
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-9)


@cases
def test_it_is_the_integral_over_all_codes_whatever_the_proposal(case):
    model = Small(**CASES[case])
    x = every_image(model.shape)
    expected, spread = exactly(model, x)
    found = measure.log_likelihood(model, x, samples=40_000, batch=40_000)
    assert found.shape == (len(x),) and found.dtype == torch.float64 and found.device.type == "cpu"
    error = spread / 40_000**0.5  # of the mean weight, in parts of it; and so of its log
    assert error.max() < 0.05  # or the grid would say nothing
    assert ((found - expected).abs() < 5 * error).all()
    assert (found - expected).abs().mean() < 1.5 * error.mean()


@pytest.mark.parametrize("code", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_that_integral_for_a_network_of_the_course_too(code, seed):
    with runtime.seeded("weights", seed):
        model = models.VariationalAutoencoder(models.DenseAutoencoder(code, hidden=(8,), shape=PIXELS))
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(4)  # as far from constant as training makes it
    x = every_image(PIXELS)
    expected, spread = exactly(model, x)
    assert (expected - expected.mean()).abs().max() > 0.3
    found = measure.log_likelihood(model, x, samples=20_000)
    assert ((found - expected).abs() < 5 * spread / 20_000**0.5).all()


@cases
def test_the_probabilities_of_all_images_sum_to_one(case):
    model = Small(**CASES[case])
    x = every_image(model.shape)
    log_p, spread = exactly(model, x)
    found = measure.log_likelihood(model, x, samples=20_000, batch=20_000).exp().sum().item()
    error = (log_p.exp() * spread).square().sum().sqrt().item() / 20_000**0.5
    assert error < 0.02 and found == pytest.approx(1, abs=5 * error)


@pytest.mark.parametrize(("samples", "batch"), [(1, 1000), (7, 1000), (10, 3), (10, 5), (3, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_sample_is_exact_where_the_proposal_is_the_posterior_and_so_is_any_number(samples, batch, dtype):
    bias = [0.25, -2.0, 0.0, 9.0]
    model = Small([[0.0] * 4] * 3, bias).to(dtype)  # the decoder ignores the code, so that the posterior is the prior
    x = every_image(PIXELS)
    found = measure.log_likelihood(model, x.to(dtype), samples=samples, batch=batch)
    expected = Bernoulli(logits=torch.tensor(bias, dtype=torch.float64)).log_prob(x.double().flatten(1)).sum(1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_what_is_too_unlikely_for_a_floating_number_has_a_logarithm_all_the_same():
    model = Small([[0.0] * 784], [10.0] * 784, shape=(1, 28, 28))
    found = measure.log_likelihood(model, torch.zeros(1, 1, 28, 28), samples=5)
    assert found.item() == pytest.approx(-784 * (10 + math.log1p(math.exp(-10))), rel=1e-6)


def test_colour_and_oblong_images_are_sums_over_all_their_pixels():
    with runtime.seeded("weights"):
        body = models.ConvAutoencoder(2, width=2, channels=3, size=(5, 8))
        model = models.VariationalAutoencoder(body)
    x = torch.bernoulli(torch.full((3, 3, 5, 8), 0.4), generator=runtime.stream("pixels"))
    expected, spread = exactly(model, x)
    found = measure.log_likelihood(model, x, samples=2000)
    assert ((found - expected).abs() < 5 * spread / 2000**0.5 + 1e-4).all()


# --- From below -------------------------------------------------------------------------------------------------


def test_on_average_it_rises_from_the_elbo_with_the_number_of_samples_and_stays_below_log_p():
    model = Small(**CASES["one, a wrong and wider proposal"])
    x = torch.tensor([1.0, 0, 1, 1]).view(1, *PIXELS)
    expected = exactly(model, x)[0].item()
    means, errors = [], []
    for samples in (1, 3, 10, 30):
        found = measure.log_likelihood(model, many(x, 1500), samples=samples)
        means.append(found.mean().item())
        errors.append(found.std().item() / len(found) ** 0.5)
    assert abs(means[0] - exact_elbo(model, x).item()) < 5 * errors[0]
    for i in range(3):
        assert means[i + 1] - means[i] > 4 * math.hypot(errors[i], errors[i + 1])
    assert means[-1] < expected - 3 * errors[-1]


def test_one_sample_is_on_average_the_elbo_that_training_minimises():
    model = Small(**CASES["two, a wrong proposal"])
    x = torch.tensor([1.0, 0, 0, 1, 1, 0]).view(1, 1, 2, 3)
    found = measure.log_likelihood(model, many(x, 2000), samples=1)
    with runtime.seeded("elbo"):
        other = -losses.negative_elbo(model, many(x, 2000)).double()
    for one in (found, other):
        error = one.std().item() / 2000**0.5
        assert one.mean().item() == pytest.approx(exact_elbo(model, x).item(), abs=5 * error)


# --- Samples, batches and seeds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 4, 9, 10, 11])
def test_how_the_samples_are_cut_into_batches_does_not_matter(batch):
    model = Small(**CASES["one, a wrong and wider proposal"])
    x = many(every_image(PIXELS)[5:6], 1500)
    whole = measure.log_likelihood(model, x, samples=10, batch=1000, seed=1)
    cut = measure.log_likelihood(model, x, samples=10, batch=batch)
    error = math.hypot(whole.std().item(), cut.std().item()) / 1500**0.5
    assert whole.mean().item() == pytest.approx(cut.mean().item(), abs=5 * error)
    assert cut.std().item() == pytest.approx(whole.std().item(), rel=0.25)


@pytest.mark.parametrize(("samples", "batch", "sizes"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 4, [3]), (1, 1, [1])])
def test_no_more_codes_than_a_batch_are_decoded_at_once_and_all_in_all_as_many_as_were_asked_for(samples, batch, sizes):
    seen = []

    class Counting(Small):
        def logits(self, z):
            seen.append(len(z))
            return super().logits(z)

    measure.log_likelihood(Counting(**ONE), every_image(PIXELS)[:2], samples=samples, batch=batch)
    assert seen == sizes * 2


def test_the_same_seed_gives_the_same_numbers_and_another_others(monkeypatch):
    model, x = Small(**ONE), every_image(PIXELS)
    found = measure.log_likelihood(model, x, samples=9)
    torch.rand(5)  # what ran before does not count
    assert torch.equal(measure.log_likelihood(model, x, samples=9), found)
    assert not torch.equal(measure.log_likelihood(model, x, samples=9, seed=1), found)
    monkeypatch.setenv("AETUTOR_SEED", "123")
    assert not torch.equal(measure.log_likelihood(model, x, samples=9), found)


def test_each_image_has_codes_of_its_own():
    found = measure.log_likelihood(Small(**ONE), many(every_image(PIXELS)[3:4], 50), samples=2)
    assert len(found.unique()) == 50


# --- What it leaves behind --------------------------------------------------------------------------------------


class Moody(Small):
    """Shifts its logits in train mode; has a part that the reader has put into a mode of its own."""

    def __init__(self):
        super().__init__([[0.0] * 4], [0.0] * 4)
        self.part = nn.Dropout(0.5)

    def logits(self, z):
        return self.part(super().logits(z) + 1) + 7 * self.training


@pytest.mark.parametrize(("whole", "part"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_model_is_asked_in_eval_mode_and_left_as_it_was_after_an_error_too(whole, part):
    model, x = Moody().train(whole), every_image(PIXELS)
    model.part.train(part)
    found = measure.log_likelihood(model, x, samples=3)
    expected = Bernoulli(logits=torch.ones(4)).log_prob(x.flatten(1)).sum(1).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (model.training, model.part.training) == (whole, part)
    model.shape = (1, 3, 3)
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        measure.log_likelihood(model, x)
    assert (model.training, model.part.training) == (whole, part)


def test_it_draws_nothing_from_the_global_generator_and_leaves_no_gradient():
    with runtime.seeded("weights"):
        model = models.VariationalAutoencoder(models.DenseAutoencoder(2, hidden=(4,), shape=PIXELS))
    state = torch.get_rng_state()
    found = measure.log_likelihood(model, every_image(PIXELS), samples=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert not found.requires_grad and all(p.grad is None for p in model.parameters())


# --- What is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (models.DenseAutoencoder(2, shape=PIXELS), r"DenseAutoencoder, without \.posterior"),
        (nn.Identity(), r"Identity, without \.posterior"),
        (None, r"NoneType, without \.posterior"),
    ],
    ids=["plain", "module", "none"],
)
def test_a_model_without_a_posterior_is_refused(model, found):
    with pytest.raises(TypeError, match=rf"^log_likelihood: the model is {found}; expected a VariationalAutoencoder"):
        measure.log_likelihood(model, every_image(PIXELS))


def test_a_model_without_a_decoder_is_refused():
    model = nn.Module()
    model.posterior = lambda x: (x, x)
    with pytest.raises(TypeError, match=r"^log_likelihood: the model is Module, without \.logits; expected"):
        measure.log_likelihood(model, every_image(PIXELS))


@pytest.mark.parametrize("wrong", [torch.ones(2, *PIXELS, dtype=torch.uint8), torch.ones(2, *PIXELS).numpy(), None])
def test_images_that_are_no_floating_tensor_are_refused(wrong):
    found = getattr(wrong, "dtype", None) if isinstance(wrong, torch.Tensor) else type(wrong).__name__
    with pytest.raises(
        TypeError, match=rf"^log_likelihood: expected x to be a floating tensor, got {found}; .*to_unit"
    ):
        measure.log_likelihood(Small(**ONE), wrong)


@pytest.mark.parametrize("pixel", [0.5, -1.0, 2.0, math.nan, math.inf, 1e-3])
def test_a_pixel_between_black_and_white_is_refused_with_what_makes_it_either(pixel):
    x = every_image(PIXELS)
    x[3, 0, 1, 0] = pixel
    with pytest.raises(
        ValueError, match=rf"^log_likelihood: a pixel of x is {pixel:.4g}; expected 0 or 1 .*torch\.bernoulli"
    ):
        measure.log_likelihood(Small(**ONE), x)


@pytest.mark.parametrize("wrong", [torch.ones(0, *PIXELS), torch.ones(PIXELS), torch.ones(2, 4)], ids=str)
def test_no_image_and_other_shapes_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^log_likelihood: x has shape \(.*\); expected \(N, C, H, W\) with at least"):
        measure.log_likelihood(Small(**ONE), wrong)


def test_images_that_the_model_does_not_take_are_refused_by_it():
    model = models.VariationalAutoencoder(models.DenseAutoencoder(2, shape=PIXELS))
    with pytest.raises(ValueError, match=r"expected \(B, 1, 2, 2\)"):
        measure.log_likelihood(model, torch.ones(2, 1, 3, 3))
    with pytest.raises(ValueError, match=r"expected a tensor of torch\.float32"):
        measure.log_likelihood(model, torch.ones(2, *PIXELS, dtype=torch.float64))


@pytest.mark.parametrize("name", ["samples", "batch"])
@pytest.mark.parametrize("number", [0, -3, 2.0, True, None])
def test_numbers_below_one_and_no_whole_ones_are_refused(name, number):
    with pytest.raises(ValueError, match=rf"^log_likelihood: {name} is {number}; expected a whole number of 1 or more"):
        measure.log_likelihood(Small(**ONE), every_image(PIXELS), **{name: number})
