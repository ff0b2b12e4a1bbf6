"""What `aetutor.losses` promises: the textbook's numbers, one per image, summed and not averaged."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn import functional as F

from aetutor import losses

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
