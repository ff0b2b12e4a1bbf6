"""What `aetutor.measure` promises: scores that another library's formula gives too, on images the model never saw."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import spots
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from aetutor import measure, models, runtime, train


def identity(x):
    return x


def half(x):
    return 0.5 * x


def unit(pixels):
    return pixels.double() / 255


def network(**how):
    with runtime.seeded("weights"):
        return models.DenseAutoencoder(3, **{"hidden": (16,), "shape": (1, 8, 8)} | how)


def svd_error(images, code):
    """Mean squared error per test pixel after projection on the training images' first singular vectors, in double."""
    train_, test = unit(images.train).flatten(1), unit(images.test).flatten(1)
    mean = train_.mean(0)
    axes = torch.linalg.svd(train_ - mean, full_matrices=False).Vh[:code]
    rest = (test - mean) - (test - mean) @ axes.T @ axes
    return rest.square().mean().item()


# --- Errors and codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 150, 1000])
def test_errors_are_sums_per_image_in_order_whatever_the_batch(tiny, batch):
    found = measure.errors(half, tiny.test, batch=batch)
    assert found.shape == (150,) and found.dtype == torch.float32
    torch.testing.assert_close(found.double(), (0.5 * unit(tiny.test)).square().sum((1, 2, 3)), rtol=1e-5, atol=0)


def test_reconstruction_error_is_the_mean_over_all_pixels(tiny):
    model, x = network(), unit(tiny.test)
    expected = (model(x.float()).double() - x).square().mean().item()
    found = measure.reconstruction_error(model, tiny.test, batch=64)
    assert isinstance(found, float) and found == pytest.approx(expected, rel=1e-5)
    assert measure.reconstruction_error(identity, tiny.test) == 0


def test_reconstruction_error_counts_the_channels_as_pixels():
    pixels = torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)
    assert measure.reconstruction_error(half, pixels) == pytest.approx(0.25)
    assert measure.errors(half, pixels).tolist() == [12.0, 12.0]


def test_codes_are_the_encoders_in_order(tiny):
    model = network()
    found = measure.codes(model, tiny.test, batch=64)
    assert found.shape == (150, 3) and not found.requires_grad
    torch.testing.assert_close(found, model.encode(unit(tiny.test).float()))


class Moody(nn.Module):
    """Adds 1 to each code number in train mode; has a part that the reader has put into eval mode."""

    def __init__(self):
        super().__init__()
        self.part = nn.Dropout(0.9)

    def encode(self, x):
        return self.part(x.flatten(1)) + self.training

    def forward(self, x):
        return self.part(x) + self.training


@pytest.mark.parametrize("score", [measure.errors, measure.codes])
@pytest.mark.parametrize(("whole", "part"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_model_is_scored_in_eval_mode_and_left_as_it_was(tiny, score, whole, part):
    model = Moody().train(whole)
    model.part.train(part)
    found = score(model, tiny.test)
    plain = torch.zeros(150) if score is measure.errors else unit(tiny.test).flatten(1).float()
    assert torch.equal(found, plain)
    assert (model.training, model.part.training) == (whole, part)


def test_a_model_gets_its_mode_back_after_an_error_too(tiny):
    model = network().train()
    with pytest.raises(ValueError, match=r"expected \(B, 1, 8, 8\)"):
        measure.errors(model, tiny.test[:, :, :4])
    assert model.training


def test_measuring_draws_nothing_and_leaves_no_gradient(tiny):
    state, model = torch.get_rng_state(), network()
    measure.reconstruction_error(model, tiny.test)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())


def test_images_go_to_where_the_network_is(tiny):
    seen = []

    class Elsewhere(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, device="meta"))

        def forward(self, x):
            seen.append(x.device.type)
            return torch.zeros(x.shape)  # back on the CPU, where the comparison then fails

    with pytest.raises((RuntimeError, NotImplementedError)):
        measure.errors(Elsewhere(), tiny.test)
    assert seen == ["meta"]


