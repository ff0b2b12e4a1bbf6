"""The widget that walks over the loss of the smallest autoencoder, from two numbers to one and back."""

import numpy as np
from torch import Tensor

from aetutor import plots
from aetutor.widgets.live import Live, slider

FAR = 1.5  # the sliders' ends; the minima lie at distance 1
START = (1.2, -0.6)  # never a minimum, whatever the points: its length is not 1


def two_weights(x) -> Live:
    """Two sliders for the weights of the smallest autoencoder, 2 → 1 → 2: where they stand on its loss, what they do.

    The code of a point is z = w·x and its reconstruction z w: encoder and decoder share the weights w = (w₁, w₂).
    The loss is the mean over points of ‖x − x̂‖²; its minima are ± the points' first principal axis.

    x          : (N, 2)      points of the plane, a tensor or an array, centred: nothing is subtracted here
    returns    : Live
    raises     : ValueError  if x is not (N, 2), is empty or is not finite
    source     : Baldi & Hornik 1989, Neural Networks 2, "learning from examples without local minima"
    taught in  : notebooks/01_theory.ipynb
    """
    x = np.asarray(x.detach().cpu().double() if isinstance(x, Tensor) else x, dtype=float)
    if x.ndim != 2 or x.shape[1] != 2 or len(x) == 0:
        raise ValueError(f"two_weights: expected points of the plane, (N, 2), at least one; got {x.shape}")
    if not np.isfinite(x).all():
        wrong = (~np.isfinite(x)).any(1).sum()
        raise ValueError(f"two_weights: {wrong} of {len(x)} points are nan or infinite")
    spread = x.T @ x / len(x)  # (2, 2), about the origin: all that the loss knows of the points
    smallest = _written(np.linalg.eigvalsh(spread)[0], np.trace(spread))
    grid = np.linspace(-FAR, FAR, 61)
    loss = _loss(spread, np.stack(np.meshgrid(grid, grid), -1))  # (61, 61)

    def draw(first: float, second: float, on: plots.Picture | None = None) -> plots.Picture:
        w = np.array([first, second])
        x_hat = np.outer(x @ w, w)  # (N, 2)
        now = _written(_loss(spread, w), np.trace(spread))
        error = f"mean squared error {now} per point; smallest possible {smallest}"
        title = f"w = ({first:z.2f}, {second:z.2f}): {error}".replace("-", "−")
        step = -_gradient(spread, w)
        return plots.loss_surface(grid, grid, loss, point=w, step=step, x=x, x_hat=x_hat, title=title, on=on)

    names = ("weight w₁", "weight w₂")
    hint = "Moves the mark on the loss, and turns and stretches the line beside it"
    sliders = [slider(name, -FAR, FAR, start, hint=hint) for name, start in zip(names, START, strict=True)]
    return Live(draw, dict(zip(("first", "second"), sliders, strict=True)), reuse=True)


def _written(error: float, whole: float) -> str:
    """Three digits of an error, without an exponent; 0 for what is only rounding beside the points' whole spread."""
    kept = error if error > 1e-12 * whole else 0.0
    return np.format_float_positional(kept, precision=3, fractional=False, trim="-")


def _loss(spread: np.ndarray, w: np.ndarray) -> np.ndarray:
    """mean ‖x − (w·x) w‖² = tr C − 2 wᵀCw + (wᵀw)(wᵀCw), with C = mean x xᵀ (2, 2) and w (…, 2)."""
    kept = ((w @ spread) * w).sum(-1)
    return np.trace(spread) + (np.square(w).sum(-1) - 2) * kept


def _gradient(spread: np.ndarray, w: np.ndarray) -> np.ndarray:
    """∇ of that by w: −4 Cw + 2 (wᵀCw) w + 2 (wᵀw) Cw, for one w (2,)."""
    pull = spread @ w
    return -4 * pull + 2 * (w @ pull) * w + 2 * (w @ w) * pull
