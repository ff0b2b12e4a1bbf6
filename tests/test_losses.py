"""What `aetutor.losses` promises: the textbook's numbers, one per image, summed and not averaged."""

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence
from torch.nn import functional as F

from aetutor import losses, runtime

ALL = [losses.squared_error, losses.binary_cross_entropy, losses.gaussian_kl]


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def pair(generator):
    """Five RGB images and something of the same shape."""
    return torch.randn(5, 3, 4, 6, generator=generator), torch.rand(5, 3, 4, 6, generator=generator)


def test_squared_error_is_torchs_summed_over_each_image(pair):
    x_hat, x = pair
    expected = torch.stack([F.mse_loss(a, b, reduction="sum") for a, b in zip(x_hat, x, strict=True)])
    torch.testing.assert_close(losses.squared_error(x_hat, x), expected)


def test_binary_cross_entropy_is_torchs_on_probabilities_in_double(pair):
    logits, x = pair
    bce = torch.nn.BCELoss(reduction="sum")
    pairs = zip(logits.double().sigmoid(), x.double(), strict=True)
    expected = torch.stack([bce(p, target) for p, target in pairs]).float()
    torch.testing.assert_close(losses.binary_cross_entropy(logits, x), expected)


@pytest.mark.parametrize(("logit", "pixel", "nats"), [(200.0, 1.0, 0.0), (200.0, 0.0, 200.0), (-200.0, 0.25, 50.0)])
def test_binary_cross_entropy_is_exact_where_the_sigmoid_is_0_or_1_in_float(logit, pixel, nats):
    logits = torch.full((1, 1, 1, 1), logit, requires_grad=True)
    loss = losses.binary_cross_entropy(logits, torch.full((1, 1, 1, 1), pixel))
    assert loss.item() == pytest.approx(nats, abs=1e-6)
    loss.sum().backward()
    assert logits.grad.item() == pytest.approx(float(logit > 0) - pixel)  # sigmoid(logit) − pixel


def test_binary_cross_entropy_on_grey_pixels_is_least_at_the_pixel_and_not_zero():
    x = torch.full((1, 1, 1, 1), 0.3)
    at_pixel = losses.binary_cross_entropy(torch.logit(x), x)
    for off in (-0.5, 0.5):
        assert losses.binary_cross_entropy(torch.logit(x) + off, x) > at_pixel > 0.6


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_gaussian_kl_is_that_of_torch_distributions(scale, generator):
    mu, logvar = (scale * torch.randn(7, 4, generator=generator) for _ in range(2))
    prior = Independent(Normal(torch.zeros(7, 4), torch.ones(7, 4)), 1)
    expected = kl_divergence(Independent(Normal(mu, (logvar / 2).exp()), 1), prior)
    torch.testing.assert_close(losses.gaussian_kl(mu, logvar), expected, rtol=1e-5, atol=1e-5)