@pytest.mark.parametrize("score", [measure.errors, measure.reconstruction_error, measure.codes])
@pytest.mark.parametrize("wrong", [torch.zeros(4, 1, 8, 8), np.zeros((4, 1, 8, 8), np.uint8), [[0]]])
def test_what_is_no_uint8_tensor_is_refused_under_the_name_of_the_call(score, wrong):
    with pytest.raises(TypeError, match=rf"^{score.__name__}: pixels is .*expected a uint8 tensor .*images\.test"):
        score(network(), wrong)


@pytest.mark.parametrize("score", [measure.errors, measure.reconstruction_error, measure.codes])
def test_a_whole_image_set_in_place_of_pixels_and_a_batch_of_none_are_refused(score, tiny):
    with pytest.raises(TypeError, match=rf"^{score.__name__}: pixels is SimpleNamespace; .*images\.test"):
        score(network(), tiny)
    for batch in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=rf"^{score.__name__}: batch is {batch}; expected a whole number"):
            score(network(), tiny.test, batch=batch)


def test_codes_of_a_network_that_has_none_are_refused(tiny):
    with pytest.raises(TypeError, match=r"^codes: the model is Flatten; expected a network with \.encode"):
        measure.codes(nn.Flatten(), tiny.test)


@pytest.mark.parametrize("score", [measure.errors, measure.reconstruction_error, measure.codes])
def test_no_image_is_refused(score, tiny):
    with pytest.raises(ValueError, match="at least one image"):
        score(network(), tiny.test[:0])


@pytest.mark.parametrize("score", [measure.errors, measure.reconstruction_error])
def test_a_reconstruction_of_another_shape_is_refused(score, tiny):
    with pytest.raises(ValueError, match="must be equal"):
        score(nn.Flatten(), tiny.test)


