"""What an epoch is judged by: the objective on the validation images, or the reader's own score."""

import math
import numbers
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from aetutor import runtime
from aetutor.train.objective import Lesson
from aetutor.train.source import Resident, Streamed
from aetutor.train.team import Team

Score = Callable[[nn.Module], float]


def validate(
    model: nn.Module,
    lessons: Sequence[Lesson],
    valid: Resident | Streamed,
    *,
    score: Score | None,
    team: Team,
    seed: int,
) -> float:
    model.eval()
    team.agree(model)
    # The same random numbers every time, or a noisy objective would make epochs better and worse by luck.
    with torch.no_grad(), runtime.seeded("validation", seed):
        if score is not None:
            return team.gather(_number(score(model)))[0]  # one answer for all processes, or some would stop alone
        return _mean(lessons, valid, team)


def score_name(score: Score | None) -> str:
    if score is None:
        return ""
    found = getattr(score, "__name__", "score")
    return "score" if found == "<lambda>" else found


def _mean(lessons: Sequence[Lesson], valid: Resident | Streamed, team: Team) -> float:
    at_once = max(1, min(250, 2**24 // math.prod(valid.shape)))  # of large images fewer, for memory's sake
    parts = torch.arange(len(valid), device=valid.home).split(at_once)[team.rank :: team.size]
    total, seen = torch.zeros((), device=valid.where), 0
    for given in valid.batches(parts):
        x = valid.take(given)  # (B, C, H, W)
        for lesson in lessons:
            total += lesson(x).sum()
        seen += len(given)
    total, seen = team.sum(torch.stack([total, total.new_tensor(seen)])).tolist()
    if not seen:
        raise ValueError("not one of the validation images could be read; see images.valid.unreadable")
    return total / seen


def _number(found) -> float:
    plain = found.item() if isinstance(found, Tensor) and found.dim() == 0 else found
    if not isinstance(plain, numbers.Real) or isinstance(plain, bool):
        shape = f" of shape {tuple(found.shape)}" if isinstance(found, Tensor) else ""
        raise TypeError(f"score returned {type(found).__name__}{shape}; expected a number, lower for a better model")
    return float(plain)
