"""Scores on images a model was not trained on, and the floors to read them against."""

import math
import numbers
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from aetutor import losses, runtime


def errors(model: Callable[[Tensor], Tensor], pixels: Tensor, *, batch: int = 100) -> Tensor:
    """Squared error of each image's reconstruction.

    model      : x -> x_hat    a network, or any function of (B, C, H, W) float images
    pixels     : (N, C, H, W)  uint8; or data.Files
    batch      : int           images reconstructed at once
    returns    : (N,)          squared intensity per image, summed over C, H and W; on the CPU
    raises     : TypeError     if the pixels are not a uint8 tensor
    raises     : ValueError    if there is no image, batch is below 1, or a reconstruction has another shape
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    return _errors("errors", model, pixels, batch)


def reconstruction_error(model: Callable[[Tensor], Tensor], pixels: Tensor, *, batch: int = 100) -> float:
    """Mean squared error per pixel.

    model      : x -> x_hat    a network, or any function of (B, C, H, W) float images
    pixels     : (N, C, H, W)  uint8; or data.Files
    batch      : int           images reconstructed at once
    returns    : float         squared intensity per pixel, mean over all pixels of all images
    raises     : TypeError     if the pixels are not a uint8 tensor
    raises     : ValueError    if there is no image, batch is below 1, or a reconstruction has another shape
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    return _errors("reconstruction_error", model, pixels, batch).double().mean().item() / math.prod(pixels.shape[1:])


def codes(model: nn.Module, pixels: Tensor, *, batch: int = 100) -> Tensor:
    """The code of each image.

    model      : nn.Module     with .encode
    pixels     : (N, C, H, W)  uint8; or data.Files
    batch      : int           images encoded at once
    returns    : (N, Z)        codes, on the CPU
    raises     : TypeError     if the pixels are not a uint8 tensor, or the model has no .encode
    raises     : ValueError    if there is no image, or batch is below 1
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    if not callable(getattr(model, "encode", None)):
        raise TypeError(f"codes: the model is {type(model).__name__}; expected a network with .encode")
    return _over("codes", model, pixels, batch, model.encode)


def floors(images, code: int = 32) -> dict[str, float]:
    """What needs no network: errors that a model must beat to have learnt anything.

    All three are fitted to the training images and scored on the test images.

    images     : ImageSet    or anything with uint8 .train and .test (N, C, H, W)
    code       : int         numbers in PCA's code
    returns    : dict        "constant" (one grey for every pixel), "mean image", "PCA": mean squared error per pixel
    raises     : TypeError   if images is no ImageSet, or its pixels are not uint8 tensors
    raises     : ValueError  if a split is empty, train has 1 image, or code is not in 1…min(training images, pixels)
    source     : PCA: Jolliffe 2002, Principal Component Analysis, 2nd edition
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    pca = _pca_errors("floors", images, (code,))[code]
    test = runtime.to_unit(images.test).flatten(1)  # (N, D)
    mean = _mean(images.train).flatten()  # (D,)
    return {
        "constant": (test - mean.mean()).square().mean().item(),
        "mean image": (test - mean).square().mean().item(),
        "PCA": pca,
    }


def mean_image(images) -> Tensor:
    """The average of all training images, the answer that costs no thought.

    images     : ImageSet    or anything with uint8 .train (N, C, H, W)
    returns    : (C, H, W)   float32 intensity in [0, 1], on the CPU
    raises     : TypeError   if images is no ImageSet, or its pixels are not a uint8 tensor
    raises     : ValueError  if there is no image
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    return _mean(_split("mean_image", images, "train"))


def pca_errors(images, codes: Sequence[int]) -> dict[int, float]:
    """Test error of principal component analysis at several code sizes, from one decomposition.

    images     : ImageSet    or anything with uint8 .train and .test (N, C, H, W)
    codes      : ints        code sizes
    returns    : dict        code size -> mean squared error per pixel on the test images
    raises     : TypeError   if images is no ImageSet, or its pixels are not uint8 tensors
    raises     : ValueError  if a split is empty, train has 1 image, or a size is not in 1…min(training images, pixels)
    source     : Jolliffe 2002, Principal Component Analysis, 2nd edition; sklearn.decomposition.PCA
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    return _pca_errors("pca_errors", images, tuple(codes))