# --- Floors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_floors_are_fitted_to_training_images_and_scored_on_test_images(channels):
    images = SimpleNamespace(train=spots(90, channels=channels, seed=1), test=spots(40, channels=channels, seed=2) // 2)
    train_, test = unit(images.train), unit(images.test)
    floors = measure.floors(images, code=5)
    assert list(floors) == ["constant", "mean image", "PCA"]
    assert floors["constant"] == pytest.approx((test - train_.mean()).square().mean().item(), rel=1e-5)
    assert floors["mean image"] == pytest.approx((test - train_.mean(0)).square().mean().item(), rel=1e-5)
    assert floors["PCA"] == pytest.approx(svd_error(images, 5), rel=1e-4)


def test_each_floor_is_lower_than_the_one_before(tiny):
    floors = list(measure.floors(tiny, code=8).values())
    assert floors == sorted(floors, reverse=True) and floors[2] < 0.5 * floors[1]


@pytest.mark.parametrize(
    ("name", "images"),
    {
        "more images than pixels": (spots(300, seed=1), spots(50, seed=2)),
        "more pixels than images": (spots(20, seed=1), spots(50, seed=2)),
        "bright and nearly flat": (200 + spots(3000, seed=1) // 16, 200 + spots(50, seed=2) // 16),
        "pixels that never change": (spots(300, seed=1) // 86 * 86, spots(50, seed=2) // 86 * 86),
    }.items(),
)
def test_pca_is_the_svd_in_double_precision_at_every_code_size(name, images):
    images = SimpleNamespace(train=images[0], test=images[1])
    sizes = [1, 2, 7, 19]
    found = measure.pca_errors(images, sizes)
    assert list(found) == sizes
    for code, error in found.items():
        assert error == pytest.approx(svd_error(images, code), rel=1e-3), name


def test_one_decomposition_gives_what_each_size_alone_gives_in_any_order(tiny):
    together = measure.pca_errors(tiny, (20, 3, 64))
    assert list(together) == [20, 3, 64]
    for code, error in together.items():
        assert error == pytest.approx(measure.pca_errors(tiny, (code,))[code], rel=1e-3, abs=1e-8)
    assert together[64] < 1e-8  # as many numbers as pixels: nothing is lost


def test_pca_of_large_images_finds_the_subspace_that_the_svd_finds():
    images = SimpleNamespace(train=spots(60, side=65, seed=1), test=spots(20, side=65, seed=2))  # 4225 pixels
    assert measure.pca_errors(images, (4,))[4] == pytest.approx(svd_error(images, 4), rel=0.02)


def test_a_linear_autoencoder_with_the_singular_vectors_as_weights_has_pcas_error(tiny):
    model = models.DenseAutoencoder(6, hidden=(), shape=(1, 8, 8), output="none")
    x = unit(tiny.train).flatten(1)
    axes = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:6]
    encoder, decoder = model.encoder[1], model.decoder[0]
    with torch.no_grad():
        encoder.weight.copy_(axes)
        encoder.bias.copy_(-axes @ x.mean(0))
        decoder.weight.copy_(axes.T)
        decoder.bias.copy_(x.mean(0))
    assert measure.reconstruction_error(model, tiny.test) == pytest.approx(measure.pca_errors(tiny, (6,))[6], rel=1e-3)


def test_a_trained_linear_autoencoder_comes_close_to_the_svd_and_never_below_it_on_its_training_images(tiny):
    model = network(hidden=(), output="none")
    train.fit(model, tiny, epochs=150, batch=100, lr=0.02, progress=False, device="cpu")
    best = svd_error(SimpleNamespace(train=tiny.train, test=tiny.train), 3)
    found = measure.reconstruction_error(model, tiny.train)
    assert best * (1 - 1e-5) <= found < 1.02 * best


@pytest.mark.parametrize("code", [0, -1, 65, 3.0, True, None])
def test_a_code_size_that_pca_cannot_have_is_refused_with_the_range(tiny, code):
    calls = {"pca_errors": lambda: measure.pca_errors(tiny, (3, code)), "floors": lambda: measure.floors(tiny, code)}
    for name, call in (calls | {"pca": lambda: measure.pca(tiny, code)}).items():
        with pytest.raises(
            ValueError, match=rf"^{name}: code is {code}; PCA on these images takes 1…64, whole numbers"
        ):
            call()


FITTED = [measure.floors, measure.pca, measure.mean_image, lambda images: measure.pca_errors(images, (1,))]


@pytest.mark.parametrize("call", FITTED, ids=["floors", "pca", "mean_image", "pca_errors"])
def test_pixels_in_place_of_the_image_set_are_refused_with_what_makes_one(tiny, call, request):
    name = request.node.callspec.id
    with pytest.raises(TypeError, match=rf"^{name}: images is Tensor, without \.\w+; .*ImageSet that data\.load"):
        call(tiny.train)


def test_one_training_image_has_no_components(tiny):
    images = SimpleNamespace(train=tiny.train[:1], test=tiny.test)
    for name, call in [("floors", measure.floors), ("pca", measure.pca)]:
        with pytest.raises(ValueError, match=rf"^{name}: images\.train has shape .* at least 2 images"):
            call(images, 1)
    assert measure.mean_image(images).shape == (1, 8, 8)


def test_pca_as_a_network_takes_floats_of_its_images_shape_and_nothing_else(tiny):
    project, x = measure.pca(tiny, 5), tiny.test.float() / 255
    torch.testing.assert_close(project(x.double()).float(), project(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(TypeError, match=r"pca: .* got torch\.uint8; runtime\.to_unit\(pixels\) makes it float"):
        project(tiny.test)
    for wrong in (x.flatten(1), x[0], x.view(-1, 1, 4, 16)):
        with pytest.raises(ValueError, match=r"pca: x has shape .* expected \(B, 1, 8, 8\)"):
            project(wrong)


def test_floors_of_nothing_or_of_floats_are_refused(tiny):
    with pytest.raises(ValueError, match="at least 2 images"):
        measure.floors(SimpleNamespace(train=tiny.train[:0], test=tiny.test), 1)
    with pytest.raises(ValueError, match="at least one image"):
        measure.pca_errors(SimpleNamespace(train=tiny.train, test=tiny.test[:0]), (1,))
    for wrong in (tiny.test.float(), tiny.test.numpy()):
        with pytest.raises(TypeError, match="expected a uint8 tensor"):
            measure.floors(SimpleNamespace(train=tiny.train, test=wrong), 1)


# --- PSNR and SSIM --------------------------------------------------------------------------------------------


def pair(shape, noise=0.1):
    generator = torch.Generator().manual_seed(0)
    x = spots(shape[0], side=shape[2], channels=shape[1], seed=4)[..., : shape[3]] / 255
    return (x + noise * torch.randn(x.shape, generator=generator)).clamp(0, 1), x


@pytest.mark.parametrize("shape", [(4, 1, 8, 8), (3, 3, 12, 9), (1, 1, 28, 28)])
def test_psnr_is_scikit_images_and_the_formulas(shape):
    x_hat, x = pair(shape)
    found = measure.psnr(x_hat, x)
    assert found.shape == (shape[0],)
    for value, a, b in zip(found.tolist(), x_hat.numpy(), x.numpy(), strict=True):
        assert value == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), rel=1e-5)
        assert value == pytest.approx(10 * math.log10(1 / np.mean((a.astype(float) - b) ** 2)), rel=1e-5)


def test_psnr_of_equal_images_is_infinite_and_a_tenth_of_the_error_is_10_decibels_more():
    x = torch.rand(2, 1, 4, 4)
    assert measure.psnr(x, x).tolist() == [math.inf, math.inf]
    near, far = measure.psnr(x + 0.01, x), measure.psnr(x + 0.01 * 10**0.5, x)
    torch.testing.assert_close(near - far, torch.full((2,), 10.0), rtol=1e-3, atol=1e-3)


def direct_ssim(a, b):
    """Wang et al. 2004, equation 13, over all places where an 11 × 11 Gaussian window fits."""

    def blur(image):
        return gaussian_filter(image, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]  # 5 pixels to each side

    c1, c2 = 0.01**2, 0.03**2
    mu_a, mu_b = blur(a), blur(b)
    var_a, var_b, cov = blur(a * a) - mu_a**2, blur(b * b) - mu_b**2, blur(a * b) - mu_a * mu_b
    fraction = (2 * mu_a * mu_b + c1) * (2 * cov + c2) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))
    return fraction.mean()


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 16, 13), (2, 1, 11, 11)])
@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_ssim_is_the_papers_formula_averaged_over_channels(shape, noise):
    x_hat, x = pair(shape, noise)
    found = measure.ssim(x_hat, x)
    assert found.shape == (shape[0],) and found.dtype == torch.float32
    for value, a, b in zip(found.tolist(), x_hat.double().numpy(), x.double().numpy(), strict=True):
        assert value == pytest.approx(np.mean([direct_ssim(p, q) for p, q in zip(a, b, strict=True)]), abs=1e-5)


