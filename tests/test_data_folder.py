"""What `data.folder` promises, held to real files of all kinds, made here by Pillow."""

import functools
import itertools
import multiprocessing
import os
import pickle
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from aetutor import data, runtime
from aetutor.data import DataError, disk, folders

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


# ---- pictures small enough to make here ----


def noise(height: int, width: int, *channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), np.uint8)


def scene(height: int, width: int) -> np.ndarray:
    """Colours that change smoothly, differently along each axis and in each channel."""
    rows, columns = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None, :]
    channels = [np.sin(3 * rows) + 0 * columns, rows * columns, 0 * rows + np.cos(2 * columns) / 2 + 0.5]
    return (np.stack(channels, 2) * 255).round().astype(np.uint8)


def save(path: Path, picture, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(path, **how)
    return path


def cut_short(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return path


def numbered(root: Path, count: int, side: int = 4) -> Path:
    """Files 000.bmp, 001.bmp, …, whose number is the intensity of their first pixel."""
    for i in range(count):
        save(root / f"{i:03d}.bmp", np.full((side, side), i, np.uint8))
    return root


def numbers_of(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def one(tmp_path: Path, path: Path, **how) -> np.ndarray:
    """What comes out for one file: (H, W, C), or (H, W) if grey."""
    root = tmp_path / "one"
    for part in ("train", "valid", "test"):
        (root / part).mkdir(parents=True)
        (root / part / path.name).write_bytes(path.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = data.folder(root, **how).train[0]
    assert image.dtype == torch.uint8
    return image.permute(1, 2, 0).squeeze(2).numpy()


def error(*args, **more) -> str:
    with pytest.raises(DataError) as caught:
        data.folder(*args, **more)
    return str(caught.value)


@pytest.fixture(autouse=True)
def quiet():
    """A warning that no test expects is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@pytest.fixture
def workers(monkeypatch):
    """Call it with a number of cores. Workers are forks of this process, which is no longer so everywhere."""
    forked = functools.partial(torch.utils.data.DataLoader, multiprocessing_context="fork")
    monkeypatch.setattr(disk, "DataLoader", forked)
    return lambda cores: monkeypatch.setattr(runtime, "cpus", lambda: cores)


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


def gone(pids: set[int], seconds: float = 3) -> bool:
    end = time.perf_counter() + seconds
    while pids & children() and time.perf_counter() < end:
        time.sleep(0.02)
    return not pids & children()


# ---- what comes out of one file ----


@pytest.mark.parametrize(
    ("name", "most"),
    [("a.png", 0), ("a.bmp", 0), ("a.ppm", 0), ("a.tiff", 0), ("a.TGA", 0), ("no_ending", 0), ("a.jpg", 1),
     ("a.JPEG", 1), ("a.webp", 4), ("a.gif", 12)],
)  # fmt: skip
def test_a_picture_of_the_right_size_comes_out_as_it_is(tmp_path, name, most):
    picture = scene(24, 40)
    path = tmp_path / name
    path = (
        save(path, picture, quality=95, subsampling=0)
        if "." in name
        else save(tmp_path / "x.png", picture).rename(path)
    )
    image = one(tmp_path, path, size=(24, 40)).astype(int)
    assert image.shape == (24, 40, 3) and np.abs(image - picture).mean() <= most


def test_a_picture_is_scaled_to_cover_and_its_middle_is_cut_out(tmp_path):
    wide = np.repeat(np.array([RED, GREEN, BLUE], np.uint8)[None], 20, 0).repeat(20, 1)  # 20 × 60, three squares
    assert (one(tmp_path, save(tmp_path / "a.png", wide), size=20) == GREEN).all()
    high = wide.transpose(1, 0, 2).repeat(3, 0).repeat(3, 1)  # 180 × 60
    middle = one(tmp_path / "high", save(tmp_path / "b.png", high), size=20)
    assert (middle[4:-4] == GREEN).all() and (middle.argmax(2) == 1).all()  # at the edges, what is beyond mixes in
    both = one(tmp_path / "all", save(tmp_path / "c.png", high), size=(60, 20))
    assert (both[[10, 30, 50]] == np.array([RED, GREEN, BLUE])[:, None]).all()


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_fine_pattern_is_averaged_when_it_is_made_smaller(tmp_path, name):
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    image = one(tmp_path, save(tmp_path / name, board, quality=95), size=32, channels=1).astype(int)
    assert np.abs(image - 127.5).max() < 4


@pytest.mark.parametrize("shape", [(300, 500), (257, 263), (511, 511)])
def test_a_jpeg_that_is_decoded_smaller_looks_as_if_it_had_been_decoded_whole(tmp_path, shape):
    large = scene(*shape)
    whole = one(tmp_path / "png", save(tmp_path / "a.png", large), size=(32, 48)).astype(float)
    fast = one(tmp_path / "jpg", save(tmp_path / "a.jpg", large, quality=95), size=(32, 48)).astype(float)
    assert np.abs(whole - fast).mean() < 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 5), (500, 20)])
def test_pictures_of_any_shape_fill_the_image(tmp_path, shape):
    image = one(tmp_path, save(tmp_path / "a.png", np.full(shape, 77, np.uint8)), size=(7, 9), channels=1)
    assert image.shape == (7, 9) and (image == 77).all()


TURNED = {  # orientation -> what is stored, of a picture to be shown as x
    1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1), 6: lambda x: np.rot90(x), 7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("ending", ["png", "tiff", "jpg"])
def test_a_picture_is_turned_as_its_exif_says(tmp_path, orientation, ending):
    shown, exif = scene(120, 200), Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(TURNED[orientation](shown)))
    image = one(
        tmp_path, save(tmp_path / f"a.{ending}", stored, exif=exif, quality=95, subsampling=0), size=(30, 50)
    ).astype(int)
    expected = one(tmp_path / "plain", save(tmp_path / "b.png", shown), size=(30, 50))
    assert np.abs(image - expected).max() <= 4


@pytest.mark.parametrize("orientation", [None, 0, 9])
def test_damaged_exif_does_not_lose_the_picture(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation or 0
    path = save(tmp_path / "a.png", scene(8, 8), exif=b"Exif\0\0garbage" if orientation is None else exif)
    assert (one(tmp_path, path, size=8) == scene(8, 8)).all()


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, ending, channels):
    deep = np.arange(0, 65_536, 16, dtype=np.uint16).reshape(64, 64)
    path = tmp_path / f"a.{ending}"
    if ending == "pgm":  # which Pillow could not write before version 11
        path.write_bytes(b"P5 64 64 65535 " + deep.astype(">u2").tobytes())
    else:
        save(path, deep)
    image = one(tmp_path, path, size=64, channels=channels)
    expected = np.round(deep / 257).reshape(64, 64, 1).repeat(channels, 2).squeeze()
    assert image.max() == 255 and np.abs(image - expected).max() == 0


def test_floats_are_taken_to_lie_between_0_and_1(tmp_path):
    path = save(tmp_path / "a.tiff", np.array([[-1, 0, 0.5, 1, 2, np.nan]], np.float32))
    assert one(tmp_path, path, size=(1, 6), channels=1).tolist() == [[0, 0, 128, 255, 255, 0]]


def transparent(mode: str) -> Image.Image:
    """4 × 4: the left half red, or black, and opaque; of the right half nothing is to be seen."""
    red = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    red.paste((0, 0, 255, 0), (2, 0, 4, 4))
    return red.quantize(4) if mode == "P" else red.convert(mode)


@pytest.mark.parametrize(("mode", "ending"), [("RGBA", "png"), ("P", "png"), ("RGBA", "webp"), ("LA", "png")])
def test_what_is_transparent_is_white(tmp_path, mode, ending):
    how = {"lossless": True} if ending == "webp" else {}
    image = one(tmp_path, save(tmp_path / f"a.{ending}", transparent(mode), **how), size=4)
    assert (image[:, 2:] == 255).all()
    assert (image[:, :2] == (RED if mode != "LA" else 76)).all()  # 76 of 255 is the grey of red


def test_what_is_half_transparent_is_mixed_with_white(tmp_path):
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    assert (one(tmp_path, save(tmp_path / "a.png", half), size=4) == (255, 127, 127)).all()


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_transparent_colour_of_a_palette_is_white_too(tmp_path, ending):
    flat = Image.new("P", (4, 4), 0)
    flat.putpalette([10, 20, 30, 0, 255, 0])
    flat.paste(1, (0, 0, 2, 4))
    image = one(tmp_path, save(tmp_path / f"a.{ending}", flat, transparency=0), size=4)
    assert (image[:, :2] == GREEN).all() and (image[:, 2:] == WHITE).all()


def test_a_transparent_colour_without_a_palette_is_white_too(tmp_path):
    path = save(tmp_path / "b.png", np.full((4, 4, 3), 9, np.uint8), transparency=(9, 9, 9))
    assert (one(tmp_path, path, size=4) == WHITE).all()


@pytest.mark.parametrize(("ending", "channels", "expected"), [("jpg", 3, RED), ("tiff", 3, RED), ("jpg", 1, (76,))])
def test_printing_inks_become_colours(tmp_path, ending, channels, expected):
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    image = one(tmp_path, save(tmp_path / f"a.{ending}", inks, quality=95), size=16, channels=channels).astype(int)
    assert np.abs(image.reshape(16, 16, channels) - expected).max() <= 3


@pytest.mark.parametrize(("mode", "grey"), [("1", 255), ("L", 200), ("LAB", 119)])
def test_other_ways_to_store_colours_are_understood(tmp_path, mode, grey):
    colour = {"1": 1, "L": 200, "LAB": (128, 128, 128)}[mode]
    path = save(tmp_path / "a.tiff", Image.new(mode, (8, 8), colour))
    assert np.abs(one(tmp_path, path, size=8).astype(int) - grey).max() <= 1


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tiff"])
def test_of_an_animation_the_first_picture_counts(tmp_path, ending):
    first, *others = (Image.new("RGB", (8, 8), colour) for colour in (GREEN, RED, BLUE))
    path = save(tmp_path / f"a.{ending}", first, save_all=True, append_images=others)
    assert np.abs(one(tmp_path, path, size=8).astype(int) - GREEN).max() <= 4


# ---- which files, and in which part ----


def test_the_set_reads_like_an_image_set(tmp_path):
    images = data.folder(numbered(tmp_path / "grey", 100), size=(6, 5))
    parts = images.train, images.valid, images.test
    assert images.name == "grey" and images.shape == (3, 6, 5)
    assert sum(map(len, parts)) == 100 and sorted(sum((part.names for part in parts), ())) == sorted(
        os.listdir(tmp_path / "grey")
    )
    for part in parts:
        assert isinstance(part, data.Files) and part.dtype == torch.uint8 and part.dim() == 4
        assert part.shape == (len(part), 3, 6, 5) and list(part.names) == sorted(part.names)
        assert "3×6×5 uint8" in repr(part) and str(len(part)) in repr(part) and str(tmp_path / "grey") in repr(part)
    a, b, c = map(len, parts)
    assert repr(images) == f"FolderSet grey: {a} train, {b} valid, {c} test; 3×6×5 uint8, read from disk"
    assert images.unreadable == () == images.train.unreadable
    with pytest.raises(AttributeError):
        images.train = images.test


def test_a_folder_may_be_named_in_any_way(tmp_path, monkeypatch):
    numbered(tmp_path / "pictures", 9)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names = {data.folder(path, size=4).train.names for path in (tmp_path / "pictures", "pictures", "~/pictures")}
    assert len(names) == 1
    monkeypatch.chdir("pictures")
    assert data.folder(".", size=4).name == "pictures" and data.folder(".", size=4).train.names in names


def test_the_split_is_the_same_on_every_machine():
    assert [round(folders._share(name), 3) for name in ("a.png", "train/é.jpg")] == [0.496, 0.924]


def test_about_a_tenth_each_is_kept_for_validation_and_test(tmp_path):
    images = data.folder(numbered(tmp_path, 256, side=1), size=1)
    assert 13 <= len(images.valid) <= 38 and 13 <= len(images.test) <= 38  # 25.6 ± 2.6 standard deviations


def test_a_file_that_is_added_moves_no_other(tmp_path):
    root = numbered(tmp_path, 200, side=1)
    before = data.folder(root, size=1)
    for i in range(50):
        save(root / "more" / f"{i}.bmp", np.zeros((1, 1), np.uint8))
    after = data.folder(root, size=1)
    for part in ("train", "valid", "test"):
        assert set(getattr(before, part).names) == {n for n in getattr(after, part).names if "more/" not in n}
    assert {n.partition("/")[0] for n in after.test.names} != {"more"}


@pytest.mark.parametrize("count", [3, 4, 5, 10])
@pytest.mark.parametrize("prefix", ["a", "b", "c", "d"])
def test_even_a_few_pictures_give_three_parts(tmp_path, count, prefix):
    for i in range(count):
        save(tmp_path / f"{prefix}{i}.png", np.zeros((1, 1), np.uint8))
    images = data.folder(tmp_path, size=1)
    assert len(images.train) + len(images.valid) + len(images.test) == count
    assert min(len(images.train), len(images.valid), len(images.test)) >= 1


@pytest.mark.parametrize("valid", ["valid", "val", "validation", "Val"])
def test_subfolders_are_the_parts(tmp_path, valid):
    for place, count in (("train/cats", 5), ("train", 2), (valid, 3), ("test", 2), ("others", 4), (".", 1)):
        for i in range(count):
            save(tmp_path / place / f"{i}.png", np.zeros((1, 1), np.uint8))
    images = data.folder(tmp_path, size=1)
    assert images.train.names == ("train/0.png", "train/1.png", *(f"train/cats/{i}.png" for i in range(5)))
    assert images.valid.names == tuple(f"{valid}/{i}.png" for i in range(3))
    assert images.test.names == ("test/0.png", "test/1.png")


@pytest.mark.parametrize(("given", "missing"), [("test", "valid"), ("valid", "test")])
def test_a_part_that_has_no_subfolder_is_a_tenth_of_train(tmp_path, given, missing):
    numbered(tmp_path / "train", 150, side=1)
    numbered(tmp_path / given, 2, side=1)
    images = data.folder(tmp_path, size=1)
    assert getattr(images, given).names == (f"{given}/000.bmp", f"{given}/001.bmp")
    assert 5 <= len(getattr(images, missing)) <= 25 and len(images.train) + len(getattr(images, missing)) == 150


def test_a_subfolder_that_is_called_train_alone_makes_no_split(tmp_path):
    numbered(tmp_path / "train", 30, side=1)
    numbered(tmp_path / "bicycle", 30, side=1)
    images = data.folder(tmp_path, size=1)
    assert {name.partition("/")[0] for name in images.train.names} == {"train", "bicycle"}


def test_hidden_files_are_not_taken_and_links_that_go_round_are_no_trap(tmp_path):
    root = numbered(tmp_path / "a", 5)
    for name in (".hidden.png", ".ipynb_checkpoints/x.png", "b/._x.png"):
        save(root / name, np.zeros((1, 1), np.uint8))
    save(root / "b" / "c" / "x.png", np.zeros((1, 1), np.uint8))
    save(tmp_path / "elsewhere" / "y.png", np.zeros((1, 1), np.uint8))
    (root / "b" / "up").symlink_to(root, target_is_directory=True)
    (root / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    images = data.folder(root, size=1)
    names = images.train.names + images.valid.names + images.test.names
    assert sorted(names) == [f"00{i}.bmp" for i in range(5)] + ["b/c/x.png", "link/y.png"]


# ---- files that are no pictures, or broken ones ----


def test_other_files_are_passed_over_and_broken_pictures_are_named(tmp_path):
    root = numbered(tmp_path, 10)
    for name in ("notes.txt", "labels.csv", "facts.json", "README"):
        (root / name).write_text("no picture")
    (root / "values.h5").write_bytes(b"\x89HDF\r\n\x1a\n")  # Pillow knows its first bytes, and no more
    for name in ("text.png", "a/phone.heic", "drawing.svg", "empty.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("no picture" if name != "empty.jpg" else "")
    (root / "dangling.png").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe.png")  # to open it would be to wait for ever
    with pytest.warns(UserWarning, match=r"6 files .* left out: a/phone\.heic, dangling\.png, drawing\.svg, …") as seen:
        images = data.folder(root, size=4)
    assert len(seen) == 1 and seen[0].filename == __file__
    assert images.unreadable == ("a/phone.heic", "dangling.png", "drawing.svg", "empty.jpg", "pipe.png", "text.png")
    assert sum(map(len, (images.train, images.valid, images.test))) == 10
    assert repr(images).endswith("; 6 unreadable")


def test_a_file_that_would_unpack_to_too_much_is_unreadable(tmp_path, monkeypatch):
    root = numbered(tmp_path, 10)
    save(root / "bomb.png", np.zeros((30, 30), np.uint8))
    save(root / "large.png", np.zeros((15, 10), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow warns above this, and refuses above twice this
    with pytest.warns(UserWarning, match=r"1 file cannot .*bomb\.png"):
        images = data.folder(root, size=4)
    assert images.unreadable == ("bomb.png",)
    warnings.simplefilter("error")  # and no warning of Pillow's
    for part in (images.train, images.valid, images.test):
        assert len(part[:]) == len(part)


@pytest.fixture
def damaged(tmp_path) -> data.FolderSet:
    """80 sound pictures, and 3 that break off; only decoding shows it."""
    root = tmp_path / "damaged"
    for part, count in (("train", 80), ("valid", 2), ("test", 2)):
        numbered(root / part, count)
    for name in ("010x.jpg", "020x.jpg", "090x.jpg"):
        cut_short(save(root / "train" / name, noise(64, 64, 3)))
    return data.folder(root, size=4)


@pytest.mark.parametrize("cores", [1, 2])
def test_files_that_break_off_are_left_out_once_they_are_found(damaged, workers, cores):
    workers(cores)
    train = damaged.train
    assert len(train) == 83 and train.unreadable == ()
    everything = torch.arange(83)
    with pytest.warns(UserWarning, match=r"3 files .*010x\.jpg, train/020x\.jpg, train/090x\.jpg \(") as seen:
        first = list(train.batches(everything.split(10)))
    seen = [warning for warning in seen if "fork" not in str(warning.message)]  # Python 3.12's, about threads in pytest
    assert len(seen) == 1 and seen[0].filename == __file__
    assert [len(batch) for batch in first] == [10, 9, 9, 10, 10, 10, 10, 10, 2]
    assert numbers_of(torch.cat(first)) == list(range(80))
    assert train.unreadable == ("train/010x.jpg", "train/020x.jpg", "train/090x.jpg") == damaged.unreadable
    assert damaged.valid.unreadable == ()
    second = list(train.batches(everything.split(10)))  # no second warning
    assert all(map(torch.equal, first, second))
    assert [batch.shape for batch in train.batches([torch.tensor([11, 82])])] == [(0, 3, 4, 4)]
    assert numbers_of(train[10:13]) == [10, 11] and numbers_of(train[[82, 0]]) == [0]


def test_the_one_image_asked_for_must_be_readable(damaged):
    assert train_number(damaged, 10) == 10
    with pytest.raises(DataError, match=r"train/010x\.jpg cannot be read"):
        damaged.train[11]
    assert damaged.unreadable == ("train/010x.jpg",)


def train_number(images, index) -> int:
    return images.train[index][0, 0, 0].item()


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.gif"])
def test_a_picture_of_any_kind_that_breaks_off_is_an_error_or_a_picture_and_never_a_crash(tmp_path, name):
    root = numbered(tmp_path, 3) / "."
    for part in ("train", "valid", "test"):
        save(root / part / "ok.png", noise(4, 4))
    cut_short(save(root / "train" / name, noise(64, 64, 3)))
    images = data.folder(root, size=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert 1 <= len(images.train[:]) <= 2
    if name != "a.gif":  # Pillow takes what there is of a GIF
        assert images.unreadable == (f"train/{name}",)


# ---- reading many ----


@pytest.fixture
def many_files(tmp_path) -> Path:
    numbered(tmp_path / "many" / "train", 200)
    for part in ("valid", "test"):
        numbered(tmp_path / "many" / part, 80)
    return tmp_path / "many"


@pytest.fixture
def many(many_files) -> data.FolderSet:
    return data.folder(many_files, size=4)


def test_files_are_indexed_as_a_tensor_is(many):
    tensor = torch.arange(200)
    mask = tensor % 50 == 3
    for key in (slice(3, 6), slice(None, None, 70), [5, 2, 5], torch.tensor([-1, 0]), [], mask, np.array([4, 1])):
        images = many.train[key]
        assert images.dtype == torch.uint8 and images.shape[1:] == (3, 4, 4)
        assert numbers_of(images) == tensor[key].tolist()
    assert many.train[7].shape == (3, 4, 4) and train_number(many, 7) == 7 == train_number(many, torch.tensor(7))
    assert train_number(many, -1) == 199 == train_number(many, np.int64(199))
    for wrong in (200, -201, [200], torch.tensor([[1]])):
        with pytest.raises(IndexError):
            many.train[wrong]
    assert [image[0, 0, 0].item() for image in many.valid] == list(range(80))  # a loop ends


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_batches_come_in_order_and_are_the_same_for_any_number_of_workers(many, workers, cores, monkeypatch):
    workers(cores)
    monkeypatch.setattr(torch.utils.data.DataLoader, "check_worker_number_rationality", lambda self: None)
    shuffled = torch.randint(200, (500,), generator=torch.Generator().manual_seed(0))
    indices = [*shuffled[:300].split(70), torch.tensor([], dtype=torch.int64), shuffled[300:301], shuffled[301:]]
    before = children()
    for _ in range(2):
        batches = list(many.train.batches(indices))
        assert [numbers_of(batch) for batch in batches] == [index.tolist() for index in indices]
        assert all(batch.dtype == torch.uint8 and batch.shape[1:] == (3, 4, 4) for batch in batches)
        assert all(batch.is_contiguous() and batch.device.type == "cpu" for batch in batches)
    assert len(children() - before) == {1: 0, 2: disk._worker_count(), 3: 2}[cores]


def test_split_gives_what_a_tensor_would(many, workers):
    for cores in (1, 2):
        workers(cores)
        whole = many.train[:]
        for batch in (1, 64, 1000):
            for ours, theirs in itertools.zip_longest(many.train.split(batch), whole.split(batch)):
                assert torch.equal(ours, theirs)


def test_large_images_travel_in_small_parcels(tmp_path, workers, monkeypatch):
    workers(2)
    root = numbered(tmp_path, 70)
    images, seen = data.folder(root, size=600).train, []
    read = disk._Disk.read
    monkeypatch.setattr(disk._Disk, "read", lambda self, plan: (seen.extend(plan), read(self, plan))[1])
    (batch,) = images.split(5000)
    assert max(map(len, seen)) == 3 and numbers_of(batch) == [int(name[:3]) for name in images.names]


def test_workers_are_kept_for_the_next_pass_and_the_other_parts_and_end_with_the_set(many_files, workers):
    workers(2)
    many = data.folder(many_files, size=4)
    before = children()
    list(many.train.split(50))
    first = children() - before
    assert first
    list(many.train.split(50))
    list(many.valid.split(50))
    assert children() - before == first
    train = many.train
    del many
    list(train.split(50))
    assert children() - before == first
    del train
    assert gone(first)


def test_a_few_images_start_no_worker(many, workers):
    workers(2)
    before = children()
    list(many.train.batches(torch.arange(64).split(8)))
    many.train[:64], many.train[3]
    assert children() == before


def test_a_pass_that_is_given_up_or_interrupted_leaves_the_next_one_right(many, workers):
    workers(2)
    before = children()
    for count in (0, 1, 3):
        passing = many.train.batches(torch.arange(200).split(32))
        for _ in range(count):
            next(passing)
        abandoned = children() - before
        del passing
        assert gone(abandoned)
        assert numbers_of(torch.cat(list(many.train.split(32)))) == list(range(200))
        kept = children() - before
        many.train._disk.idle.clear()
        assert kept and gone(kept)
    with pytest.raises(KeyboardInterrupt):
        for _ in many.train.split(32):
            raise KeyboardInterrupt
    assert numbers_of(torch.cat(list(many.train.split(32)))) == list(range(200))


def test_passes_may_run_side_by_side(many, workers):
    workers(2)
    pairs = zip(many.train.split(50), many.train.batches(torch.arange(200).flip(0).split(50)), strict=True)
    forth, back = map(torch.cat, zip(*pairs, strict=True))
    assert numbers_of(forth) == list(range(200)) == numbers_of(back)[::-1]
    for batch, again in zip(many.train.split(50), many.train.split(50), strict=True):
        assert torch.equal(batch, again)


def test_workers_do_not_mind_the_stop_button(many, workers):
    workers(2)
    before = children()
    passing = many.train.split(50)
    first = next(passing)
    kept = children() - before
    for pid in kept:
        os.kill(pid, signal.SIGINT)
    assert numbers_of(torch.cat([first, *passing])) == list(range(200))
    assert children() - before == kept


def test_reading_draws_no_random_number(many, workers):
    workers(2)
    before = torch.get_rng_state()
    list(many.train.split(50))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_processes_reading_goes_on_alone(many, workers, monkeypatch):
    workers(2)

    def refuse(self):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
    with pytest.warns(UserWarning, match="without worker processes, which is slower: Resource temporarily") as seen:
        assert numbers_of(torch.cat(list(many.train.split(50)))) == list(range(200))
    assert len(seen) == 1
    assert numbers_of(torch.cat(list(many.train.split(50)))) == list(range(200))  # and says so once


def test_a_worker_that_is_killed_loses_no_image(many, workers, monkeypatch):
    workers(2)
    here, decode = os.getpid(), disk._Decoder.__getitem__

    def die(self, rows):
        if os.getpid() != here:
            os._exit(1)
        return decode(self, rows)

    monkeypatch.setattr(disk._Decoder, "__getitem__", die)
    with pytest.warns(UserWarning, match="without worker processes"):
        assert numbers_of(torch.cat(list(many.train.split(50)))) == list(range(200))


def test_files_can_be_copied_pickled_and_given_to_a_loader_of_ones_own(many, workers):
    workers(2)
    list(many.train.split(50))
    again = pickle.loads(pickle.dumps(many))
    assert again.train.names == many.train.names and numbers_of(again.valid[:3]) == [0, 1, 2]
    loader = torch.utils.data.DataLoader(many.train, batch_size=90, num_workers=1)
    assert numbers_of(torch.cat(list(loader))) == list(range(200))
    loader = torch.utils.data.DataLoader(many.train, batch_size=None, sampler=[list(range(90))], num_workers=1)
    assert numbers_of(next(iter(loader))) == list(range(90))  # a worker starts no workers


def test_workers_that_start_afresh_as_on_macos_and_windows_read_the_same(many, workers, monkeypatch):
    workers(2)
    monkeypatch.setattr(disk, "_worker_count", lambda: 1)
    spawned = functools.partial(torch.utils.data.DataLoader, multiprocessing_context="spawn")
    monkeypatch.setattr(disk, "DataLoader", spawned)
    before = children()
    assert numbers_of(torch.cat(list(many.train.split(50)))) == list(range(200))
    assert children() - before


def test_pinned_batches_are_asked_for_only_where_there_is_a_gpu(many):
    (batch,) = many.train.batches([torch.arange(5)], pin=True)
    assert batch.is_pinned() == torch.cuda.is_available() and numbers_of(batch) == [0, 1, 2, 3, 4]


def test_a_core_is_left_for_training(workers, monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for cores, count in ((1, 0), (2, 2), (3, 2), (8, 7), (128, 16)):
        workers(cores)
        assert disk._worker_count() == count
    workers(8)
    for processes, count in ((1, 7), (2, 3), (8, 0), (16, 0)):  # of torchrun, each with workers of its own
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert disk._worker_count() == count
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    monkeypatch.setattr(multiprocessing, "current_process", lambda: type("", (), {"daemon": True}))
    assert disk._worker_count() == 0


# ---- what a checkpoint recognises the data by ----


def test_a_fingerprint_follows_names_sizes_and_shape_and_nothing_else(tmp_path):
    root = numbered(tmp_path / "a", 40)
    first = data.folder(root, size=4).train.fingerprint()
    assert len(first) == 16 and int(first, 16) >= 0
    assert data.folder(root, size=4).train.fingerprint() == first
    assert data.folder(root, size=4).test.fingerprint() != first
    assert data.folder(root, size=5).train.fingerprint() != first
    assert data.folder(root, size=4, channels=1).train.fingerprint() != first
    root = root.rename(tmp_path / "b")
    assert data.folder(root, size=4).train.fingerprint() == first
    name = data.folder(root, size=4).train.names[0]
    with (root / name).open("ab") as file:
        file.write(b"\0")
    longer = data.folder(root, size=4).train.fingerprint()
    assert longer != first
    (root / name).unlink()
    assert data.folder(root, size=4).train.fingerprint() not in (first, longer)


# ---- mistakes ----


def test_a_path_has_to_be_a_folder(tmp_path):
    assert f"no folder {tmp_path / 'absent'}" in error(tmp_path / "absent", size=4)
    archive = tmp_path / "pictures.zip"
    archive.touch()
    assert f"{archive} is a file" in error(archive, size=4) and "unpack" in error(archive, size=4)
    for wrong in (3, None, [tmp_path]):
        assert repr(wrong) in error(wrong, size=4)


def test_a_folder_needs_a_picture_for_each_part(tmp_path):
    assert "no picture" in error(tmp_path, size=4) and "no file at all" in error(tmp_path, size=4)
    for i in range(3):
        (tmp_path / f"{i}.TXT").touch()
    (tmp_path / "x.heic").touch()
    assert "3 × .txt, 1 × .heic" in error(tmp_path, size=4)
    numbered(tmp_path, 2)
    (tmp_path / "x.heic").unlink()
    assert "found 2 pictures for train and test and valid" in error(tmp_path, size=4)
    numbered(tmp_path, 3)
    assert len(data.folder(tmp_path, size=4).train) == 1


def test_a_subfolder_that_is_a_part_needs_a_picture(tmp_path):
    numbered(tmp_path / "train", 1)
    (tmp_path / "test").mkdir()
    assert f"{tmp_path / 'test'} holds no picture" in error(tmp_path, size=4)
    numbered(tmp_path / "test", 1)
    assert "found 1 pictures for train and valid" in error(tmp_path, size=4)


@pytest.mark.parametrize("size", [0, -1, True, 6.5, "64", None, (4,), (4, 4, 4), (4, 0), (4, True), [4, "4"]])
def test_a_size_is_one_or_two_whole_numbers(tmp_path, size):
    message = error(numbered(tmp_path, 3), size=size)
    assert f"size is {size!r}" in message and "(48, 64)" in message


def test_sizes_of_numpy_and_lists_will_do(tmp_path):
    numbered(tmp_path, 3)
    assert data.folder(tmp_path, size=np.int64(5)).shape == (3, 5, 5)
    assert data.folder(tmp_path, size=[5, np.int32(6)], channels=np.int8(1)).shape == (1, 5, 6)


@pytest.mark.parametrize("channels", [0, 2, 4, True, 1.0, "RGB", None, [1]])
def test_channels_are_1_or_3(tmp_path, channels):
    message = error(numbered(tmp_path, 3), size=4, channels=channels)
    assert f"channels is {channels!r}" in message and "3 for colour or 1 for grey" in message


@pytest.mark.parametrize("batch", [0, -5, True, 2.0, None])
def test_a_batch_holds_at_least_one(many, batch):
    with pytest.raises(DataError, match="batch is"):
        many.train.split(batch)


@pytest.mark.parametrize(
    "indices", [torch.arange(5), [[0, 1]], [torch.tensor([0.0])], [torch.tensor([True])], [torch.tensor([[1]])]]
)
def test_batches_are_asked_for_by_tensors_of_whole_numbers(many, indices):
    with pytest.raises(DataError, match="list of int64 tensors"):
        many.train.batches(indices)
    with pytest.raises(IndexError):
        many.train.batches([torch.tensor([200])])