def pca(images, code: int = 32) -> Callable[[Tensor], Tensor]:
    """Principal component analysis as if it were a network, so that it can be asked about any image.

    images     : ImageSet    or anything with uint8 .train (N, C, H, W)
    code       : int         numbers in the code
    returns    : x -> x_hat  float images (B, C, H, W) on any device to their projections of the same shape
    raises     : TypeError   if images is no ImageSet, its pixels are not uint8, or x is not floating
    raises     : ValueError  if there are fewer than 2 images, code is not in 1…min(training images, pixels), or x has
                             another shape
    source     : Jolliffe 2002, Principal Component Analysis, 2nd edition; sklearn.decomposition.PCA
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    axes, mean = _principal_axes("pca", images, (code,))
    shape = tuple(images.train.shape[1:])

    def project(x: Tensor) -> Tensor:
        losses._check_floating("pca", x=x)
        if tuple(x.shape[1:]) != shape:
            raise ValueError(f"pca: x has shape {tuple(x.shape)}; expected (B, {', '.join(map(str, shape))})")
        here, middle = axes.to(x), mean.to(x)  # its device, and its type
        return (((x.flatten(1) - middle) @ here.T) @ here + middle).view(x.shape)

    return project


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


# --- Parts ------------------------------------------------------------------------------------------------------


def _checked(name: str, what: str, pixels: Tensor, least: int = 1, streamed: bool = False) -> Tensor:
    readable = isinstance(pixels, Tensor) or (streamed and hasattr(pixels, "split"))
    if not readable or getattr(pixels, "dtype", None) != torch.uint8:
        found = pixels.dtype if isinstance(pixels, Tensor) else type(pixels).__name__
        raise TypeError(f"{name}: {what} is {found}; expected a uint8 tensor (N, C, H, W) such as images.test")
    if len(pixels.shape) != 4 or len(pixels) < least:
        raise ValueError(
            f"{name}: {what} has shape {tuple(pixels.shape)}; expected (N, C, H, W) with at least"
            f" {'one image' if least == 1 else f'{least} images'}"
        )
    return pixels


def _split(name: str, images, split: str, least: int = 1) -> Tensor:
    if not hasattr(images, split):
        raise TypeError(
            f"{name}: images is {type(images).__name__}, without .{split}; expected the whole ImageSet that data.load"
            " and data.from_arrays make"
        )
    return _checked(name, f"images.{split}", getattr(images, split), least)


def _errors(name: str, model, pixels: Tensor, batch: int) -> Tensor:
    return _over(name, model, pixels, batch, lambda x: losses.squared_error(model(x), x))


def _over(name: str, model, pixels: Tensor, batch: int, score: Callable[[Tensor], Tensor]) -> Tensor:
    _checked(name, "pixels", pixels, streamed=True)
    if not _whole(batch) or batch < 1:
        raise ValueError(f"{name}: batch is {batch!r}; expected a whole number of 1 or more")
    # Data goes to where the network is; a plain function gets it where the pixels are.
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    where = getattr(pixels, "device", None) if weight is None else weight.device
    # A score must not depend on dropout or on the other images of its batch: eval mode, then each part as it was.
    modes = {part: part.training for part in model.modules()} if isinstance(model, nn.Module) else {}
    if modes:
        model.eval()
    try:
        with torch.no_grad():
            return torch.cat([score(runtime.to_unit(part, where=where)).cpu() for part in pixels.split(batch)])
    finally:
        for part, training in modes.items():
            part.training = training
        runtime.trim()


def _pca_errors(name: str, images, codes: tuple[int, ...]) -> dict[int, float]:
    if not codes:
        raise ValueError(f"{name}: expected at least one code size, got none")
    test = _split(name, images, "test")
    axes, mean = _principal_axes(name, images, codes)
    centred = runtime.to_unit(test).flatten(1).sub_(mean)  # (N, D)
    z = centred @ axes.T  # (N, Z)
    # The largest size holds all smaller ones: PCA's components come in order.
    return {code: (centred - z[:, :code] @ axes[:code]).square().mean().item() for code in codes}


def _principal_axes(name: str, images, codes: Sequence[int]) -> tuple[Tensor, Tensor]:
    from sklearn.decomposition import PCA

    pixels = _split(name, images, "train", least=2)
    most = min(len(pixels), math.prod(pixels.shape[1:]))
    for code in codes:
        if not _whole(code) or not 1 <= code <= most:
            raise ValueError(f"{name}: code is {code!r}; PCA on these images takes 1…{most}, whole numbers")
    mean = _mean(pixels).flatten()  # (D,)
    # Centred here: E[x xᵀ] − E[x] E[x]ᵀ, as the solver has it, loses the small components of bright images in float32.
    centred = runtime.to_unit(pixels).flatten(1).sub_(mean)  # (N, D)
    # The covariance solver is exact, and quick where there are more images than pixels; the other draws its start.
    solver = "covariance_eigh" if centred.shape[1] <= 4096 else "randomized"
    found = PCA(max(codes), copy=False, svd_solver=solver, random_state=runtime.seed("pca")).fit(centred.numpy())
    return torch.from_numpy(found.components_).float(), mean  # (Z, D) orthonormal rows, (D,)


def _mean(pixels: Tensor) -> Tensor:
    # In parts: the whole set in float64 would be eight times its size, and a chapter has 1.5 GB.
    sums = [runtime.to_unit(part).sum(0, dtype=torch.float64) for part in pixels.split(1000)]  # (C, H, W) each
    return (torch.stack(sums).sum(0) / len(pixels)).float().cpu()


def _whole(value) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
