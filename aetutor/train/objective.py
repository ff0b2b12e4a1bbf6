"""What training minimises: one number per image, and the checks that it is that."""

from collections.abc import Callable

from torch import Tensor, nn

from aetutor import losses

Objective = Callable[[nn.Module, Tensor], Tensor]


def reconstruct(model: nn.Module, x: Tensor) -> Tensor:
    """The default objective: squared error between a batch and its reconstruction.

    model      : nn.Module     x -> x_hat
    x          : (B, C, H, W)  intensity in [0, 1]
    returns    : (B,)          squared intensity per image, summed over its pixels
    raises     : ValueError    if the model returns another shape than it was given
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    return losses.squared_error(model(x), x)


class Lesson(nn.Module):
    # A network and what it is asked to minimise, as one module x -> (B,): what torch's tools for modules take,
    # whichever of the network's methods the objective calls.

    def __init__(self, model: nn.Module, objective: Objective, player: str = ""):
        super().__init__()
        self.model, self.said = model, f"the objective of {player!r}" if player else "the objective"
        object.__setattr__(self, "objective", objective)  # not a part, even if it is a module: it is not trained

    def forward(self, x: Tensor) -> Tensor:
        return one_per_image(self.objective(self.model, x), len(x), self.said)


def one_per_image(loss: Tensor, count: int, said: str) -> Tensor:
    if not isinstance(loss, Tensor):
        raise TypeError(f"{said} returned {type(loss).__name__}; expected a tensor ({count},), a number per image")
    if loss.shape != (count,):
        raise ValueError(
            f"{said} returned shape {tuple(loss.shape)} for {count} images; expected ({count},), one number per"
            " image: sum over what belongs to an image (`.flatten(1).sum(1)`), and leave the mean over images to fit"
        )
    return loss.float()  # under bfloat16, a sum over images would lose its digits


def unit(objective: Objective) -> str:
    return "squared error per image" if objective is reconstruct else "objective per image"
