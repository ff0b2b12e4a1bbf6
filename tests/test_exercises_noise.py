"""Checks of assignment 04: right answers in other forms than the notebook's pass, wrong ones get their hint."""

import inspect
import math
from functools import partial
from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.metrics import peak_signal_noise_ratio
from skimage.restoration import estimate_sigma
from torch.nn import functional as F

from aetutor import exercises
from aetutor.exercises import Wrong, denoisers


@pytest.fixture(scope="module")
def strokes():
    """Bars with soft edges on black, some of them far from upright: (1200, 1, 28, 28)."""
    draw = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    angle, centre = 3.14 * torch.rand(1200, 1, 1, generator=draw), 12 + 4 * torch.rand(1200, 1, 1, generator=draw)
    across = (columns - centre) * angle.cos() + (rows - centre) * angle.sin()
    along = (rows - centre) * angle.cos() - (columns - centre) * angle.sin()
    return ((3 - across.abs()).clamp(0, 1) * (8 - along.abs()).clamp(0, 1))[:, None]


@pytest.mark.parametrize("peak", [1.0, 2.0, 255])
def test_the_psnr_of_a_set_is_that_of_scikit_image(peak):
    def answer(x_hat, x, *, peak):
        return peak_signal_noise_ratio(x.double().numpy(), x_hat.double().numpy(), data_range=peak)

    assert "6 images" in exercises.check_psnr_of_set(answer, peak=peak)
    with pytest.raises(Wrong, match="unit"):
        exercises.check_psnr_of_set(lambda x_hat, x, *, peak: 10 * math.log10(peak / ((x_hat - x) ** 2).mean()), peak=2)
    with pytest.raises(Wrong, match="float64"):  # torch's own NotImplementedError is not taken for a blank answer
        exercises.check_psnr_of_set(lambda x_hat, x, *, peak: _refuse())


def _refuse():
    raise NotImplementedError("no such kernel for float64")


def test_the_noise_level_of_scikit_image_passes_too():
    def answer(noisy):
        return sum(estimate_sigma(picture.numpy()) for picture in noisy[:, 0]) / len(noisy)

    assert "5 %" in exercises.check_noise_level(answer)
    with pytest.raises(Wrong) as caught:
        exercises.check_noise_level(lambda noisy: 1.3 * answer(noisy))
    assert caught.value.mistake == "too-high"


def test_a_censored_level_may_come_from_a_mean_solved_for_sigma_or_from_a_quantile():
    def dark(stored, border):
        return torch.cat([stored[..., :border, :], stored[..., -border:, :]], 2).double()

    def by_quantile(stored, *, border, share=0.7):
        return torch.from_numpy(np.quantile(dark(stored, border), [share])) / NormalDist().inv_cdf(share)

    by_low_quantile = partial(by_quantile, share=0.6)

    def by_mean(stored, *, border):
        mean, low, high = dark(stored, border).mean().item(), 0.001, 3.0
        for _ in range(60):
            sigma = (low + high) / 2
            top = stats.norm.sf(1 / sigma)
            expected = sigma * (stats.norm.pdf(0) - stats.norm.pdf(1 / sigma)) + top
            low, high = (sigma, high) if expected < mean else (low, sigma)
        return sigma

    for answer in (by_quantile, by_low_quantile, by_mean):
        for sigmas, border, seed in (((0.1, 0.3), 2, 0), ((0.2,), 1, 1), ((0.02, 0.5), 3, 2), ((0.8,), 2, 3)):
            exercises.check_clipped_noise_level(answer, sigmas=sigmas, border=border, seed=seed)
    with pytest.raises(Wrong) as caught:  # a number that no mistake explains gets no explanation, and not the answer
        exercises.check_clipped_noise_level(lambda stored, *, border: 0.02065, sigmas=(0.02,))
    assert caught.value.mistake == "too-high" and "0.0206" in str(caught.value) and "right" not in str(caught.value)
    with pytest.raises(Wrong) as caught:
        exercises.check_clipped_noise_level(lambda stored, *, border: stored.std())
    assert caught.value.mistake in ("too-high", "too-low")


def test_a_kind_is_told_by_counting_values_and_a_wrong_one_gets_the_hint_of_its_pair(strokes):
    def answer(stored):
        dark = stored[..., :2, :]
        if dark.max() > 0:
            return "salt-and-pepper" if len(dark.unique()) == 2 else "gaussian"
        middle = stored[..., 1:-1, 1:-1]
        around = torch.stack([stored[..., 1:-1, 2:], stored[..., 1:-1, :-2]]).min(0).values
        return "masking" if (middle[around > 0.6] == 0).float().mean() > 0.04 else "shot"

    for strengths in ("weak", "middle", "strong"):
        exercises.check_kind_of_noise(answer, strengths=strengths, digits=strokes)
    for said, mistake in (("shot", "dark-or-not"), ("salt-and-pepper", "dark-values"), ("noise", "unknown-name")):
        with pytest.raises(Wrong) as caught:
            exercises.check_kind_of_noise(lambda stored, said=said: said, strokes)
        assert caught.value.mistake == mistake