def test_gaussian_kl_is_the_mean_of_log_q_over_p_that_many_draws_have(generator):
    mu, logvar = (torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    noise = torch.randn(40_000, 3, 2, generator=generator, dtype=torch.float64)
    q, p = Normal(mu, (logvar / 2).exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    z = q.mean + q.stddev * noise
    draws = (q.log_prob(z) - p.log_prob(z)).sum(2)  # (40000, 3)
    error = draws.std(0) / 200
    assert error.max() < 0.05 and ((draws.mean(0) - losses.gaussian_kl(mu, logvar)).abs() < 5 * error).all()


def test_gaussian_kl_is_zero_only_where_the_code_is_standard_normal():
    zero = torch.zeros(1, 3)
    assert losses.gaussian_kl(zero, zero).item() == 0
    for sign in (-1, 1):
        near = zero.clone()
        near[0, 1] = sign * 1e-2
        assert losses.gaussian_kl(near, zero) > 0 and losses.gaussian_kl(zero, near) > 0


def test_gaussian_kl_near_zero_keeps_the_digits_that_double_precision_has():
    logvar = torch.full((1, 1), 1e-2)
    exact = losses.gaussian_kl(torch.zeros(1, 1).double(), logvar.double()).item()
    naive = 0.5 * (logvar.exp() - 1 - logvar).item()
    assert losses.gaussian_kl(torch.zeros(1, 1), logvar).item() == pytest.approx(exact, rel=1e-4)
    assert naive != pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_gaussian_kl_of_a_short_type_that_training_hands_over_keeps_the_digits_of_a_long_one(low):
    mu, logvar = torch.tensor([[0.0, 0.01]]).to(low), torch.tensor([[0.02, -0.03]]).to(low).requires_grad_()
    found = losses.gaussian_kl(mu, logvar)
    torch.testing.assert_close(found, losses.gaussian_kl(mu.float(), logvar.float()), rtol=0, atol=0)
    found.sum().backward()
    exact = 0.5 * torch.expm1(logvar.detach().double())
    torch.testing.assert_close(logvar.grad.double(), exact, rtol=0.01, atol=0)  # (eˡ − 1) / 2


@pytest.mark.parametrize("loss", ALL)
def test_the_loss_of_an_image_does_not_depend_on_its_batch(loss, pair):
    a, b = (t.flatten(1) if loss is losses.gaussian_kl else t for t in pair)
    together = loss(a, b)
    assert together.shape == (5,)
    torch.testing.assert_close(together, torch.cat([loss(a[i : i + 1], b[i : i + 1]) for i in range(5)]))


@pytest.mark.parametrize("loss", ALL)
def test_gradients_are_those_of_finite_differences(loss, generator):
    a, b = (torch.rand(2, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(lambda first: loss(first, b), (a.requires_grad_(),))


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("wrong", [torch.ones(2, 4, dtype=torch.uint8), torch.ones(2, 4, dtype=torch.int64), [[1.0]]])
def test_what_is_no_floating_tensor_is_refused_since_uint8_wraps_round(loss, wrong):
    found = wrong.dtype if isinstance(wrong, torch.Tensor) else "list"
    hint = rf"{loss.__name__}: .* got {found}; runtime\.to_unit\(pixels\) makes it float"
    for pair in [(wrong, wrong), (torch.ones(2, 4), wrong), (wrong, torch.ones(2, 4))]:
        with pytest.raises(TypeError, match=hint):
            loss(*pair)


@pytest.mark.parametrize("loss", ALL)
def test_shapes_that_would_broadcast_are_refused(loss):
    with pytest.raises(ValueError, match=r"\(2, 4\).*\(2, 1, 2, 2\).*must be equal"):
        loss(torch.zeros(2, 4), torch.zeros(2, 1, 2, 2))
    with pytest.raises(ValueError, match="must be equal"):
        loss(torch.zeros(2, 4), torch.zeros(1, 4))


# --- The evidence lower bound -----------------------------------------------------------------------------------


class Small(nn.Module):
    """2 × 3 pixels, 2 code numbers, one layer each way."""

    def __init__(self):
        super().__init__()
        with runtime.seeded("weights"):
            self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(2, 6)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(2)

    def posterior(self, x):
        return self.encoder(x.flatten(1)).chunk(2, 1)

    def logits(self, z):
        return self.decoder(z).view(-1, 1, 2, 3)


class Given(nn.Module):
    """A posterior that is given as it is, for every image, and a decoder that is."""

    def __init__(self, mu, logvar, logits):
        super().__init__()
        self.mu, self.logvar, self.logits = mu, logvar, logits

    def posterior(self, x):
        return self.mu, self.logvar


def drawn(model, x, seed=0, **how):
    with runtime.seeded("noise", seed):
        return losses.negative_elbo(model, x, **how)


@pytest.fixture
def x(generator):
    return torch.bernoulli(torch.full((5, 1, 2, 3), 0.5), generator=generator)


@pytest.mark.parametrize("beta", [0, 0.5, 1.0, 4, 1e4])
@pytest.mark.parametrize("grey", [False, True])
def test_negative_elbo_is_cross_entropy_plus_beta_times_the_kl_of_torch_distributions(beta, grey, x, generator):
    x = torch.rand(x.shape, generator=generator) if grey else x
    model = Small()
    mu, logvar = model.posterior(x)
    with runtime.seeded("noise"):
        noise = torch.randn(5, 2)
    q, p = Normal(mu, (logvar / 2).exp()), Normal(torch.zeros(5, 2), torch.ones(5, 2))
    decoded = model.logits(q.mean + q.stddev * noise).double().sigmoid()
    cross_entropy = -(x * decoded.log() + (1 - x) * (1 - decoded).log()).sum((1, 2, 3))
    expected = cross_entropy + beta * kl_divergence(q, p).sum(1)
    found = drawn(model, x, beta=beta)
    assert found.shape == (5,) and found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_negative_elbo_without_beta_is_that_of_beta_1_and_it_is_linear_in_beta(x):
    model = Small()
    zero, one, five = (drawn(model, x, beta=beta) for beta in (0, 1, 5))
    assert torch.equal(drawn(model, x), one)
    torch.testing.assert_close(five, zero + 5 * (one - zero))
    torch.testing.assert_close(
        drawn(model, x, beta=1e6) / 1e6, losses.gaussian_kl(*model.posterior(x)), rtol=0, atol=1e-4
    )


def test_negative_elbo_is_on_average_the_bound_that_many_draws_of_torch_distributions_give(x):
    model, times = Small().double(), 40_000
    one = x[:1].double().expand(times, 1, 2, 3)
    with torch.no_grad(), runtime.seeded("oracle"):
        mu, logvar = model.posterior(one)
        q = Independent(Normal(mu, (logvar / 2).exp()), 1)
        prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
        z = q.sample()
        joint = Independent(Bernoulli(logits=model.logits(z)), 3).log_prob(one) + prior.log_prob(z)
        expected = q.log_prob(z) - joint
        found = drawn(model, one)
    error = torch.stack([expected.std(), found.std()]).norm() / times**0.5
    assert error < 0.05 and abs(found.mean() - expected.mean()) < 5 * error


def test_negative_elbo_draws_a_code_for_each_image_anew_from_torchs_global_generator(x):
    model, same = Small(), x[:1].expand(50, 1, 2, 3)
    assert len(drawn(model, same).unique()) == 50
    assert torch.equal(drawn(model, same), drawn(model, same))
    assert not torch.equal(drawn(model, same), drawn(model, same, seed=1))


@pytest.mark.parametrize("beta", [0, 1, 4])
def test_the_gradient_of_the_elbo_reaches_every_weight_of_encoder_and_decoder(beta, x):
    model = Small()
    drawn(model, x, beta=beta).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and (parameter.grad != 0).all(), name


@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0])
def test_the_reparameterised_gradient_is_on_average_that_of_the_expectation_in_closed_form(beta):
    # Of a black pixel whose logit is 50 + z², the cross-entropy is 50 + z² to 20 digits, and on average 50 + μ² + σ².
    def expectation(mu, logvar):
        kl = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(torch.zeros(2), torch.ones(2)))
        return (50 + mu**2 + logvar.exp() + beta * kl).sum()

    times, at = 20_000, torch.tensor([[0.7, -1.2], [0.3, -0.8]], dtype=torch.float64)  # mu, logvar
    mu, logvar = (part.expand(times, 2).clone().requires_grad_() for part in at)
    model = Given(mu, logvar, lambda z: 50 + z.square().view(-1, 1, 1, 2))
    loss = drawn(model, torch.zeros(times, 1, 1, 2, dtype=torch.float64), beta=beta)
    assert abs(loss.mean() - expectation(*at)) < 5 * loss.std() / times**0.5
    loss.sum().backward()
    for part, gradient in enumerate((mu.grad, logvar.grad)):
        for i in range(2):
            step = torch.zeros_like(at)
            step[part, i] = 1e-5
            expected = (expectation(*(at + step)) - expectation(*(at - step))) / 2e-5
            error = gradient[:, i].std() / times**0.5
            assert error < 0.05 and abs(gradient[:, i].mean() - expected) < 5 * error


def test_negative_elbo_under_autocast_counts_in_float32(x):
    model = Small()
    with torch.autocast("cpu", torch.bfloat16):
        loss, (mu, logvar) = drawn(model, x, beta=1e6), model.posterior(x)
    assert mu.dtype == torch.bfloat16 and loss.dtype == torch.float32
    exact = kl_divergence(Normal(mu.double(), (logvar.double() / 2).exp()), Normal(torch.zeros(5, 2), torch.ones(5, 2)))
    torch.testing.assert_close(loss.double() / 1e6, exact.sum(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("beta", [-1, -1e-9, float("inf"), float("nan")])
def test_a_beta_that_is_negative_or_not_finite_is_refused(beta, x):
    with pytest.raises(ValueError, match=rf"^negative_elbo: beta is {beta}; expected a finite number, 0 or more"):
        losses.negative_elbo(Small(), x, beta=beta)


@pytest.mark.parametrize("wrong", [torch.ones(2, 1, 2, 3, dtype=torch.uint8), torch.ones(2, 1, 2, 3).numpy(), None])
def test_negative_elbo_refuses_images_that_are_no_floating_tensor(wrong):
    with pytest.raises(TypeError, match=r"^negative_elbo: expected x to be a floating tensor, got .*runtime\.to_unit"):
        losses.negative_elbo(Small(), wrong)


def test_negative_elbo_refuses_a_decoder_of_another_shape(x):
    model = Given(torch.zeros(5, 2), torch.zeros(5, 2), lambda z: torch.zeros(len(z), 6))
    with pytest.raises(ValueError, match=r"\(5, 6\).*\(5, 1, 2, 3\); they must be equal"):
        losses.negative_elbo(model, x)


# --- Two that play against each other ---------------------------------------------------------------------------


@pytest.fixture
def logits(generator):
    """Seven logits for real images and seven for made ones."""
    return 5 * torch.randn(7, generator=generator), 5 * torch.randn(7, generator=generator)


def saturating(fake):
    """log(1 − D(G(z))), what the generator lowers in the first form of the game."""
    return F.logsigmoid(-fake)


def slopes(call, *values):
    """Gradients of a loss at given logits."""
    given = [torch.tensor([value], requires_grad=True) for value in values]
    loss = call(*given)
    assert loss.isfinite().all()
    loss.sum().backward()
    return [logit.grad.item() for logit in given]


def test_tell_apart_is_the_cross_entropy_of_real_images_to_1_and_of_made_ones_to_0(logits):
    real, fake = logits
    cross_entropy = F.binary_cross_entropy_with_logits
    expected = cross_entropy(real, torch.ones(7), reduction="none")
    expected = expected + cross_entropy(fake, torch.zeros(7), reduction="none")
    torch.testing.assert_close(losses.tell_apart(real, fake), expected)
    bce = torch.nn.BCELoss(reduction="none")  # and of probabilities, in double
    real, fake = real.double().sigmoid(), fake.double().sigmoid()
    torch.testing.assert_close(expected.double(), bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake)))


def test_fool_is_the_cross_entropy_of_made_images_to_1(logits):
    for fake in logits:
        expected = F.binary_cross_entropy_with_logits(fake, torch.ones(7), reduction="none")
        torch.testing.assert_close(losses.fool(fake), expected)


def test_a_discriminator_without_an_idea_loses_2_log_2_and_its_opponent_log_2():
    zero = torch.zeros(3, dtype=torch.float64)
    two = torch.full_like(zero, 2.0).log()
    torch.testing.assert_close(losses.tell_apart(zero, zero), 2 * two)
    torch.testing.assert_close(losses.fool(zero), two)


@pytest.mark.parametrize(
    ("real", "fake", "nats"), [(200, -200, 0), (-200, -200, 200), (200, 200, 200), (-200, 200, 400)]
)
def test_tell_apart_is_exact_at_logits_of_200_and_pulls_at_whatever_is_wrong(real, fake, nats):
    found = losses.tell_apart(torch.tensor([float(real)]), torch.tensor([float(fake)]))
    assert found.item() == pytest.approx(nats, abs=1e-6)
    expected = [-float(real < 0), float(fake > 0)]  # D(x) − 1 and D(G(z))
    assert slopes(losses.tell_apart, float(real), float(fake)) == pytest.approx(expected, abs=1e-6)


def test_fool_is_steep_where_the_discriminator_is_not_fooled_and_the_saturating_loss_is_flat_there():
    assert losses.fool(torch.tensor([-200.0, 200.0])).tolist() == pytest.approx([200, 0], abs=1e-6)
    assert slopes(losses.fool, -200.0) == [-1] and slopes(losses.fool, 200.0) == pytest.approx([0], abs=1e-6)
    assert slopes(saturating, -200.0) == [0] and slopes(saturating, 200.0) == [-1]
    for logit in (-10.0, -3.0, 0.0, 3.0, 10.0):
        (ours,), (theirs,) = slopes(losses.fool, logit), slopes(saturating, logit)
        probability = torch.tensor(logit, dtype=torch.float64).sigmoid().item()
        assert (ours, theirs) == pytest.approx((probability - 1, -probability), rel=1e-4)  # both fall with the logit


def test_the_best_discriminator_of_two_densities_is_log_p_over_q_and_loses_2_log_2_less_2_jsd(generator):
    x = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    for near in (0.0, 1.0, 3.0):
        p, q = (Normal(torch.tensor(mean).double(), scale) for mean, scale in ((near, 1.0), (-near, 1.5)))
        log_p, log_q = p.log_prob(x), q.log_prob(x)
        p, q = log_p.exp(), log_q.exp()
        log_m = torch.logaddexp(log_p, log_q) - torch.tensor(2.0).double().log()
        jsd = 0.5 * torch.trapezoid(p * (log_p - log_m) + q * (log_q - log_m), x)

        def expected(logit, p=p, q=q):
            # E over x ~ p and x' ~ q; each half is asked where the other's part of the loss is 0.
            nothing = torch.full_like(logit, 1e3)
            halves = p * losses.tell_apart(logit, -nothing) + q * losses.tell_apart(nothing, logit)
            return torch.trapezoid(halves, x)

        best = expected(log_p - log_q)
        torch.testing.assert_close(best, 2 * torch.tensor(2.0).double().log() - 2 * jsd, rtol=0, atol=1e-6)
        assert 0 < jsd < torch.tensor(2.0).log()
        for size in (0.01, 0.3):
            change = size * torch.randn(x.shape, generator=generator, dtype=torch.float64)
            assert expected(log_p - log_q + change) > best  # and no other logit is better


def test_the_losses_of_the_game_are_one_number_per_image_whatever_the_batch(logits):
    real, fake = logits
    for count in (0, 1, 7):
        both, one = losses.tell_apart(real[:count], fake[:count]), losses.fool(fake[:count])
        assert both.shape == one.shape == (count,)
        torch.testing.assert_close(both, losses.tell_apart(real, fake)[:count])
        torch.testing.assert_close(one, losses.fool(fake)[:count])


def test_gradients_of_the_game_are_those_of_finite_differences(logits):
    real, fake = (logit.double().requires_grad_() for logit in logits)
    assert torch.autograd.gradcheck(losses.tell_apart, (real, fake))
    assert torch.autograd.gradcheck(losses.fool, (fake,))


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_logits_of_a_short_type_that_training_hands_over_are_counted_in_float32(low, logits):
    real, fake = (logit.to(low) for logit in logits)
    assert torch.equal(losses.tell_apart(real, fake), losses.tell_apart(real.float(), fake.float()))
    assert torch.equal(losses.fool(fake), losses.fool(fake.float()))


@pytest.mark.parametrize(
    "wrong", [torch.ones(2, dtype=torch.uint8), torch.ones(2, dtype=torch.int64), [1.0], 1.0, None]
)
def test_logits_that_are_no_floating_tensor_are_refused(wrong):
    found = wrong.dtype if isinstance(wrong, torch.Tensor) else type(wrong).__name__
    for name, pair in {"real": (wrong, torch.ones(2)), "fake": (torch.ones(2), wrong)}.items():
        with pytest.raises(TypeError, match=rf"^tell_apart: expected {name} to be a floating tensor, got {found}"):
            losses.tell_apart(*pair)
    with pytest.raises(TypeError, match=rf"^fool: expected fake to be a floating tensor, got {found}"):
        losses.fool(wrong)


def test_logits_of_two_shapes_are_refused():
    for real, fake in [((4,), (4, 1)), ((4,), (3,)), ((4,), (1,)), ((), (4,))]:
        with pytest.raises(ValueError, match=r"^tell_apart: real has shape .* and fake .*; they must be equal"):
            losses.tell_apart(torch.zeros(real), torch.zeros(fake))
