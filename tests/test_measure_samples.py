"""What `aetutor.measure` promises of generated images: sharpness, distances between sets, and the nearest neighbour."""

import math

import numpy as np
import pytest
import torch
from conftest import spots
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter, laplace

from aetutor import measure, runtime


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- Sharpness ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 9, 13), (2, 2, 3, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sharpness_is_the_variance_of_scipys_laplacian_away_from_the_edge(shape, dtype):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = measure.sharpness(x)
    assert found.shape == (shape[0],) and found.dtype == dtype
    for value, image in zip(found.tolist(), x.double().numpy(), strict=True):
        inside = [laplace(channel)[1:-1, 1:-1] for channel in image]
        assert value == pytest.approx(np.var(inside), rel=1e-5, abs=1e-12)


def test_blur_lowers_the_sharpness_and_noise_raises_it():
    x = spots(20, side=28) / 255
    blurred = torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, 1, 1)))
    assert (measure.sharpness(blurred) < measure.sharpness(x)).all()
    assert (measure.sharpness(x + 0.1 * normal(*x.shape, dtype=torch.float32)) > measure.sharpness(x)).all()


def test_sharpness_is_0_for_flat_images_and_slopes_and_the_same_for_a_negative():
    flat = torch.tensor([0, 0.3, 0.7, 1])[:, None, None, None].expand(4, 2, 6, 6)
    assert measure.sharpness(flat).tolist() == [0, 0, 0, 0]
    slope = torch.linspace(0, 1, 9).expand(1, 1, 9, 9)
    assert measure.sharpness(slope).item() < 1e-12
    x = spots(5) / 255
    torch.testing.assert_close(measure.sharpness(1 - x), measure.sharpness(x), rtol=1e-4, atol=0)


def test_sharpness_of_bytes_and_of_images_smaller_than_the_kernel_is_refused():
    with pytest.raises(TypeError, match=r"^sharpness: .* got torch\.uint8; runtime\.to_unit\(pixels\) makes it float"):
        measure.sharpness(spots(2))
    for shape in [(2, 1, 2, 8), (2, 1, 8, 2), (2, 8, 8), (8, 8), (2, 0, 8, 8)]:
        with pytest.raises(ValueError, match=r"^sharpness: x has shape .* \(B, C, H, W\) of at least 3 × 3 pixels"):
            measure.sharpness(torch.zeros(shape))


# --- The Fréchet distance -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "other", "size"), [(200, 200, 5), (50, 300, 12), (500, 400, 64), (9, 8, 1)])
def test_frechet_is_the_formula_with_scipys_matrix_root(count, other, size):
    a = normal(count, size) @ normal(size, size, seed=1) + 1
    b = normal(other, size, seed=2) @ normal(size, size, seed=3)
    cov_a, cov_b = (np.cov(x.numpy(), rowvar=False).reshape(size, size) for x in (a, b))
    root = sqrtm(cov_a @ cov_b).real  # has the trace of (A^½ B A^½)^½
    expected = np.sum((a.mean(0) - b.mean(0)).numpy() ** 2) + np.trace(cov_a + cov_b - 2 * root)
    found = measure.frechet(a, b)
    assert isinstance(found, float) and found == pytest.approx(expected, rel=1e-6)


def test_frechet_between_a_set_and_a_shifted_and_stretched_copy_has_a_closed_form():
    a = normal(300, 6)
    a = torch.linalg.svd(a - a.mean(0), full_matrices=False).U * math.sqrt(299)  # mean 0, covariance I
    shift = torch.tensor([3.0, 0, -4, 0, 0, 0], dtype=torch.float64)
    assert measure.frechet(a, a + shift) == pytest.approx(25)
    assert measure.frechet(a, 3 * a + shift) == pytest.approx(25 + 6 * (3 - 1) ** 2)
    scale = torch.arange(1.0, 7, dtype=torch.float64)
    assert measure.frechet(a, a * scale) == pytest.approx(((scale - 1) ** 2).sum().item())


def test_frechet_is_0_between_a_set_and_itself_in_any_order_and_never_below():
    a = normal(100, 20) @ normal(20, 20, seed=1)
    for b in (a, a.flip(0), a[torch.randperm(100, generator=torch.Generator().manual_seed(0))]):
        assert 0 <= measure.frechet(a, b) < 1e-9
    few = normal(5, 64)  # fewer vectors than numbers in each: both covariances are singular
    assert 0 <= measure.frechet(few, few.flip(0)) < 1e-6


def test_frechet_is_symmetric_and_does_not_change_when_both_sets_are_turned():
    a, b = normal(80, 10), normal(90, 10, seed=1) * torch.arange(1, 11) + 0.5
    found = measure.frechet(a, b)
    assert measure.frechet(b, a) == pytest.approx(found, rel=1e-9)
    turn = torch.linalg.qr(normal(10, 10, seed=2)).Q
    assert measure.frechet(a @ turn, b @ turn) == pytest.approx(found, rel=1e-9)


