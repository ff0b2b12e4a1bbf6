"""How well a model reconstructs images it was not trained on, and their codes."""

import math
from collections.abc import Callable

from torch import Tensor, nn

from aetutor import losses
from aetutor.measure.pixels import _over


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


# --- Parts ------------------------------------------------------------------------------------------------------


def _errors(name: str, model, pixels: Tensor, batch: int) -> Tensor:
    return _over(name, model, pixels, batch, lambda x: losses.squared_error(model(x), x))
