"""The floors: errors of answers that need no network, for a model's to be read against."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from aetutor import losses, runtime
from aetutor.measure.pixels import _split, _whole


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


# --- Parts ------------------------------------------------------------------------------------------------------


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
