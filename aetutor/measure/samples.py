"""How good a set of new images is: against real ones, by features of both, and against the training images."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from aetutor import losses, runtime
from aetutor.measure.pixels import _batch, _checked, _whole


class PrecisionRecall(NamedTuple):
    """What share of the new images looks real, and what share of the real ones the new ones cover.

    precision  : float       0…1, share of the new images that lie where real images lie
    recall     : float       0…1, share of the real images that lie where new images lie
    returns    : tuple
    raises     : nothing
    source     : Kynkäänniemi, Karras, Laine, Lehtinen & Aila 2019, arXiv:1904.06991
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """

    precision: float
    recall: float


class Neighbours(NamedTuple):
    """How far the nearest image of another set is, and which one it is.

    distance   : (B,)        squared intensity per image, summed over C, H and W; on the CPU
    index      : (B,)        int64, place in the other set; on the CPU
    returns    : tuple
    raises     : nothing
    source     : this course
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """

    distance: Tensor
    index: Tensor


def frechet(a: Tensor, b: Tensor) -> float:
    """Fréchet distance, squared, between the Gaussians fitted to two sets of feature vectors.

    |μ_a − μ_b|² + tr( A + B − 2 (A^½ B A^½)^½ ) with means μ and covariances A and B (divisor N − 1), in float64.
    It comes out too large for few vectors, even where both sets come from one source: compare distances only at equal
    N and M, and read them beside the distance between two sets of real images of that size.

    a, b       : (N, D), (M, D)  floating feature vectors, such as `Judge.describe` gives; at least 2 of each
    returns    : float           squared feature units, at least 0; 0 for two sets of equal mean and covariance
    raises     : TypeError       if one is no floating tensor
    raises     : ValueError      if the shapes do not fit, a set has fewer than 2 vectors, or a number is not finite
    source     : Dowson & Landau 1982, J. Multivariate Analysis 12:450; Heusel et al. 2017, arXiv:1706.08500
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    a, b = _features("frechet", a=a, b=b)
    shift = (a.mean(0) - b.mean(0)).square().sum()
    root_a, root_b = _root(_covariance(a)), _root(_covariance(b))  # (D, D)
    # tr (A^½ B A^½)^½ is the sum of the singular values of A^½ B^½. Taken so, nothing near 0 has its root taken twice.
    together = torch.linalg.svdvals(root_a @ root_b).sum()
    spread = root_a.square().sum() + root_b.square().sum() - 2 * together
    return max(0.0, (shift + spread).item())


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3) -> PrecisionRecall:
    """How many new images look real, and how many of the real ones the new ones cover: two numbers for two failures.

    A set's territory is the union of balls around its vectors, each with its k-th nearest neighbour in the same set
    on its rim (rims belong to the balls). Precision is the share of fake inside real's territory, recall the share of
    real inside fake's. A vector that k or more others equal has a ball of radius 0: it covers its own place, no more.
    A single odd one among real has a large ball, and may hold a heap of bad images (Naeem et al. 2020,
    arXiv:2002.09797): high precision means little where recall is near 0, so read both, beside `frechet`.

    real, fake : (N, D), (M, D)  floating feature vectors, such as `Judge.describe` gives
    k          : int             neighbours, from 1 to one less than the smaller set holds
    returns    : PrecisionRecall  .precision and .recall, each 0…1; both grow with k
    raises     : TypeError       if one is no floating tensor
    raises     : ValueError      if the shapes do not fit, a set has fewer than 2 vectors, a number is not finite, or k
                                 is out of range
    source     : Kynkäänniemi, Karras, Laine, Lehtinen & Aila 2019, arXiv:1904.06991
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    real, fake = _features("precision_recall", real=real, fake=fake)
    most = min(len(real), len(fake)) - 1
    if not _whole(k) or not 1 <= k <= most:
        raise ValueError(
            f"precision_recall: k is {k!r}; {len(real)} real and {len(fake)} fake vectors take 1…{most}, whole numbers"
        )
    reach_real, reach_fake = _reach(real, int(k)), _reach(fake, int(k))  # (N,), (M,)
    looks_real = torch.zeros(len(fake), dtype=torch.bool)
    covered = []
    for distance, reach in zip(_distances(real, fake), reach_real.split(_rows(fake)), strict=True):
        looks_real |= (distance <= reach[:, None]).any(0)  # (M,)
        covered.append((distance <= reach_fake).any(1))
    return PrecisionRecall(looks_real.double().mean().item(), torch.cat(covered).double().mean().item())


def nearest(x: Tensor, to: Tensor, *, batch: int = 1000) -> Neighbours:
    """The nearest image of a set to each of some others, to see whether a model repeats images that it was shown.

    x          : (B, C, H, W)  floating, intensity in [0, 1]
    to         : (N, C, H, W)  uint8, such as images.train
    batch      : int           images of each set compared at once
    returns    : Neighbours    .distance (B,), squared intensity per image, summed over C, H and W, and .index (B,), of
                               the nearest image in `to`, or of one of them where several are equally near
    raises     : TypeError     if x is no floating tensor, or `to` no uint8 tensor
    raises     : ValueError    if one holds no image, the images are of two sizes, or batch is below 1
    source     : this course
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    losses._check_floating("nearest", x=x)
    _checked("nearest", "to", to)
    if x.dim() != 4 or len(x) < 1 or x.shape[1:] != to.shape[1:]:
        raise ValueError(
            f"nearest: x has shape {tuple(x.shape)}; expected (B, {', '.join(map(str, to.shape[1:]))}), images"
            " of the size that `to` has, and at least one"
        )
    batch, x = _batch("nearest", batch), x.detach().float()
    # By |a|² − 2ab + |b|², which one matrix product gives for all pairs, without |a|², which is the same for all b.
    # Its error grows with the images' distance from 0, so they are taken from their mean; and it still blurs near
    # ties, so the best few are compared anew, pixel by pixel.
    few, middle = min(4, len(to)), x.flatten(1).mean(0)
    parts = (-2 * (x.flatten(1) - middle)).split(batch)  # (batch, D) each
    scores = [torch.full((len(part), few), torch.inf, device=x.device) for part in parts]
    places = [torch.zeros(len(part), few, dtype=torch.int64, device=x.device) for part in parts]
    for start in range(0, len(to), batch):
        others = runtime.to_unit(to[start : start + batch], where=x.device).flatten(1).sub_(middle)
        norms = others.square().sum(1)
        for i, part in enumerate(parts):
            score, place = torch.addmm(norms, part, others.T).topk(min(few, len(others)), 1, largest=False)
            scores[i], best = torch.cat([scores[i], score], 1).topk(few, 1, largest=False)
            places[i] = torch.cat([places[i], place + start], 1).gather(1, best)
    distances, indices = [], []
    for images, place in zip(x.cpu().split(100), torch.cat(places).cpu().split(100), strict=True):
        near = runtime.to_unit(to[place.to(to.device)].flatten(0, 1), where="cpu").view(*place.shape, *x.shape[1:])
        distance, best = (images[:, None].double() - near).square().flatten(2).sum(2).min(1)
        distances.append(distance.float())
        indices.append(place.gather(1, best[:, None])[:, 0])
    runtime.trim()
    return Neighbours(torch.cat(distances), torch.cat(indices))