def test_frechet_grows_with_the_shift_and_comes_out_too_large_for_few_vectors():
    a, b = normal(2000, 16), normal(2000, 16, seed=1)
    distances = [measure.frechet(a, b + shift) for shift in (0, 0.1, 0.5, 2)]
    assert distances == sorted(distances)
    assert measure.frechet(a[:100], b[:100]) > 5 * measure.frechet(a, b) > 0


def test_frechet_computes_in_double_whatever_it_is_given():
    a, b = normal(100, 4, dtype=torch.float32) + 1000, normal(100, 4, seed=1, dtype=torch.float32) + 1000
    assert measure.frechet(a, b) == measure.frechet(a.double(), b.double())
    assert measure.frechet(a.requires_grad_(), b) == measure.frechet(a.detach(), b)


# --- Precision and recall -------------------------------------------------------------------------------------


def slow_precision_recall(real, fake, k):
    """Kynkäänniemi et al. 2019, equations 1 and 2, one pair of vectors at a time."""

    def share(points, territory):
        inside = 0
        for point in points:
            for i, centre in enumerate(territory):
                others = sorted(math.dist(centre, x) for j, x in enumerate(territory) if j != i)
                if math.dist(point, centre) <= others[k - 1]:
                    inside += 1
                    break
        return inside / len(points)

    real, fake = real.tolist(), fake.tolist()
    return share(fake, real), share(real, fake)


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize(("shift", "count"), [(0.0, 40), (1.0, 25), (2.0, 40)])
def test_precision_and_recall_are_those_of_a_loop_over_all_pairs(k, shift, count):
    real, fake = normal(40, 3), normal(count, 3, seed=1) + shift
    found = measure.precision_recall(real, fake, k=k)
    assert (found.precision, found.recall) == pytest.approx(slow_precision_recall(real, fake, k))
    assert found == (found.precision, found.recall)


@pytest.mark.parametrize("rows", [1, 3, 7, 40, 1000])
def test_precision_and_recall_do_not_depend_on_how_the_distances_are_cut(rows, monkeypatch):
    real, fake = normal(40, 3), normal(25, 3, seed=1)
    whole = measure.precision_recall(real, fake)
    monkeypatch.setattr("aetutor.measure.samples._rows", lambda b: rows)
    assert measure.precision_recall(real, fake) == whole


def test_the_extremes_of_precision_and_recall():
    real = torch.cat([normal(200, 2), normal(200, 2, seed=1) + 100])  # two modes
    assert measure.precision_recall(real, real) == (1, 1)
    assert measure.precision_recall(real, real + 1000) == (0, 0)
    one_mode = real[:200:2]
    found = measure.precision_recall(real, one_mode)
    assert found.precision == 1 and 0.3 < found.recall <= 0.5
    both_and_noise = torch.cat([real, normal(400, 2, seed=2) + 1000])
    found = measure.precision_recall(real, both_and_noise)
    assert (found.precision, found.recall) == (0.5, 1)


def test_swapping_the_sets_swaps_precision_and_recall_and_a_larger_k_raises_both():
    real, fake = normal(90, 4), 0.5 * normal(60, 4, seed=1)
    there, back = measure.precision_recall(real, fake), measure.precision_recall(fake, real)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    rows = [measure.precision_recall(real, fake, k=k) for k in (1, 2, 5, 20, 59)]
    for pair in zip(*rows, strict=True):
        assert list(pair) == sorted(pair)


def test_vectors_that_repeat_cover_their_own_place_and_no_more():
    place = normal(1, 5)
    real = place.expand(10, 5)
    assert measure.precision_recall(real, place.repeat(4, 1)) == (1, 1)
    assert measure.precision_recall(real, place.repeat(4, 1) + 1e-9) == (0, 0)
    mixed = torch.cat([place.repeat(4, 1), normal(10, 5, seed=1) + 5])  # copies do not stretch the others' balls
    assert measure.precision_recall(mixed, torch.cat([place, mixed[-1:], place + 1, place - 1])).precision == 0.5


def test_the_large_ball_of_one_odd_vector_makes_a_heap_of_bad_images_precise_and_recall_and_frechet_tell():
    real = torch.cat([normal(200, 3), torch.full((1, 3), 30.0, dtype=torch.float64)])
    heap = 0.1 * normal(200, 3, seed=1) + 20
    found = measure.precision_recall(real, heap)
    assert found.precision == 1 and found.recall == 0
    assert measure.frechet(real, heap) > 100 * measure.frechet(real, real[:200])


# --- What both refuse -----------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("score", [measure.frechet, measure.precision_recall])


@BOTH
def test_features_of_other_types_are_refused(score):
    a = torch.zeros(5, 3)
    for wrong in (a.long(), a.numpy(), None):
        for two in [(wrong, a), (a, wrong)]:
            with pytest.raises(TypeError, match=rf"^{score.__name__}: expected \w+ to be a floating tensor, got "):
                score(*two)


