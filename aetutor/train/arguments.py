"""What `fit` and `fit_many` are given, looked at before anything is trained."""

import math
import numbers
from collections.abc import Callable, Mapping

from torch import nn

from aetutor.train.objective import Objective
from aetutor.train.players import check_players


def check_kinds(model: nn.Module, images, objective: Objective | Mapping[str, Objective]) -> None:
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
    if isinstance(objective, Mapping):
        check_players(model, objective)
    elif not callable(objective):
        raise TypeError(f"objective is {objective!r}; expected a function of (model, x) that gives a number per image")


def check_numbers(*, epochs, batch, lr, momentum=0.9, patience=None, threshold=None, seed=0) -> None:
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool):
        raise ValueError(f"seed is {seed!r}; expected a whole number such as 0")
    for name, value in [("epochs", epochs), ("batch", batch), ("patience", patience)]:
        if value is None and name == "patience":
            continue
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number of 1 or more")
    if not (isinstance(lr, (int, float)) and 0 < lr < math.inf):
        raise ValueError(f"lr is {lr!r}; expected a positive number such as 0.004")
    if not (isinstance(momentum, (int, float)) and not isinstance(momentum, bool) and 0 <= momentum < 1):
        raise ValueError(f"momentum is {momentum!r}; expected a number from 0 to below 1, such as 0.9")
    if threshold is not None and not (isinstance(threshold, (int, float)) and not math.isnan(threshold)):
        raise ValueError(f"threshold is {threshold!r}; expected a number in the objective's unit, or None")


def check_score(score: Callable | None, objective, *, patience, threshold) -> None:
    if score is not None and not callable(score):
        raise TypeError(f"score is {score!r}; expected a function of the model that gives a number, or None")
    if score is None and isinstance(objective, Mapping):
        for name, value in [("patience", patience), ("threshold", threshold)]:
            if value is not None:
                raise ValueError(
                    f"{name} is {value!r}, but the sum of the players' objectives does not say which epoch is better;"
                    f" give score=, a function of the model (lower is better), or leave {name} out"
                )