def test_the_risk_may_use_normal_probes_or_float64_and_has_to_use_the_generator():
    def answer(denoise, noisy, *, sigma, generator, kind=torch.float32):
        b = torch.randn(noisy.shape, generator=generator).to(kind)
        change = (denoise(noisy.to(kind) + 1e-2 * b) - denoise(noisy.to(kind) - 1e-2 * b)) / 2e-2
        return (denoise(noisy) - noisy).square().mean() - sigma**2 + 2 * sigma**2 * (b * change).mean()

    for filters in ("pointwise", "blur"):
        exercises.check_unbiased_risk(answer, filters=filters)
        exercises.check_unbiased_risk(
            lambda *given, **told: answer(*given, **told, kind=torch.float64), filters=filters
        )
    with pytest.raises(Wrong) as caught:
        exercises.check_unbiased_risk(lambda f, y, *, sigma, generator: answer(f, y, sigma=sigma, generator=None))
    assert caught.value.mistake == "generator"


def test_camera_settings_may_be_solved_with_variances(strokes):
    def answer(noisy, clean):
        sigma = noisy[..., 0].std()
        return [sigma, clean.mean() / (noisy.var() - clean.var() - sigma**2)]

    exercises.check_camera_settings(answer, strokes)
    for form in (torch.stack, np.array):
        exercises.check_camera_settings(lambda noisy, clean, form=form: form(answer(noisy, clean)), strokes)
    with pytest.raises(Wrong) as caught:
        exercises.check_camera_settings(lambda noisy, clean: answer(noisy, clean)[::-1], strokes)
    assert caught.value.mistake == "swapped"


def test_the_unknown_camera_follows_its_seed_and_keeps_the_mean():
    x = torch.full((40, 1, 50, 50), 0.5)
    first, second = (denoisers.unknown_camera(x, seed=seed) for seed in (1, 2))
    assert first.dtype == torch.float32 and torch.equal(first, denoisers.unknown_camera(x, seed=1))
    assert not torch.equal(first, second)
    torch.testing.assert_close(first.mean(), x.mean(), rtol=0.02, atol=0)
    shot = first.var() - denoisers.unknown_camera(0 * x, seed=1).var()  # the same settings in the dark
    assert 2.4 < 0.5 / shot < 4.1


def test_a_denoiser_is_scored_and_its_faults_are_named(strokes):
    def answer(damage, clean):
        torch.manual_seed(0)
        layers = [torch.nn.Conv2d(1, 12, 7, padding=3), torch.nn.SiLU(), torch.nn.Conv2d(12, 1, 7, padding=3)]
        network = torch.nn.Sequential(*layers, torch.nn.Sigmoid())
        optimiser = torch.optim.Adam(network.parameters(), 1e-2)
        for x in clean.repeat(4, 1, 1, 1).split(40):
            optimiser.zero_grad()
            F.mse_loss(network(damage(x)), x).backward()
            optimiser.step()
        return network

    assert "best blur" in exercises.check_trained_denoiser(answer, strokes, strict=True)

    assert "best blur" in exercises.check_trained_denoiser(answer, strokes, gain=0.4, seed=2)

    def lazy(damage, clean, *, times=5):
        for _ in range(times):
            damage(clean)
        return lambda noisy: noisy.clamp(0, 1)

    without = partial(lazy, torch.clone)
    cases = (
        (lazy, "copies"),
        (partial(lazy, times=1), "one-noise"),
        (lambda damage, clean: without(clean), "no-damage"),
    )
    for made, mistake in cases:
        with pytest.raises(Wrong) as caught:
            exercises.check_trained_denoiser(made, strokes)
        assert caught.value.mistake == mistake


@pytest.mark.parametrize("spoil", [lambda x: (255 * x).byte(), lambda x: x[:10], lambda x: None, lambda x: 2 * x])
def test_digits_that_a_cell_has_overwritten_are_told_before_an_answer_is_blamed(strokes, spoil):
    for check in (
        exercises.check_kind_of_noise,
        exercises.check_camera_settings,
        exercises.check_trained_denoiser,
    ):
        with pytest.raises(Wrong, match="set-up cell") as caught:
            check(lambda *given: None, spoil(strokes))
        assert caught.value.mistake == "digits"


def test_the_package_offers_checks_and_their_error_and_nothing_else():
    assert all(name == "Wrong" or name.startswith("check_") for name in exercises.__all__)
    offered = {
        name for name, value in vars(exercises).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert offered == set(exercises.__all__)