def test_ssim_is_1_for_equal_images_and_negative_for_a_negative():
    _, x = pair((2, 1, 28, 28))
    assert measure.ssim(x, x).tolist() == [1, 1]
    noise = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    assert measure.ssim(1 - noise, noise).item() < 0


def test_ssim_takes_what_a_network_returns_and_gives_no_gradient():
    _, x = pair((2, 1, 28, 28))
    assert not measure.ssim(x.clone().requires_grad_(), x).requires_grad


@pytest.mark.parametrize("score", [measure.psnr, measure.ssim])
def test_bytes_and_arrays_are_refused_where_floats_are_compared(score):
    x = torch.zeros(2, 1, 12, 12)
    for wrong in (x.to(torch.uint8), x.numpy()):
        for two in [(wrong, wrong), (x, wrong), (wrong, x)]:
            with pytest.raises(TypeError, match=rf"^{score.__name__}: .*runtime\.to_unit\(pixels\) makes it float"):
                score(*two)


@pytest.mark.parametrize("score", [measure.psnr, measure.ssim])
def test_images_of_two_shapes_are_refused(score):
    with pytest.raises(ValueError, match="equal"):
        score(torch.zeros(2, 1, 12, 12), torch.zeros(1, 1, 12, 12))


@pytest.mark.parametrize("shape", [(2, 1, 10, 28), (2, 1, 28, 10), (2, 28, 28), (28, 28)])
def test_images_too_small_for_the_window_or_without_channels_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(B, C, H, W\) of at least 11 × 11 pixels"):
        measure.ssim(torch.zeros(shape), torch.zeros(shape))
