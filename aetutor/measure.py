"""Scores on images a model was not trained on, and the floors to read them against."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from aetutor import losses, runtime


def errors(model: Callable[[Tensor], Tensor], pixels: Tensor, *, batch: int = 1000) -> Tensor:
    """Squared error of each image's reconstruction.

    model      : x -> x_hat    a network, or any function of (B, C, H, W) float images
    pixels     : (N, C, H, W)  uint8
    batch      : int           images reconstructed at once
    returns    : (N,)          squared intensity per image, summed over C, H and W; on the CPU
    raises     : TypeError     if the pixels are not uint8
    raises     : ValueError    if there is no image, or the reconstruction has another shape than the image
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    where = _place(model, pixels)
    return _over(pixels, batch, where, model, lambda x: losses.squared_error(model(x), x))


def reconstruction_error(model: Callable[[Tensor], Tensor], pixels: Tensor, *, batch: int = 1000) -> float:
    """Mean squared error per pixel.

    model      : x -> x_hat    a network, or any function of (B, C, H, W) float images
    pixels     : (N, C, H, W)  uint8
    batch      : int           images reconstructed at once
    returns    : float         squared intensity per pixel, mean over all pixels of all images
    raises     : TypeError     if the pixels are not uint8
    raises     : ValueError    if there is no image, or the reconstruction has another shape than the image
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    return errors(model, pixels, batch=batch).double().mean().item() / pixels[0].numel()


def codes(model: nn.Module, pixels: Tensor, *, batch: int = 1000) -> Tensor:
    """The code of each image.

    model      : nn.Module     with .encode
    pixels     : (N, C, H, W)  uint8
    batch      : int           images encoded at once
    returns    : (N, Z)        codes, on the CPU
    raises     : TypeError     if the pixels are not uint8
    raises     : ValueError    if there is no image
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    return _over(pixels, batch, _place(model, pixels), model, model.encode)


def floors(images, code: int = 32) -> dict[str, float]:
    """What needs no network: errors that a model must beat to have learnt anything.

    All three are fitted to the training images and scored on the test images.

    images     : ImageSet    or anything with uint8 .train and .test (N, C, H, W)
    code       : int         numbers in PCA's code
    returns    : dict        "constant" (one grey for every pixel), "mean image", "PCA": mean squared error per pixel
    raises     : TypeError   if the pixels are not uint8
    raises     : ValueError  if a split is empty, or code is not in 1…min(training images, pixels)
    source     : PCA: Jolliffe 2002, Principal Component Analysis, 2nd edition
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    pca = pca_errors(images, (code,))[code]
    test = _flat(images.test)
    mean = _mean(images.train)  # (C·H·W,)
    return {
        "constant": (test - mean.mean()).square().mean().item(),
        "mean image": (test - mean).square().mean().item(),
        "PCA": pca,
    }


def pca_errors(images, codes: Sequence[int]) -> dict[int, float]:
    """Test error of principal component analysis at several code sizes, from one decomposition.

    images     : ImageSet    or anything with uint8 .train and .test (N, C, H, W)
    codes      : ints        code sizes
    returns    : dict        code size -> mean squared error per pixel on the test images
    raises     : TypeError   if the pixels are not uint8
    raises     : ValueError  if a split is empty, or a code size is not in 1…min(training images, pixels)
    source     : Jolliffe 2002, Principal Component Analysis, 2nd edition; sklearn.decomposition.PCA
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    codes = tuple(codes)
    if not codes:
        raise ValueError("pca_errors: expected at least one code size, got none")
    axes, mean = _principal_axes(images.train, codes)
    centred = _flat(images.test).sub_(mean)  # (N, D)
    z = centred @ axes.T  # (N, Z)
    # The largest size holds all smaller ones: PCA's components come in order.
    return {code: (centred - z[:, :code] @ axes[:code]).square().mean().item() for code in codes}