# --- Parts ------------------------------------------------------------------------------------------------------


def _features(name: str, **sets: Tensor) -> list[Tensor]:
    losses._check_floating(name, **sets)
    (first, a), (second, b) = sets.items()
    if a.dim() != 2 or b.dim() != 2 or a.shape[1] != b.shape[1] or a.shape[1] < 1:
        raise ValueError(
            f"{name}: {first} has shape {tuple(a.shape)} and {second} {tuple(b.shape)}; expected feature vectors (N, D)"
            " and (M, D), such as judge.describe gives"
        )
    for what, vectors in sets.items():
        if len(vectors) < 2:
            raise ValueError(
                f"{name}: {what} holds {len(vectors)} feature vector{'' if len(vectors) == 1 else 's'}; expected 2 or"
                " more, and better some thousand"
            )
        if bad := int((~vectors.isfinite()).any(1).sum()):
            raise ValueError(
                f"{name}: {bad} of {len(vectors)} vectors in {what} hold a number that is not finite; look for what"
                " made them, or leave them out with x[x.isfinite().all(1)]"
            )
    return [vectors.detach().cpu().double() for vectors in sets.values()]


def _covariance(vectors: Tensor) -> Tensor:
    centred = vectors - vectors.mean(0)
    return centred.T @ centred / (len(vectors) - 1)  # (D, D)


def _root(matrix: Tensor) -> Tensor:
    values, axes = torch.linalg.eigh(matrix)
    return axes * values.clamp_min(0).sqrt() @ axes.T  # rounding leaves eigenvalues a little below 0


def _rows(b: Tensor) -> int:
    return max(1, 4_000_000 // len(b))  # 32 MB of distances


def _distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    # Without the matrix product, whose rounding would set equal vectors apart and break ties at random.
    for part in a.split(_rows(b)):
        yield torch.cdist(part, b, compute_mode="donot_use_mm_for_euclid_dist")  # (rows, M)


def _reach(vectors: Tensor, k: int) -> Tensor:
    # The nearest vector of all, at distance 0, is the vector itself or its equal.
    radii = [rows.topk(k + 1, 1, largest=False).values[:, -1] for rows in _distances(vectors, vectors)]
    return torch.cat(radii)  # (N,)
