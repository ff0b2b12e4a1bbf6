"""Checks of assignment 06, third part: who copies, and the verdict on four samplers."""

from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import torch
from torch import Tensor

from .answers import Wrong, call, describe, kind, number, plain, require, same, tensor
from .features import HIDDEN, places, squares

# What decides a verdict is kept by private names, taken at import (see answers.py).
_roll, _sqrt, _stack = np.roll, np.sqrt, np.stack
_maximum, _minimum, _zeros_like = np.maximum, np.minimum, np.zeros_like
_from_numpy, _cpu, _detach = torch.from_numpy, Tensor.cpu, Tensor.detach

KINDS = ("copier", "dropper", "blurrer", "honest")


def check_share_nearer(
    answer: Callable, *, known: int = 30, fresh: int = 30, ties: bool = False, channels: int = 1, seed: int = 0
) -> str:
    """Whether answer(x, known, fresh) is the share of x nearer to known images than to as many fresh ones.

    answer     : x (B, C, H, W), known (N, C, H, W), fresh (M, C, H, W) -> number
    known      : int         N, images that the sampler was trained on
    fresh      : int         M, images that it never saw
    ties       : bool        whether some image is in all three sets
    channels   : int         C
    seed       : int         draws the images
    returns    : str         what was verified
    raises     : Wrong       with a hint, unless the answer is right
    source     : this course; Lopez-Paz & Oquab 2017, arXiv:1610.06545, on two samples told apart by neighbours
    taught in  : notebooks/06_adversarial.ipynb
    """
    draw = torch.Generator().manual_seed(seed)
    # In quarters, so that sums of squares are exact and a tie is one.
    sets = [torch.randint(0, 5, (count, channels, 6, 6), generator=draw) / 4 for count in (16, known, fresh)]
    sets[0][:6] = sets[1][:6]
    sets[0][:6, :, 0] = 1 - sets[0][:6, :, 0]  # six copies, with another first row
    if ties:
        sets[0][-4:] = sets[1][:4] = sets[2][:4]
    for given in zip(*map(places, sets), strict=True):
        got = number(call(answer, *given, name="share_nearer"), name="share_nearer(x, known, fresh)")
        _check_share(got, *(_flat(plain(part)) for part in given))
    return f"share_nearer: right for {known} known and {fresh} fresh images; {HIDDEN}"


def _check_share(got: float, x: np.ndarray, known: np.ndarray, fresh: np.ndarray) -> None:
    n = min(len(known), len(fresh))

    def share(known: np.ndarray, fresh: np.ndarray, *, tie: float = 0.5, over: Callable = np.min) -> float:
        gap = over(squares(x, fresh), axis=1) - over(squares(x, known), axis=1)
        return (gap > 0).mean() + tie * (gap == 0).mean()

    want = share(known[:n], fresh[:n])
    none, all_ = (share(known[:n], fresh[:n], tie=tie) for tie in (0, 1))
    tried = {
        "ties": (none if abs(got - none) < 1e-6 else all_, "an image as near to one set as to the other counts half."),
        "swapped": (1 - want, "this is the share nearer to fresh images."),
        "unequal": (
            share(known, fresh),
            f"{len(known)} known and {len(fresh)} fresh images: the larger set wins by its size. Cut it.",
        ),
        "average": (
            share(known[:n], fresh[:n], over=_middle),
            "mean distances are compared; the nearest image counts.",
        ),
        "count": (want * len(x), "this is a count; a share is asked for."),
    }
    same(got, want, name="share_nearer(x, known, fresh)", mistakes=tried)


def _middle(squared: np.ndarray, *, axis: int) -> np.ndarray:
    return _sqrt(squared).mean(axis)


def check_shifted_distance(
    answer: Callable, *, reach: int = 1, frame: int = 2, shape: tuple[int, ...] = (1, 9, 9), seed: int = 0
) -> str:
    """Whether answer(x, others, reach=) is the squared distance to the nearest of others, over all moves of x.

    answer     : x (B, C, H, W), others (N, C, H, W) -> (B,)
    reach      : int         largest move along each axis, in pixels
    frame      : int         black pixels around what is on an image
    shape      : (C, H, W)   of an image
    seed       : int         draws the images
    returns    : str         what was verified
    raises     : Wrong       with a hint, unless the answer is right
    source     : this course; Simard, LeCun & Denker 1993, NeurIPS, on distances that forgive small changes
    taught in  : notebooks/06_adversarial.ipynb
    """
    draw = torch.Generator().manual_seed(seed)
    images = torch.zeros(16, *shape)
    height, width = (size - 2 * frame for size in shape[1:])
    images[..., frame : frame + height, frame : frame + width] = torch.rand(16, shape[0], height, width, generator=draw)
    steps = list(product(range(-max(reach, 1), max(reach, 1) + 1), repeat=2))
    # In all directions, and most often one way, so that no move for all is the same as none.
    taken = [steps[5 * i % len(steps)] if i % 3 else steps[-1] for i in range(16)]
    moved = [_moved(image, *step) for image, step in zip(plain(images), taken, strict=True)]
    for x, others in zip(places(_from_numpy(_stack(moved)).float()), places(images[:12]), strict=True):
        got = call(answer, x, others, name="shifted_distance", reach=reach)
        got = tensor(got, name="shifted_distance(x, others)", shape=(len(x),), like=x)
        _check_moves(got, plain(x), plain(others), reach)
    border = f"images in a black frame, {frame} wide," if frame else "images that reach the border"
    return f"shifted_distance: right for {border} and moves of up to {reach} along both axes; {HIDDEN}"


