"""`fit`, the one training loop of the course."""

import copy
import math
import numbers
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from aetutor import losses, runtime
from aetutor.train.history import History, Row

Objective = Callable[[nn.Module, Tensor], Tensor]
FEW = 100  # steps: below that, most networks have not learnt what they could


class TrainingDiverged(RuntimeError):
    """The loss became infinite or not a number.

    returns    : RuntimeError  the model holds the best weights reached before
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """


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


def fit(
    model: nn.Module,
    images,
    *,
    epochs: int = 5,
    objective: Objective = reconstruct,
    batch: int = 128,
    lr: float = 4e-3,
    patience: int | None = None,
    threshold: float | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> History:
    """Trains a model on images, in place, and leaves it with the weights that did best on the validation images.

    The learning rate rises over the first tenth of the steps and then falls along half a cosine to zero.

    model      : nn.Module   trained in place; ends on `device`, in eval mode
    images     : ImageSet    or anything with uint8 .train and .valid tensors (N, C, H, W)
    epochs     : int         rounds through the training images, at least 1
    objective  : (model, x) -> (B,)  what to minimise, one number per image; x is float (B, C, H, W) in [0, 1]
    batch      : int         images per step; the last step of an epoch takes what is left
    lr         : float       AdamW's peak learning rate
    patience   : int         stop after this many epochs in a row without a better validation objective; None: never
    threshold  : float       stop as soon as the validation objective per image is this low; None: never
    seed       : int         number of the random streams that shuffle and that the objective draws from
    device     : device      where to train; by default the fastest there is
    progress   : bool        show a bar
    returns    : History     one row per epoch: train, valid, seconds
    raises     : ValueError  if an argument is out of range, a split is empty, there are no weights to train, or the
                             objective gives no (B,) that depends on them
    raises     : TypeError   if the model is no network, the objective no function that gives a tensor, or the images
                             no ImageSet of uint8 tensors
    raises     : TrainingDiverged  if the loss is no longer finite; the best weights so far are loaded
    source     : Loshchilov & Hutter 2019, arXiv:1711.05101 (AdamW) and 2017, arXiv:1608.03983 (cosine)
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    _check_numbers(epochs=epochs, batch=batch, lr=lr, patience=patience, threshold=threshold, seed=seed)
    _check_kinds(model, images, objective)
    epochs, batch = int(epochs), int(batch)  # NumPy's whole numbers will do, but not for torch's split
    where = runtime.device(device)
    # The whole set lives on the device as bytes, and a batch is an index into it: no loader, no copies.
    train = _resident("train", images.train, where)  # (N, C, H, W) uint8
    valid = _resident("valid", images.valid, where)
    if train.shape[1:] != valid.shape[1:]:
        train, valid = tuple(train.shape[1:]), tuple(valid.shape[1:])
        raise ValueError(f"images.train holds images of shape {train}, images.valid of {valid}; expected one shape")
    model.to(where)
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0, fused=where.type in ("cuda", "cpu"))
    schedule = _warmup_cosine(optimiser, epochs * math.ceil(len(train) / batch))
    shuffler = runtime.stream("batches", seed)
    history, best = History(unit=_unit(objective)), copy.deepcopy(model.state_dict())

    with runtime.tuned(where) as yield_cores, runtime.seeded("objective", seed), _bar(epochs, progress) as bar:
        try:
            for epoch in range(1, epochs + 1):
                start = time.perf_counter()
                order = torch.randperm(len(train), generator=shuffler).to(where)
                total = torch.zeros((), device=where)
                model.train()
                for index in order.split(batch):
                    yield_cores()
                    x = runtime.to_unit(train[index])  # (B, C, H, W)
                    loss = _one_per_image(objective(model, x), len(x))
                    optimiser.zero_grad(set_to_none=True)
                    loss.mean().backward()
                    optimiser.step()
                    schedule.step()
                    total += loss.detach().sum()  # stays on the device: reading it here would stall a GPU at every step
                    bar.update(len(x) / len(train))
                score = _score(model, valid, objective, batch=1000, seed=seed)
                row = Row(epoch, total.item() / len(train), score, time.perf_counter() - start)
                history.rows.append(row)
                bar.set_postfix_str(f"train {row.train:.4g}, valid {row.valid:.4g} {history.unit}")
                if not (math.isfinite(row.train) and math.isfinite(row.valid)):
                    history.stopped = "diverged"
                    raise TrainingDiverged(
                        f"epoch {epoch}: train {row.train:.4g}, valid {row.valid:.4g}, peak learning rate {lr:g}. "
                        "Usual causes: a learning rate too high (try a tenth), a log or a division by 0 in the "
                        "objective. The model holds the best weights from before."
                    )
                if row is history.best:
                    best = copy.deepcopy(model.state_dict())
                if threshold is not None and row.valid <= threshold:
                    history.stopped = f"validation reached the threshold of {threshold:g} after epoch {epoch}"
                    break
                if patience is not None and epoch - history.best.epoch >= patience:
                    history.stopped = f"no better on validation for {patience} epochs, after epoch {epoch}"
                    break
            else:
                history.stopped = f"all {epochs} epochs done"
                if (steps := epochs * math.ceil(len(train) / batch)) < FEW:
                    history.stopped += f", but only {steps} steps: take a smaller batch or more epochs"
        except KeyboardInterrupt:  # the notebook's stop button: hand back what has been reached
            history.stopped = f"interrupted in epoch {len(history) + 1}"
        finally:
            model.load_state_dict(best)
            model.eval()
    return history


# --- Parts ------------------------------------------------------------------------------------------------------


def _score(model: nn.Module, pixels: Tensor, objective: Objective, *, batch: int, seed: int) -> float:
    # The same random numbers every time, or a noisy objective would make epochs better and worse by luck.
    model.eval()
    with torch.no_grad(), runtime.seeded("validation", seed):
        batches = map(runtime.to_unit, pixels.split(batch))
        parts = [_one_per_image(objective(model, x), len(x)).sum() for x in batches]
    return torch.stack(parts).cpu().double().sum().item() / len(pixels)  # on the CPU: Apple's GPU has no float64


def _one_per_image(loss: Tensor, count: int) -> Tensor:
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"the objective returned {type(loss).__name__}; expected a tensor ({count},), a number per image"
        )
    if loss.shape != (count,):
        raise ValueError(
            f"the objective returned shape {tuple(loss.shape)} for {count} images; expected ({count},), one number per"
            " image: sum over what belongs to an image (`.flatten(1).sum(1)`), and leave the mean over images to fit"
        )
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise ValueError(
            "the objective's result does not depend on the model's weights; call the model that it is given, without"
            " .detach(), .item(), .numpy() or torch.no_grad()"
        )
    return loss


def _resident(split: str, pixels: Tensor, where: torch.device) -> Tensor:
    if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8:
        found = pixels.dtype if isinstance(pixels, Tensor) else type(pixels).__name__
        raise TypeError(f"images.{split}: expected a uint8 tensor (N, C, H, W), got {found}; see data.from_arrays")
    if pixels.dim() != 4 or len(pixels) == 0:
        raise ValueError(f"images.{split}: expected at least one image (N, C, H, W), got shape {tuple(pixels.shape)}")
    return pixels.to(where)


def _warmup_cosine(optimiser: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    warm = max(1, steps // 10)

    def share_of_peak(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return torch.optim.lr_scheduler.LambdaLR(optimiser, share_of_peak)


def _check_kinds(model: nn.Module, images, objective: Objective) -> None:
    if not isinstance(model, nn.Module):
        found = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"model is {found}; expected a network (nn.Module) such as models.DenseAutoencoder(code=32)")
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError(f"model, {type(model).__name__}, has no weights to train: none that requires a gradient")
    if not (hasattr(images, "train") and hasattr(images, "valid")):
        raise TypeError(
            f"fit takes an ImageSet with .train and .valid, got {type(images).__name__}: data.load or data.from_arrays"
            " makes one"
        )
    if not callable(objective):
        raise TypeError(f"objective is {objective!r}; expected a function of (model, x) that gives a number per image")


def _check_numbers(*, epochs, batch, lr, patience, threshold, seed) -> None:
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool):
        raise ValueError(f"seed is {seed!r}; expected a whole number such as 0")
    for name, value in [("epochs", epochs), ("batch", batch), ("patience", patience)]:
        if value is None and name == "patience":
            continue
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number of 1 or more")
    if not (isinstance(lr, (int, float)) and 0 < lr < math.inf):
        raise ValueError(f"lr is {lr!r}; expected a positive number such as 0.004")
    if threshold is not None and not (isinstance(threshold, (int, float)) and not math.isnan(threshold)):
        raise ValueError(f"threshold is {threshold!r}; expected a number in the objective's unit, or None")


def _unit(objective: Objective) -> str:
    return "squared error per image" if objective is reconstruct else "objective per image"


def _bar(epochs: int, progress: bool):
    from tqdm.auto import tqdm

    layout = "{percentage:3.0f}% |{bar}| {n:.1f} of {total} epochs, {elapsed}, {remaining} to go{postfix}"
    return tqdm(total=epochs, disable=not progress, leave=False, bar_format=layout, mininterval=0.2)
