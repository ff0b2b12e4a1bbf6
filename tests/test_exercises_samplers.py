"""The checks of assignment 06: right answers of several forms pass, and each mistake gets its own hint."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from aetutor import exercises, measure
from aetutor.exercises import Wrong

SETS = {letter: torch.rand(12, 1, 8, 8) for letter in "WXYZ"}
TRUTH = dict(zip("WXYZ", ("honest", "copier", "honest", "dropper"), strict=True))


def mistake(check, answer, *more, **how) -> str:
    with pytest.raises(Wrong) as caught:
        check(answer, *more, **how)
    assert len(str(caught.value)) > 20
    return caught.value.mistake


def by_svd(matrix):
    left, values, right = torch.linalg.svd(matrix)
    return left * values.sqrt() @ right


def by_scipy(matrix):
    return torch.from_numpy(sqrtm(matrix.cpu().numpy()).real).to(matrix)


# --- Features ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", [by_svd, by_scipy])
def test_a_root_by_another_decomposition_is_right(root):
    assert "right" in exercises.check_matrix_root(root)


def test_a_root_of_a_matrix_without_full_rank_may_not_be_nan():
    part = torch.randn(2, 9, generator=torch.Generator().manual_seed(1))
    assert "right" in exercises.check_matrix_root(by_svd, matrix=part.T @ part)
    assert mistake(exercises.check_matrix_root, lambda m: m.log().log(), matrix=part.T @ part) == "negative"


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda m: -by_svd(m), "sign"),
        (lambda m: torch.linalg.cholesky(m).T, "asymmetric"),
        (lambda m: 2 * by_svd(m), "factor"),
        (lambda m: by_svd(m + 1e-6 * torch.eye(len(m), dtype=m.dtype)), "offset"),
        (lambda m: by_svd(m.float()).double(), "offset"),
        (lambda m: by_svd(m)[0], "shape"),
        (lambda m: by_svd(m).numpy(), "type"),
        (lambda m: by_svd(m).float(), "dtype"),
        (torch.Tensor.sqrt_, "in-place"),
    ],
)
def test_a_root_that_is_wrong_is_told_how(answer, name):
    assert mistake(exercises.check_matrix_root, answer) == name


def test_the_librarys_scores_are_right():
    assert "right" in exercises.check_frechet(measure.frechet)
    few = torch.randn(5, 16), torch.randn(7, 16)
    assert "right" in exercises.check_frechet(lambda a, b: torch.tensor(measure.frechet(a, b)), sets=few)
    for k in (1, 3, 4):
        assert "right" in exercises.check_precision_recall(measure.precision_recall, k=k)
        exercises.check_precision_recall(lambda a, b, k: list(measure.precision_recall(a, b, k=k)), k=k)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda a, b: measure.frechet(a, b) - float((a.mean(0) - b.mean(0)).square().sum()), "means"),
        (lambda a, b: float((a.mean(0) - b.mean(0)).square().sum()), "covariance"),
        (lambda a, b: 1.003 * measure.frechet(a, b), "precision"),
        (lambda a, b: torch.linalg.eigh(torch.full((3, 3), torch.nan)).eigenvalues.sum(), "nan"),
        (lambda a, b: float("nan"), "nan"),
        (lambda a, b: a, "shape"),
    ],
)
def test_a_distance_that_is_wrong_is_told_how(answer, name):
    assert mistake(exercises.check_frechet, answer) == name


def test_a_pair_is_a_pair_of_shares():
    for form in (tuple, list, torch.tensor, np.array):
        exercises.check_precision_recall(lambda a, b, k, form=form: form(measure.precision_recall(a, b, k=k)))
    assert mistake(exercises.check_precision_recall, lambda a, b, k: 0.5) == "type"
    assert mistake(exercises.check_precision_recall, lambda a, b, k: (0.5, 0.5, 0.5)) == "shape"
    counts = lambda a, b, k: torch.tensor(measure.precision_recall(a, b, k=k)) * torch.tensor([len(b), len(a)])  # noqa: E731
    assert mistake(exercises.check_precision_recall, counts) == "count"


# --- Samplers ---------------------------------------------------------------------------------------------------


def bootstrap(x, score, *, level, draws, generator, rule="linear", more=False):
    if more:
        score(x)
    scores = [score(x[torch.randint(len(x), (len(x),), generator=generator)]) for _ in range(draws)]
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    return torch.tensor(scores, dtype=torch.float64).quantile(ends, interpolation=rule)


@pytest.mark.parametrize("how", [{}, {"rule": "lower"}, {"rule": "higher"}, {"rule": "nearest"}, {"more": True}])
def test_each_rule_for_a_quantile_is_right_and_so_is_to_score_all_rows_too(how):
    for level, draws in ((0.95, 200), (0.6, 45)):
        exercises.check_interval(lambda *a, **b: bootstrap(*a, **b, **how), level=level, draws=draws)


@pytest.mark.parametrize("form", [np.quantile, torch.quantile])
def test_scores_may_be_kept_in_float32_and_the_ends_in_an_array(form):
    def answer(x, score, *, level, draws, generator):
        rows = torch.randint(len(x), (draws, len(x)), generator=generator)
        scores = torch.tensor([score(x[row]) for row in rows])
        ends = torch.tensor([(1 - level) / 2, (1 + level) / 2])
        return form(scores if form is torch.quantile else scores.numpy(), ends)

    for seed in range(30):  # of seven rows, two seeds may well have the same ends
        exercises.check_interval(answer, draws=333, count=7, seed=seed)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda *a, **b: bootstrap(*a, **b).flip(0), "swapped"),
        (lambda *a, **b: bootstrap(*a, **b | {"generator": torch.Generator().manual_seed(3)}), "generator"),
        (lambda x, score, **b: bootstrap(x, lambda rows: score(rows[:9]), **b), "shape"),
        (lambda x, score, **b: (0.0, 1.0), "draws"),
        (lambda x, score, **b: bootstrap(x, lambda _: score(x.roll(1, 0).flip(0)), **b), "without-replacement"),
        (lambda x, score, **b: bootstrap(x, lambda _: score(x[:1].expand(len(x), 2)), **b), "repeated"),
        (lambda *a, **b: bootstrap(*a, **b) + 1, "quantile"),
    ],
)
def test_an_interval_that_is_wrong_is_told_how(answer, name):
    assert mistake(exercises.check_interval, answer) == name


def nearer(x, known, fresh):
    n = min(len(known), len(fresh))
    gap = [(x[:, None] - others[:n]).square().flatten(2).sum(2).min(1).values for others in (fresh, known)]
    return ((gap[0] - gap[1]).sign() / 2 + 0.5).mean()


@pytest.mark.parametrize("how", [{}, {"ties": True}, {"known": 40}, {"fresh": 90, "channels": 2}, {"seed": 3}])
def test_a_share_by_differences_is_right(how):
    assert "right" in exercises.check_share_nearer(nearer, **how)


def test_a_share_that_is_wrong_is_told_how():
    assert mistake(exercises.check_share_nearer, lambda *sets: 1 - nearer(*sets)) == "swapped"
    whole = lambda x, known, fresh: (nearer(x, known, fresh) * len(x)).ceil() / len(x)  # noqa: E731
    one_tie = lambda x, known, fresh: torch.cat([nearer(y[None], known, fresh)[None] for y in x]).ceil().mean()  # noqa: E731
    assert "right" in exercises.check_share_nearer(whole)
    assert mistake(exercises.check_share_nearer, one_tie, ties=True) == "ties"


def by_loops(x, others, *, reach=1):
    best = x.new_full((len(x),), torch.inf)
    height, width = x.shape[-2:]
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            moved = torch.zeros_like(x)
            for row in range(max(down, 0), min(height, height + down)):
                for column in range(max(right, 0), min(width, width + right)):
                    moved[..., row, column] = x[..., row - down, column - right]
            best = best.minimum((moved[:, None] - others).square().flatten(2).sum(2).min(1).values)
    return best


@pytest.mark.parametrize("how", [{}, {"reach": 0}, {"reach": 2, "frame": 0}, {"shape": (3, 7, 6), "frame": 1}])
def test_a_distance_pixel_by_pixel_is_right(how):
    assert "right" in exercises.check_shifted_distance(by_loops, **how)


def test_a_distance_of_images_that_are_not_moved_is_told_so():
    still = lambda x, others, reach: by_loops(x, others, reach=0)  # noqa: E731
    assert mistake(exercises.check_shifted_distance, still) == "unmoved"
    assert mistake(exercises.check_shifted_distance, lambda x, others, reach: by_loops(x, others)[:3]) == "shape"


def test_moving_the_others_is_told_at_the_border_only():
    swapped = lambda x, others, reach: torch.cat([by_loops(others, y[None], reach=reach).amin()[None] for y in x])  # noqa: E731
    assert "right" in exercises.check_shifted_distance(swapped)
    assert mistake(exercises.check_shifted_distance, swapped, frame=0) == "others-moved"


# --- Verdict ----------------------------------------------------------------------------------------------------


def judged(answer, **how):
    given = {"truth": TRUTH, "known": SETS["W"], "fresh": SETS["X"], "judge": None}
    return exercises.check_verdict(lambda *sets, **instruments: answer, SETS, **given | how)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (list(TRUTH.values()), "type"),
        (TRUTH | {"A": "honest"}, "letters"),
        (TRUTH | {"W": "Honest"}, "names"),
        (TRUTH | {"W": "blurrer"}, "ranking"),
        (TRUTH | {"W": "copier"}, "false-alarm"),
        (TRUTH | {"Z": "honest"}, "dropper-missed"),
    ],
)
def test_a_verdict_that_is_wrong_is_told_how(answer, name):
    assert "right" in judged(TRUTH)
    with pytest.raises(Wrong) as caught:
        judged(answer)
    assert caught.value.mistake == name


def test_the_verdict_is_handed_a_distance_that_is_right():
    def verdict(sets, known, fresh, *, judge, distance):
        torch.testing.assert_close(distance(fresh, known), by_loops(fresh, known), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(distance(fresh, known, reach=2), by_loops(fresh, known, reach=2))
        return TRUTH

    exercises.check_verdict(verdict, SETS, truth=TRUTH, known=SETS["W"], fresh=SETS["X"], judge=None)