def _check_moves(got: Tensor, x: np.ndarray, others: np.ndarray, reach: int) -> None:
    def least(steps, move: Callable = _moved) -> np.ndarray:
        return _stack([squares(_flat(move(x, *step)), _flat(others)).min(1) for step in steps])

    steps = list(product(range(-reach, reach + 1), repeat=2))
    every = least(steps)  # (moves, B)
    others_move = [squares(_flat(x), _flat(_moved(others, *step))).min(1) for step in steps]
    want = every.min(0)
    some = {
        "unmoved": ([(0, 0)], "images are compared where they stand. Is x moved?"),
        "straight": (
            [step for step in steps if 0 in step],
            "images move along one axis at a time. Both count as well.",
        ),
        "one-way": (
            [step for step in steps if min(step) >= 0],
            "images move down and right only. Up and left count too.",
        ),
        "at-rest": ([step for step in steps if any(step)] or steps, "an image that stays where it is counts as well."),
        "reach": (product((-1, 0, 1), repeat=2), f"with reach={reach}, this is the answer for 1."),
    }
    tried = {mistake: (least(moves).min(0), hint) for mistake, (moves, hint) in some.items()} | {
        "root": (_sqrt(want), "this is the distance; its square is asked for."),
        "others-moved": (
            _stack(others_move).min(0),
            "others are moved, and it is x that should move. At the border the two differ.",
        ),
        "wraps": (least(steps, _rolled).min(0), "what leaves on one side comes in on the other. Black should come in."),
        "one-for-all": (
            every[every.sum(1).argmin()],
            "all images make the same move. Each has a best one of its own: over which axis is the minimum?",
        ),
    }
    fine = {"rtol": 1e-3, "atol": 1e-3}
    same(got, want, name="shifted_distance(x, others)", pixels=x[0].size, mistakes=tried, **fine)


def _moved(x: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images moved over a black ground; what leaves is lost."""
    out, (height, width) = _zeros_like(x), x.shape[-2:]
    here = x[..., max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
    out[..., max(down, 0) : height - max(-down, 0), max(right, 0) : width - max(-right, 0)] = here
    return out


def _rolled(x: np.ndarray, down: int, right: int) -> np.ndarray:
    return _roll(x, (down, right), (-2, -1))


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def check_verdict(answer: Callable, sets: Mapping[str, Tensor], *, truth: Mapping[str, str], **given) -> str:
    """Whether answer(sets, known, fresh, judge=, distance=) names the kind of sampler behind each set.

    answer     : sets, known, fresh, judge, distance -> {letter: kind}
    sets       : {letter: (N, C, H, W)}  images of each sampler
    truth      : {letter: kind}  "copier", "dropper", "blurrer" or "honest"
    given      : known, fresh, judge  training images, as many fresh ones, and what describes images and names classes
    returns    : str         what was verified
    raises     : Wrong       with a hint, unless every set is named right
    source     : this course
    taught in  : notebooks/06_adversarial.ipynb
    """
    known, fresh, how = given["known"], given["fresh"], {"judge": given["judge"], "distance": _distance}
    got = call(answer, dict(sets), known, fresh, name="verdict", **how)
    require(isinstance(got, Mapping), "type", f"verdict should return a dict {{letter: kind}}, not {kind(got)}.")
    hint = f"verdict names {', '.join(map(str, got))}, but the sets that it is given are {', '.join(sets)}."
    require(set(got) == set(sets), "letters", hint)
    odd = [value for value in got.values() if not isinstance(value, str) or value not in KINDS]
    require(not odd, "names", f"verdict says {describe(odd[:1])}; the kinds are {', '.join(KINDS)}.")
    wrong = [(truth[letter], got[letter]) for letter in sets if got[letter] != truth[letter]]
    hint = (
        "verdict names each kind once, but here a kind comes twice and another not at all. "
        "Judge each set by itself, against fresh digits, and not by which has the most or the least."
    )
    require(not wrong or len(set(got.values())) < len(got) or len(set(truth.values())) == len(got), "ranking", hint)
    for was, word in wrong[:1]:
        hint = f"verdict: {len(wrong)} of {len(sets)} are wrong. One that is {was} is called {word}. {_QUESTIONS[was]}"
        raise Wrong("false-alarm" if was == "honest" else f"{was}-missed", hint)
    return f"verdict: right for {len(sets)} sets; {HIDDEN}"


_QUESTIONS = {
    "copier": "Is it nearer to known images than to as many fresh ones, if it may be moved by a pixel?",
    "dropper": "How many of each digit does the judge see? Which digits are missing differs from test to test.",
    "blurrer": "How sharp are its images, beside fresh digits?",
    "honest": "An honest sampler is a little less sharp than digits, and a little nearer to what it was trained on. "
    "What does your instrument say of it, and of a bad one? Put your bound between the two.",
}


def _distance(x: Tensor, others: Tensor, *, reach: int = 1) -> Tensor:
    """A right answer to the question before, by a matrix product, since verdicts need many distances."""
    images, to = (_cpu(_detach(part)).numpy() for part in (x, others))  # in float32: a product twice as fast
    to = _flat(to)
    norms, best = (to * to).sum(1), None
    for step in product(range(-reach, reach + 1), repeat=2):
        moved = _flat(_moved(images, *step))
        far = (norms - 2 * moved @ to.T).min(1) + (moved * moved).sum(1)
        best = far if best is None else _minimum(best, far)
    return _from_numpy(_maximum(best, 0)).to(x)