def pca(images, code: int = 32) -> Callable[[Tensor], Tensor]:
    """Principal component analysis as if it were a network, so that it can be asked about any image.

    images     : ImageSet    or anything with uint8 .train (N, C, H, W)
    code       : int         numbers in the code
    returns    : x -> x_hat  float images (B, C, H, W) on any device to their projections of the same shape
    raises     : TypeError   if the pixels are not uint8
    raises     : ValueError  if there is no image, or code is not in 1…min(training images, pixels)
    source     : Jolliffe 2002, Principal Component Analysis, 2nd edition; sklearn.decomposition.PCA
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    axes, mean = _principal_axes(images.train, (code,))

    def project(x: Tensor) -> Tensor:
        here, middle = axes.to(x.device), mean.to(x.device)
        return (((x.flatten(1) - middle) @ here.T) @ here + middle).view_as(x)

    return project


def psnr(x_hat: Tensor, x: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, one number per image.

    x_hat, x   : (B, C, H, W)  intensity in [0, 1]
    returns    : (B,)          decibels, −10 log10 of the mean squared error; infinite where the two are equal
    raises     : ValueError    if the two shapes differ
    source     : Huynh-Thu & Ghanbari 2008, Electronics Letters 44:800
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    return -10 * torch.log10(losses.squared_error(x_hat, x) / x[0].numel())


def ssim(x_hat: Tensor, x: Tensor) -> Tensor:
    """Structural similarity, one number per image.

    x_hat, x   : (B, C, H, W)  intensity in [0, 1], at least 11 × 11 pixels
    returns    : (B,)          −1…1, 1 where the two are equal; mean over channels; on the CPU
    raises     : ValueError    if the two shapes differ or the images are smaller than the 11 × 11 window
    source     : Wang, Bovik, Sheikh & Simoncelli 2004, IEEE TIP 13:600; skimage.metrics.structural_similarity
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    from skimage.metrics import structural_similarity

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


# --- Parts ------------------------------------------------------------------------------------------------------


def _place(model, pixels: Tensor) -> torch.device:
    # Data goes to where the network is; a plain function gets it where the pixels are.
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return weight.device if weight is not None else getattr(pixels, "device", torch.device("cpu"))


def _over(pixels: Tensor, batch: int, where: torch.device, model, score: Callable[[Tensor], Tensor]) -> Tensor:
    if len(pixels) == 0:
        raise ValueError("expected at least one image, got none")
    # A score must not depend on dropout or on the other images of its batch: eval mode, then each part as it was.
    modes = {part: part.training for part in model.modules()} if isinstance(model, nn.Module) else {}
    if modes:
        model.eval()
    try:
        with torch.no_grad():
            parts = (pixels[start : start + batch] for start in range(0, len(pixels), batch))
            return torch.cat([score(runtime.to_unit(part, where=where)).cpu() for part in parts])
    finally:
        for part, training in modes.items():
            part.training = training


def _principal_axes(pixels: Tensor, codes: Sequence[int]) -> tuple[Tensor, Tensor]:
    from sklearn.decomposition import PCA

    mean = _mean(pixels)  # (D,)
    # Centred here: E[x xᵀ] − E[x] E[x]ᵀ, as the solver has it, loses the small components of bright images in float32.
    centred = _flat(pixels).sub_(mean)  # (N, D)
    most = min(centred.shape)
    for code in codes:
        if not 1 <= code <= most:
            raise ValueError(f"code is {code}; PCA on these images takes 1…{most}")
    # The covariance solver is exact, and quick where there are more images than pixels; the other draws its start.
    solver = "covariance_eigh" if centred.shape[1] <= 4096 else "randomized"
    found = PCA(max(codes), copy=False, svd_solver=solver, random_state=runtime.seed("pca")).fit(centred.numpy())
    return torch.from_numpy(found.components_).float(), mean  # (Z, D) orthonormal rows, (D,)


def _mean(pixels: Tensor) -> Tensor:
    if len(pixels) == 0:
        raise ValueError("expected at least one image, got none")
    # In parts: the whole set in float64 would be eight times its size, and a chapter has 1.5 GB.
    sums = [part.flatten(1).sum(0) for part in pixels.split(1000)]  # (D,) each, int64
    return (torch.stack(sums).sum(0).double() / (255 * len(pixels))).float()


def _flat(pixels: Tensor) -> Tensor:
    if len(pixels) == 0:
        raise ValueError("expected at least one image, got none")
    return runtime.to_unit(pixels).flatten(1)  # (N, C·H·W)
