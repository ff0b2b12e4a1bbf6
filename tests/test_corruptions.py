"""What `aetutor.corruptions` promises: the damage that is named, in the amount that is named, to a copy."""

import itertools
import math

import pytest
import torch

from aetutor import corruptions

CASES = {
    "gaussian": (corruptions.gaussian, {"sigma": 0.3}),
    "salt_and_pepper": (corruptions.salt_and_pepper, {"share": 0.3}),
    "masking": (corruptions.masking, {"share": 0.3}),
    "block": (corruptions.block, {"size": 3}),
    "lines": (corruptions.lines, {"count": 3}),
    "half": (corruptions.half, {}),
}
every = pytest.mark.parametrize(("corrupt", "how"), CASES.values(), ids=CASES.keys())
shared = pytest.mark.parametrize("corrupt", [corruptions.salt_and_pepper, corruptions.masking])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def grey(count=4, channels=1, height=8, width=8):
    return torch.full((count, channels, height, width), 0.5)


@every
@pytest.mark.parametrize("shape", [(4, 1, 8, 8), (2, 3, 5, 9), (1, 1, 3, 3), (0, 1, 8, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_result_is_like_x(corrupt, how, shape, dtype):
    noisy = corrupt(torch.ones(shape, dtype=dtype), **how)
    assert noisy.shape == shape and noisy.dtype == dtype


@every
def test_x_itself_stays_as_it_was(corrupt, how):
    x = grey()
    noisy = corrupt(x, **how, generator=generator())
    assert torch.equal(x, grey()) and not torch.equal(noisy, x)
    assert noisy.data_ptr() != x.data_ptr()


@every
def test_the_same_generator_gives_the_same_damage_and_the_next_draw_gives_other(corrupt, how):
    one, again = generator(1), generator(1)
    first = corrupt(grey(), **how, generator=one)
    assert torch.equal(first, corrupt(grey(), **how, generator=again))
    assert not torch.equal(first, corrupt(grey(), **how, generator=one))
    assert not torch.equal(first, corrupt(grey(), **how, generator=generator(2)))


@every
def test_without_a_generator_torchs_global_one_is_used_and_with_one_it_is_left_alone(corrupt, how):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        first = corrupt(grey(), **how)
        torch.manual_seed(5)
        assert torch.equal(first, corrupt(grey(), **how))
        before = torch.get_rng_state()
        corrupt(grey(), **how, generator=generator())
        assert torch.equal(before, torch.get_rng_state())


@every
def test_each_image_gets_damage_of_its_own(corrupt, how):
    noisy = corrupt(grey(count=6), **how, generator=generator())
    assert len({tuple(image.flatten().tolist()) for image in noisy}) > 1


@every
def test_floats_are_asked_for_where_bytes_come_or_an_axis_is_missing(corrupt, how):
    for wrong in (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(1, 8, 8), torch.zeros(2, 64)):
        with pytest.raises(ValueError, match=r"expected float images \(B, C, H, W\)"):
            corrupt(wrong, **how)


# --- Each by itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_gaussian_noise_has_mean_0_and_the_standard_deviation_asked_for(sigma):
    noise = corruptions.gaussian(grey(100, 3, 20, 20), sigma=sigma, generator=generator()) - 0.5
    count = noise.numel()
    assert abs(noise.mean()) < 5 * sigma / math.sqrt(count)
    assert noise.std().item() == pytest.approx(sigma, abs=5 * sigma / math.sqrt(2 * count))
    kurtosis = (noise / sigma).pow(4).mean().item()
    assert kurtosis == pytest.approx(3, abs=5 * math.sqrt(96 / count))  # a normal's; a uniform's is 1.8


def test_gaussian_noise_is_independent_from_channel_to_channel():
    noise = corruptions.gaussian(grey(100, 2, 20, 20), sigma=1.0, generator=generator()) - 0.5
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 5 / math.sqrt(100 * 20 * 20)


def test_gaussian_with_sigma_0_changes_nothing():
    assert torch.equal(corruptions.gaussian(grey(), sigma=0, generator=generator()), grey())


@shared
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_the_share_of_pixels_hit_is_the_share_asked_for(corrupt, share):
    hit = corrupt(grey(100, 1, 20, 20), share=share, generator=generator()) != 0.5
    assert hit.double().mean().item() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / hit.numel()))


@shared
def test_a_share_of_0_hits_none_and_a_share_of_1_hits_all(corrupt):
    x = grey(50, 3, 20, 20)
    assert torch.equal(corrupt(x, share=0, generator=generator()), x)
    assert not (corrupt(x, share=1, generator=generator()) == x).any()


@shared
def test_all_channels_of_a_pixel_are_hit_together(corrupt):
    noisy = corrupt(grey(20, 3), share=0.5, generator=generator())
    assert torch.equal(noisy, noisy[:, :1].expand_as(noisy))


def test_salt_and_pepper_come_in_equal_parts_and_are_1_and_0():
    noisy = corruptions.salt_and_pepper(grey(100, 1, 20, 20), share=0.4, generator=generator())
    assert set(noisy.unique().tolist()) == {0.0, 0.5, 1.0}
    count = noisy.numel()
    for value in (0, 1):
        assert (noisy == value).sum().item() / count == pytest.approx(0.2, abs=5 * math.sqrt(0.16 / count))


def test_masking_only_sets_pixels_to_0():
    assert set(corruptions.masking(grey(), share=0.4, generator=generator()).unique().tolist()) == {0.0, 0.5}


@pytest.mark.parametrize("size", [0, 1, 5, 6])
def test_block_clears_one_whole_square_of_every_image(size):
    noisy = corruptions.block(grey(200, 3, 6, 9), size=size, generator=generator())
    for image in noisy:
        hit = image == 0
        assert hit.sum() == 3 * size * size
        assert torch.equal(hit[0], hit[1]) and torch.equal(hit[0], hit[2])
        rows, columns = hit[0].any(1).nonzero(), hit[0].any(0).nonzero()
        assert len(rows) == len(columns) == size
        assert size == 0 or (rows.max() - rows.min() == columns.max() - columns.min() == size - 1)


def test_block_falls_on_every_place_about_equally_often():
    noisy = corruptions.block(grey(4000, 1, 4, 5), size=2, generator=generator())
    corners = [tuple((image[0] == 0).nonzero()[0].tolist()) for image in noisy]
    counts = {place: corners.count(place) for place in set(corners)}
    assert set(counts) == {(top, left) for top in range(3) for left in range(4)}
    expected = 4000 / 12
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 40  # χ² with 11 degrees; p ≈ 4e-5


@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_lines_clears_that_many_whole_rows_of_every_image_and_nothing_else(count):
    noisy = corruptions.lines(grey(200, 3, 6, 9), count=count, generator=generator())
    rows = (noisy == 0).any(3).any(1)  # (B, H)
    assert (rows.sum(1) == count).all()
    assert torch.equal(noisy, 0.5 * ~rows[:, None, :, None].expand_as(noisy))


def test_lines_are_drawn_for_each_image_and_every_row_and_pair_of_rows_falls_equally_often():
    rows = (corruptions.lines(grey(6000, 1, 4, 2), count=2, generator=generator()) == 0).any(3)[:, 0]
    pairs = [tuple(row.nonzero().flatten().tolist()) for row in rows]
    counts = {pair: pairs.count(pair) for pair in set(pairs)}
    assert len(counts) == 6
    assert sum((n - 1000) ** 2 / 1000 for n in counts.values()) < 28  # χ² with 5 degrees; p ≈ 4e-5
    assert 0.1 < sum(a == b for a, b in itertools.pairwise(pairs)) / 6000 < 0.23  # 1/6 if independent


def test_the_rows_that_stay_are_as_they_were():
    x = torch.rand(5, 2, 6, 7, generator=generator())
    noisy = corruptions.lines(x, count=3, generator=generator(1))
    assert torch.equal(noisy[noisy != 0], x[noisy != 0]) and (noisy != 0).sum() == 5 * 2 * 3 * 7


HALVES = {
    "left": lambda x: x[..., :, : x.shape[3] // 2],
    "right": lambda x: x[..., :, (x.shape[3] + 1) // 2 :],
    "upper": lambda x: x[..., : x.shape[2] // 2, :],
    "lower": lambda x: x[..., (x.shape[2] + 1) // 2 :, :],
}


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (7, 9), (6, 5), (3, 2)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_half_clears_exactly_one_of_four_halves_and_keeps_an_odd_middle(size, channels):
    noisy = corruptions.half(grey(100, channels, *size), generator=generator())
    found = set()
    for image in noisy:
        fits = []
        for name, part in HALVES.items():
            wanted = grey(1, channels, *size)
            part(wanted).zero_()
            fits += [name] * torch.equal(image[None], wanted)
        assert len(fits) == 1
        found |= set(fits)
    assert found == set(HALVES)


def test_the_four_halves_are_lost_about_equally_often_and_drawn_for_each_image():
    noisy = corruptions.half(grey(4000, 1, 4, 4), generator=generator())
    lost = torch.stack([(part(noisy) == 0).flatten(1).all(1) for part in HALVES.values()], 1)
    assert (lost.sum(1) == 1).all()
    counts = lost.sum(0)
    assert (counts - 1000).square().sum().item() / 1000 < 23  # χ² with 3 degrees; p ≈ 4e-5
    repeated = (lost[1:] & lost[:-1]).any(1).double().mean().item()
    assert repeated == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 3999))


def test_a_single_pixel_has_no_half_to_lose_and_keeps_its_middle():
    assert torch.equal(corruptions.half(grey(9, 1, 1, 1), generator=generator()), grey(9, 1, 1, 1))


@pytest.mark.parametrize("sigma", [-0.1, math.nan])
def test_gaussian_refuses_a_sigma_below_0(sigma):
    with pytest.raises(ValueError, match="sigma is"):
        corruptions.gaussian(grey(), sigma=sigma)


@shared
@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
def test_a_share_outside_0_to_1_is_refused(corrupt, share):
    with pytest.raises(ValueError, match="share is"):
        corrupt(grey(), share=share)


@pytest.mark.parametrize("size", [-1, 9])
def test_block_refuses_a_size_that_does_not_fit(size):
    with pytest.raises(ValueError, match=r"size is .* expected 0…8"):
        corruptions.block(grey(height=12), size=size)


@pytest.mark.parametrize("count", [-1, 13])
def test_lines_refuses_more_rows_than_there_are_and_fewer_than_none(count):
    with pytest.raises(ValueError, match=rf"count is {count}; expected 0…12 for images of 12 rows"):
        corruptions.lines(grey(height=12), count=count)
