"""How good single images look: against the original, or on their own."""

import torch
from torch import Tensor

from aetutor import losses


def psnr(x_hat: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, one number per image.

    x_hat, x   : (B, C, H, W)  intensity in [0, 1]
    returns    : (B,)          decibels, −10 log10 of the mean squared error; infinite where the two are equal
    raises     : TypeError     if one is no floating tensor
    raises     : ValueError    if the two shapes differ
    source     : Huynh-Thu & Ghanbari 2008, Electronics Letters 44:800
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    losses._check_pair("psnr", x_hat=x_hat, x=x)
    return -10 * torch.log10(losses.squared_error(x_hat, x) / x.shape[1:].numel())


def ssim(x_hat: Tensor, x: Tensor) -> Tensor:
    """Structural similarity, one number per image.

    x_hat, x   : (B, C, H, W)  intensity in [0, 1], at least 11 × 11 pixels
    returns    : (B,)          −1…1, 1 where the two are equal; mean over channels; on the CPU
    raises     : TypeError     if one is no floating tensor
    raises     : ValueError    if the two shapes differ or the images are smaller than the 11 × 11 window
    source     : Wang, Bovik, Sheikh & Simoncelli 2004, IEEE TIP 13:600; skimage.metrics.structural_similarity
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    from skimage.metrics import structural_similarity

    losses._check_floating("ssim", x_hat=x_hat, x=x)
    if x_hat.shape != x.shape or x.dim() != 4 or min(x.shape[2:]) < 11:
        raise ValueError(
            f"ssim: x_hat has shape {tuple(x_hat.shape)} and x {tuple(x.shape)}; expected two equal shapes (B, C, H, W)"
            " of at least 11 × 11 pixels"
        )
    pairs = zip(x_hat.detach().cpu().double().numpy(), x.detach().cpu().double().numpy(), strict=True)
    # The settings of the paper: a Gaussian window of σ = 1.5, population covariance.
    paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    scores = [structural_similarity(a, b, channel_axis=0, data_range=1.0, **paper) for a, b in pairs]
    return torch.tensor(scores, dtype=torch.float32)


def sharpness(x: Tensor) -> Tensor:
    """Variance of the Laplacian, one number per image: how much neighbouring pixels differ, whatever is on the image.

    Blur lowers it and noise raises it, so it is read beside an error, and against the sharpness of real images.

    x          : (B, C, H, W)  floating, intensity in [0, 1], at least 3 × 3 pixels
    returns    : (B,)          squared intensity, over the pixels and channels where the kernel 0 1 0, 1 −4 1, 0 1 0
                               fits; 0 for a constant image
    raises     : TypeError     if x is no floating tensor
    raises     : ValueError    if x is not (B, C, H, W) or smaller than the kernel
    source     : Pech-Pacheco, Cristóbal, Chamorro-Martínez & Fernández-Valdivia 2000, ICPR 3:314
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    losses._check_floating("sharpness", x=x)
    if x.dim() != 4 or x.shape[1] < 1 or min(x.shape[2:]) < 3:
        raise ValueError(f"sharpness: x has shape {tuple(x.shape)}; expected (B, C, H, W) of at least 3 × 3 pixels")
    beside = (x[..., :-2, 1:-1] + x[..., 2:, 1:-1]) + (x[..., 1:-1, :-2] + x[..., 1:-1, 2:])
    laplacian = beside - 4 * x[..., 1:-1, 1:-1]  # (B, C, H − 2, W − 2)
    return laplacian.flatten(1).var(1, correction=0)