@BOTH
@pytest.mark.parametrize(("a", "b"), [((5, 3), (5, 4)), ((5,), (5,)), ((5, 1, 2, 2), (5, 1, 2, 2)), ((5, 0), (5, 0))])
def test_features_whose_shapes_do_not_fit_are_refused(score, a, b):
    with pytest.raises(ValueError, match=rf"^{score.__name__}: .* has shape .* and .*; expected .*judge\.describe"):
        score(torch.zeros(a), torch.zeros(b))


@BOTH
def test_fewer_than_two_vectors_and_numbers_that_are_not_finite_are_refused(score):
    a = normal(5, 3)
    for count, shown in [(0, "0 feature vectors"), (1, "1 feature vector")]:
        for two in [(a[:count], a), (a, a[:count])]:
            with pytest.raises(ValueError, match=rf"^{score.__name__}: \w+ holds {shown}; expected 2 or more"):
                score(*two)
    for bad in (math.nan, math.inf):
        b = a.clone()
        b[1:3, 0] = bad
        with pytest.raises(ValueError, match=rf"^{score.__name__}: 2 of 5 vectors in \w+ hold .* not finite"):
            score(a, b)


@pytest.mark.parametrize("k", [0, -1, 5, 2.0, True, None])
def test_more_neighbours_than_there_are_are_refused(k):
    for two in [(normal(5, 3), normal(9, 3)), (normal(9, 3), normal(5, 3))]:
        with pytest.raises(ValueError, match=rf"^precision_recall: k is {k}; .* take 1…4, whole numbers"):
            measure.precision_recall(*two, k=k)


# --- The nearest image ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 59, 60, 61, 1000])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_nearest_image_is_that_of_all_pairs_wherever_the_batches_are_cut(batch, channels):
    x, to = spots(23, channels=channels, seed=1).double() / 255, spots(60, channels=channels, seed=2)
    found = measure.nearest(x, to, batch=batch)
    pairs = (x[:, None] - to[None].double() / 255).square().flatten(2).sum(2)  # (23, 60)
    assert found.distance.shape == found.index.shape == (23,)
    assert (found.distance.dtype, found.index.dtype) == (torch.float32, torch.int64)
    assert torch.equal(found.index, pairs.argmin(1))
    torch.testing.assert_close(found.distance.double(), pairs.amin(1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("batch", [1, 8, 1000])
def test_an_image_of_the_set_is_its_own_nearest_at_distance_0(batch):
    to = spots(50)
    found = measure.nearest(runtime.to_unit(to), to, batch=batch)
    assert found.index.tolist() == list(range(50)) and found.distance.eq(0).all()


def test_the_nearest_is_found_among_bright_images_that_differ_by_one_pixel_by_one_level():
    to = torch.full((40, 1, 28, 28), 220, dtype=torch.uint8)
    for i in range(1, 40, 13):
        to[i, 0, i // 28, i % 28] += 1
    for i in (1, 14, 27):
        found = measure.nearest(runtime.to_unit(to[i : i + 1]), to, batch=10)
        assert (found.index.item(), found.distance.item()) == (i, 0)


def test_a_set_of_one_and_several_equally_near_images_have_a_nearest_too():
    x, to = spots(3, seed=1) / 255, spots(1)
    found = measure.nearest(x, to)
    assert found.index.tolist() == [0, 0, 0]
    torch.testing.assert_close(found.distance, (x - to / 255).square().sum((1, 2, 3)))
    twice = measure.nearest(x, to.repeat(9, 1, 1, 1), batch=4)
    torch.testing.assert_close(twice.distance, found.distance, rtol=0, atol=0)


def test_nearest_takes_what_a_network_returns_and_gives_no_gradient():
    found = measure.nearest((spots(3) / 255).requires_grad_(), spots(10))
    assert not found.distance.requires_grad


def test_nearest_refuses_bytes_for_the_images_and_floats_for_the_set():
    x, to = spots(3) / 255, spots(5)
    for wrong in (to, x.numpy()):
        with pytest.raises(TypeError, match=r"^nearest: expected x to be a floating tensor"):
            measure.nearest(wrong, to)
    for wrong in (x, to.numpy()):
        with pytest.raises(TypeError, match=r"^nearest: to is .*; expected a uint8 tensor .* such as images\.test"):
            measure.nearest(x, wrong)


def test_nearest_refuses_no_image_other_sizes_and_batches_of_none():
    x, to = spots(3) / 255, spots(5)
    with pytest.raises(ValueError, match=r"^nearest: to has shape \(0, .* at least one image"):
        measure.nearest(x, to[:0])
    for wrong in (x[:0], x[:, :, :4], x[0], x.flatten(1)):
        with pytest.raises(ValueError, match=r"^nearest: x has shape .*; expected \(B, 1, 8, 8\), .* at least one"):
            measure.nearest(wrong, to)
    for batch in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=rf"^nearest: batch is {batch}; expected a whole number"):
            measure.nearest(x, to, batch=batch)
