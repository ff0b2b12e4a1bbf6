"""Images as uint8 tensors: the MNIST that ships with the course, three sets to download, and a reader's own.

Every file is checked against a published checksum on every load, and nothing here reads a pickle.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import gzip
import hashlib
import http.client
import io
import math
import numbers
import os
import shutil
import socket
import struct
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_TIMEOUT = 8.0  # seconds of silence before a server is given up, so that no network is no long wait
_PARTS = ("train", "valid", "test")


class DataError(ValueError):
    """A file or an array is not what it has to be; the message names it, what was found, and what to do.

    message    : str         what is wrong, in words for the reader
    returns    : DataError   a ValueError, so `except ValueError` catches it too
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images in three parts that never mix: train to fit, valid to choose, test to report once.

    name       : str                    "mnist", …; "own" if it comes from `from_arrays`
    train      : (N, C, H, W) uint8     images to fit on, intensity 0…255
    valid      : (N, C, H, W) uint8     images to choose by: early stopping, best weights
    test       : (N, C, H, W) uint8     images to report on, once, at the end
    train_labels, valid_labels, test_labels : (N,) int64 or None   class of each image
    classes    : tuple of str or None   name of class 0, 1, …
    returns    : ImageSet               frozen; the three parts share C, H and W
    raises     : DataError              if a part is empty or not uint8 (N, C, H, W), or its labels do not fit
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """

    name: str
    train: Tensor
    valid: Tensor
    test: Tensor
    train_labels: Tensor | None = None
    valid_labels: Tensor | None = None
    test_labels: Tensor | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self):
        for part in _PARTS:
            images = getattr(self, part)
            _check(images, getattr(self, f"{part}_labels"), part, f"{part}_labels", self.classes)
            if images.shape[1:] != self.train.shape[1:]:
                raise DataError(
                    f"{part} holds images of {_by(images.shape[1:])} (C×H×W), but train of {_by(self.shape)}: "
                    "bring both to one size and number of channels first."
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size of one image.

        returns    : (C, H, W)   three int: channels, rows, columns
        raises     : nothing
        source     : this course
        taught in  : notebooks/00_start_here.ipynb
        """
        return tuple(self.train.shape[1:])

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, part)):_} {part}".replace("_", " ") for part in _PARTS)
        classes = f"; {len(self.classes)} classes" if self.classes else ""
        return f"ImageSet {self.name}: {counts}; {_by(self.shape)} uint8{classes}"

    def keep(self, classes: Iterable[int | str]) -> ImageSet:
        """Only the images of some classes, in their old order; labels keep their old numbers.

        classes    : iterable of int or str   class numbers, or names out of `self.classes`
        returns    : ImageSet                 all three parts, reduced to these classes
        raises     : DataError                if labels are missing, a class is unknown, or a part comes out empty
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        labels = {part: getattr(self, f"{part}_labels") for part in _PARTS}
        if bare := [part for part in _PARTS if labels[part] is None]:
            raise DataError(f"keep needs labels, and {self.name} has none for {', '.join(bare)}.")
        if isinstance(classes, str) or not isinstance(classes, Iterable):
            raise DataError(f"keep takes a list of classes: keep([{classes!r}]), not keep({classes!r}).")
        names = self.classes or ()
        known = list(range(len(names))) or torch.cat(list(labels.values())).unique().tolist()
        wanted = [names.index(c) if c in names else c for c in classes]
        for number in wanted:
            if number not in known:
                listed = ", ".join(name if name == str(i) else f"{i} {name}" for i, name in enumerate(names)) or known
                raise DataError(f"{self.name} has no class {number!r}. It has: {listed}.")
        changes = {}
        for part in _PARTS:
            chosen = torch.isin(labels[part], torch.tensor(wanted, dtype=torch.int64))
            if not chosen.any():
                raise DataError(f"keep({wanted}) leaves no image in {part} of {self.name}: keep more classes.")
            changes |= {part: getattr(self, part)[chosen], f"{part}_labels": labels[part][chosen]}
        return replace(self, **changes)


def load(name: str) -> ImageSet:
    """A dataset by name: MNIST from the course's own files, the others from disk or, once, from the network.

    Looked for in $AETUTOR_DATA (torchvision's raw layout), then in the course, then in the user's cache. The
    first place that has the dataset's folder counts: a damaged file there is an error, never passed over.

    name       : str         "mnist", "fashion_mnist", "kmnist" or "cifar10"
    returns    : ImageSet    55 000 / 5 000 / 10 000 images of 1×28×28; cifar10: 45 000 / 5 000 / 10 000 of 3×32×32;
                             valid is the last 5 000 of the published training images
    raises     : DataError   if the name is unknown; if a file is missing, cut short, altered or of the wrong
                             shape; if there is no network to download from
    source     : LeCun et al. 1998, doi:10.1109/5.726791; Xiao et al. 2017, arXiv:1708.07747; Clanuwat et al. 2018,
                 arXiv:1812.01718; Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images
    taught in  : notebooks/00_start_here.ipynb
    """
    spec = _spec(name)
    root, mend = _find(spec) or _download(spec)
    arrays, paths = [], []
    try:
        for file in spec.files:
            paths.append(_on_disk(root / file.path, file))
            arrays += spec.read(paths[-1], file)
    except DataError as problem:
        raise DataError(f"{paths[-1]} {problem} {mend}") from None
    train, train_labels, test, test_labels = map(torch.from_numpy, arrays)
    train, test = (x.unsqueeze(1) if x.ndim == 3 else x for x in (train, test))  # (N, H, W) -> (N, 1, H, W)
    train_labels, test_labels = train_labels.long(), test_labels.long()
    paths *= 4 // len(paths)  # one archive holds all four
    try:
        _check(train, train_labels, paths[0], paths[1], spec.classes)
        _check(test, test_labels, paths[2], paths[3], spec.classes)
    except DataError as problem:
        raise DataError(f"{problem} {mend}") from None
    parts = train[: -spec.valid], train[-spec.valid :], test
    return ImageSet(name, *parts, train_labels[: -spec.valid], train_labels[-spec.valid :], test_labels, spec.classes)


def where(name: str) -> Path | None:
    """The folder that `load(name)` would read from; no file is opened and nothing is downloaded.

    name       : str            a name that `load` knows
    returns    : Path or None   None if `load` would have to download
    raises     : DataError      if the name is unknown, or AETUTOR_DATA names something that is not a folder
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    place = _find(_spec(name))
    return place and place[0]


def from_arrays(train, test, train_labels=None, test_labels=None, valid=0.1) -> ImageSet:
    """A reader's own pictures as an ImageSet, with the checks that the published ones pass; all is copied.

    Validation images are drawn from all over `train`, since a reader's arrays are often sorted by class, by
    NumPy's RandomState(0), which NumPy has frozen: the same on every machine and for every AETUTOR_SEED.

    train, test : (N, H, W) or (N, C, H, W) uint8   NumPy array, or tensor on any device; intensity 0…255
    train_labels, test_labels : (N,) int or None    class of each image, from 0; either may be given alone
    valid       : float                             share of train that becomes valid, above 0 and below 1
    returns     : ImageSet                          named "own"; at least one image in each part, order kept
    raises      : DataError                         says what was found and how to convert it
    source      : this course
    taught in   : notebooks/00_start_here.ipynb
    """
    train, test = _own_images(train, "train"), _own_images(test, "test")
    train_labels = _own_labels(train_labels, "train_labels")
    _check(train, train_labels, "train", "train_labels")  # before the split, so the counts are the reader's own
    if not isinstance(valid, numbers.Real) or not 0 < valid < 1:
        raise DataError(f"valid is the share of train to validate on, above 0 and below 1; found {valid!r}.")
    if len(train) < 2:
        raise DataError("train has 1 image, and needs 2 or more: at least one to fit on and one to validate on.")
    count = min(max(round(valid * len(train)), 1), len(train) - 1)
    held_out = torch.zeros(len(train), dtype=torch.bool)
    held_out[torch.from_numpy(np.random.RandomState(0).permutation(len(train))[:count])] = True
    labels = (None, None) if train_labels is None else (train_labels[~held_out], train_labels[held_out])
    test_labels = _own_labels(test_labels, "test_labels")
    return ImageSet("own", train[~held_out], train[held_out], test, *labels, test_labels)


# ---- checks that published files and a reader's arrays share ----


def _check(images, labels, images_from, labels_from, classes=None) -> None:
    if _kind(images) != "uint8" or images.ndim != 4 or 0 in images.shape:
        found = f"{_kind(images)} {tuple(getattr(images, 'shape', ()))}"
        raise DataError(f"{images_from}: found {found}, expected a tensor of uint8 (N, C, H, W) with N at least 1.")
    if labels is None:
        return
    if _kind(labels) != "int64" or labels.ndim != 1:
        found = f"{_kind(labels)} {tuple(getattr(labels, 'shape', ()))}"
        raise DataError(f"{labels_from}: found {found}, expected a tensor of int64 (N,).")
    if len(labels) != len(images):
        raise DataError(f"{labels_from} holds {len(labels)} labels, but {images_from} {len(images)} images.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (classes and high >= len(classes)):
        allowed = f"0 to {len(classes) - 1}" if classes else "0 or more"
        raise DataError(f"{labels_from} holds labels from {low} to {high}, expected {allowed}.")


def _kind(value) -> str:
    return str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else type(value).__name__


def _by(shape) -> str:
    return "×".join(map(str, shape))


def _as_array(value, name):
    if isinstance(value, np.ma.MaskedArray):
        raise DataError(f"{name} is a masked array, and the mask would be lost: use x.filled(0) or the like.")
    try:
        array = value.detach().cpu() if isinstance(value, Tensor) else np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # a ragged list, or a list of tensors on a GPU
        raise DataError(f"{name} does not make one array ({error}): bring all to one size, then stack.") from None
    dtype = str(array.dtype).removeprefix("torch.")
    if not dtype.startswith(("bool", "int", "uint", "float", "bfloat")):
        found = "None" if value is None else f"{type(value).__name__} of {dtype}"
        raise DataError(f"{name}: found {found}, expected a NumPy array or a tensor of whole numbers.")
    return array, dtype


def _own_images(value, name) -> Tensor:
    array, dtype = _as_array(value, name)
    shape, is_tensor = tuple(array.shape), isinstance(array, Tensor)
    if len(shape) not in (3, 4):
        hint = "; if it is one image, use x[None]" if len(shape) == 2 else ""
        raise DataError(f"{name} has shape {shape}, expected (N, H, W) or (N, C, H, W){hint}.")
    if 0 in shape:
        raise DataError(f"{name} is empty: its shape is {shape}.")
    if dtype != "uint8":
        values = array.double() if dtype.startswith(("bfloat", "float8")) else np.asarray(array)
        low, high = float(values.min()), float(values.max())
        how = "multiply by 255" if high <= 1 else "bring it to 0…255"
        convert = "x.to(torch.uint8)" if is_tensor else "x.astype(numpy.uint8)"
        found = f"found {dtype} from {low:g} to {high:g}, expected uint8 from 0 to 255"
        raise DataError(f"{name}: {found}: {how}, round, and convert with {convert}.")
    if len(shape) == 4 and shape[3] in (1, 3, 4) and shape[3] < shape[1]:
        how = f"x.{'permute' if is_tensor else 'transpose'}(0, 3, 1, 2)"
        raise DataError(f"{name} has shape {shape}, channels last; expected (N, C, H, W): use {how} (transpose).")
    # NumPy copies first: torch refuses arrays that run backwards and warns of those that are read-only.
    copy = array.clone() if is_tensor else torch.from_numpy(array.copy(order="C"))
    return (copy.unsqueeze(1) if copy.ndim == 3 else copy).contiguous()  # (N, C, H, W)


def _own_labels(value, name) -> Tensor | None:
    if value is None:
        return None
    array, dtype = _as_array(value, name)
    if not dtype.startswith(("int", "uint")):
        raise DataError(f"{name}: found {dtype}, expected whole numbers from 0, such as int64: convert them.")
    if array.ndim != 1:
        hint = "x.argmax(1) if it is one-hot, x.reshape(-1) if it is one column"
        raise DataError(f"{name} has shape {tuple(array.shape)}, expected (N,), a number per image: {hint}.")
    return array.long().clone() if isinstance(array, Tensor) else torch.from_numpy(array.astype(np.int64))


# ---- reading files: each reader returns arrays, or a DataError that continues the sentence "<path> …" ----


@dataclass(frozen=True)
class _File:
    path: str  # under a place
    checksum: str  # as published: "content sha256 …" of what is inside the .gz, or "file md5 …" of the .gz
    shape: tuple[int, ...]  # of the array in it; of one batch's images for CIFAR-10


@dataclass(frozen=True)
class _Spec:
    files: tuple[_File, ...]
    read: Callable[[Path, _File], list[np.ndarray]]  # train, train labels, test, test labels, over all files
    classes: tuple[str, ...]
    mirrors: str | tuple[str, ...]  # addresses that the files' names follow, or torchvision's class that has them
    valid: int = 5_000
    shipped: bool = False  # comes with the course
    unread: tuple[str, ...] = ()  # other forms of the same data, which hold pickles

    @property
    def marker(self) -> str:  # a place has a dataset if it has this folder or file
        return Path(self.files[0].path).parts[0]


def _on_disk(path: Path, file: _File) -> Path:
    # torchvision leaves the uncompressed file beside the .gz; where the content is what we check, it will do.
    if file.checksum.startswith("content") and not os.path.lexists(path) and path.with_suffix("").exists():
        return path.with_suffix("")
    return path


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        if os.path.isdir(path):  # Windows reports a folder as "permission denied"
            raise DataError("is a folder, expected a file.") from None
        if isinstance(error, FileNotFoundError):
            bare = path.with_suffix("")
            beside = f" ({bare.name} is there, but only the .gz has a published checksum)" if bare.is_file() else ""
            raise DataError(f"is missing{beside}.") from None
        raise DataError(f"cannot be read: {error.strerror or error}.") from None


def _check_sum(data: bytes, file: _File) -> None:
    of, method, expected = file.checksum.split()
    found = hashlib.new(method, data, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DataError(f"is damaged or altered: the {method} of its {of} is {found}, expected {expected}.")


def _read_idx(path: Path, file: _File) -> list[np.ndarray]:
    raw = _read_bytes(path)
    try:
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except EOFError:
        raise DataError(f"is cut short: its gzip stream breaks off after {len(raw)} bytes.") from None
    except (OSError, zlib.error) as error:
        raise DataError(f"is not a sound gzip file: {error}.") from None
    # IDX: two zero bytes, type (8 = uint8), number of axes, then each axis as a big-endian 4-byte integer.
    start = 4 + 4 * len(file.shape)
    if content[:4] != bytes([0, 0, 8, len(file.shape)]):
        expected = f"0 0 8 {len(file.shape)}, an IDX file of uint8 with {len(file.shape)} axes"
        raise DataError(f"starts with the bytes {' '.join(map(str, content[:4]))}, expected {expected}.")
    shape = struct.unpack(f">{len(file.shape)}I", content[4:start]) if len(content) >= start else ()
    if shape != file.shape:
        raise DataError(f"says that it holds {_by(shape) or 'nothing'}, expected {_by(file.shape)}.")
    if len(content) != (size := start + math.prod(shape)):
        raise DataError(f"has {len(content)} bytes of content, expected {size}: it is cut short or has more added.")
    _check_sum(content if file.checksum.startswith("content") else raw, file)
    return [np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()]  # copy: bytes are read-only


def _read_cifar(path: Path, file: _File) -> list[np.ndarray]:
    raw = _read_bytes(path)
    _check_sum(raw, file)
    count, *image = file.shape
    size = 1 + math.prod(image)  # a record is one label byte, then the image, channel by channel
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    wanted = {f"cifar-10-batches-bin/{name}": i for i, name in enumerate(names)}
    records = np.zeros((len(names), count, size), np.uint8)
    try:
        # As a stream: one pass, since members lie in any order, and nothing is extracted to disk.
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r|gz") as archive:
            for member in archive:
                if (i := wanted.pop(member.name, None)) is None:
                    continue
                if member.size != count * size:
                    raise DataError(f"holds {member.name} of {member.size} bytes, expected {count * size}.")
                records[i] = np.frombuffer(archive.extractfile(member).read(), np.uint8).reshape(count, size)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"is not a sound tar.gz archive: {error}.") from None
    if wanted:
        raise DataError(f"lacks {min(wanted)}.")
    images, labels = records[..., 1:].reshape(-1, *image), records[..., 0].reshape(-1)
    return [images[:-count], labels[:-count], images[-count:], labels[-count:]]


# ---- places: where a dataset may lie, and how it gets there ----


def _spec(name: str) -> _Spec:
    if name not in _DATASETS:
        near = difflib.get_close_matches(str(name).lower(), _DATASETS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"There is no dataset {name!r}.{hint} Known names: {', '.join(_DATASETS)}.")
    return _DATASETS[name]


def _places(spec: _Spec) -> tuple[list[tuple[Path, str]], int]:
    """Places in order, each with what mends it, and the index of the one to download into."""
    from platformdirs import user_cache_path

    places, package = [], Path(__file__).resolve().parent
    if chosen := os.environ.get("AETUTOR_DATA"):
        root = Path(chosen).expanduser().absolute()
        if not os.path.isdir(root):
            raise DataError(f"AETUTOR_DATA names {root}, which is not a folder: create it or unset AETUTOR_DATA.")
        mend = f"Put a good copy there, or delete {root / spec.marker} and load again, or unset AETUTOR_DATA."
        places.append((root, mend))
    if (package / "_shipped").is_dir():  # in an installed wheel
        places.append((package / "_shipped", "Reinstall: pip install --force-reinstall --no-deps aetutor."))
    else:  # in a checkout
        places.append((package.parent / "data", f"Restore it: git checkout -- data/{spec.marker}"))
    cache = user_cache_path("aetutor")
    mend = f"Delete {cache / spec.marker} and load again, or set AETUTOR_DATA to a folder with a good copy."
    return [*places, (cache, mend)], 0 if chosen else len(places)


def _find(spec: _Spec) -> tuple[Path, str] | None:
    return next((place for place in _places(spec)[0] if os.path.lexists(place[0] / spec.marker)), None)


def _download(spec: _Spec) -> tuple[Path, str]:
    places, index = _places(spec)
    root, mend = places[index]
    target = root / spec.marker
    try:
        root.mkdir(parents=True, exist_ok=True)
        for old in root.glob(".aetutor-*"):  # left by a process that was killed; a day old, so nobody's any more
            with contextlib.suppress(FileNotFoundError):  # another process has just finished with it
                if time.time() - old.stat().st_mtime > 86_400:
                    shutil.rmtree(old, ignore_errors=True)
        # All files arrive and are checked in a folder apart; then one rename makes the dataset appear, whole.
        with tempfile.TemporaryDirectory(prefix=".aetutor-", dir=root, ignore_cleanup_errors=True) as folder:
            for file in spec.files:
                try:
                    _fetch(spec, file, Path(folder), root)
                except DataError as problem:
                    raise DataError(f"{problem}{' ' + places[-2][1] if spec.shipped else ''}") from None
            try:
                os.replace(Path(folder) / spec.marker, target)
            except OSError:
                if not os.path.lexists(target):  # if it is there, another process was first: its copy is as good
                    raise
    except OSError as error:
        hint = "Make room there, or set AETUTOR_DATA to a folder that you can write to."
        raise DataError(f"{target} cannot be written: {error.strerror or error}. {hint}") from None
    return root, mend


def _fetch(spec: _Spec, file: _File, folder: Path, root: Path) -> None:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # RuntimeError: torch and torchvision of different builds
        hint = "install torch and torchvision together, from one place"
        raise DataError(f"torchvision, which downloads, cannot be imported ({error}): {hint}.") from None
    mirrors = getattr(datasets, spec.mirrors).mirrors if isinstance(spec.mirrors, str) else spec.mirrors
    path, failures = folder / file.path, []
    silent = socket.getdefaulttimeout() is None  # torchvision sets no time-out, and Python's default is for ever
    for url in [mirror + path.name for mirror in mirrors]:
        try:
            if silent:
                socket.setdefaulttimeout(_TIMEOUT)
            datasets.utils.download_url(url, path.parent, path.name)
            spec.read(path, file)
            return
        except DataError as problem:
            failures.append(f"{url}: what arrived {problem}")
        except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise  # the disk, not the network
            failures.append(f"{url}: {error}.")
        finally:
            if silent:
                socket.setdefaulttimeout(None)
        path.unlink(missing_ok=True)  # download_url would take what lies there for the file
    names, place = ", ".join(Path(f.path).name for f in spec.files), (root / file.path).parent
    pickles = [root / other for other in spec.unread if (root / other).exists()]
    raise DataError(
        f"{root / file.path} is missing, and could not be downloaded. Tried {' '.join(failures)} Check the network "
        f"and load again, or put {names} into {place}, or set AETUTOR_DATA to a folder that has them."
        + "".join(f" {p} is not read: it holds pickles, and a pickle can run any code." for p in pickles)
    )


def _grey(folder: str, checked: str, checksums: str, classes: str, **more) -> _Spec:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    shapes = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))
    files = [
        _File(f"{folder}/raw/{name}-ubyte.gz", f"{checked} {checksum}", shape)
        for name, checksum, shape in zip(names, checksums.split(), shapes, strict=True)
    ]
    return _Spec(tuple(files), _read_idx, tuple(classes.split(", ")), mirrors=folder, **more)


# The checksums are written out here, so that a check never depends on which torchvision is installed.
_DATASETS = {
    "mnist": _grey(
        "MNIST",
        "content sha256",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db "
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5 "
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7 "
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        shipped=True,
    ),
    "fashion_mnist": _grey(
        "FashionMNIST",
        "file md5",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d 25c81989df183df01b3e8a0aad5dffbe "
        "bef4ecab320f06d8554ea6380940ec79 bb300cfdad3c16e7a12a480ee83cd310",
        "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot",
    ),
    "kmnist": _grey(
        "KMNIST",
        "file md5",
        "bdb82020997e1d708af4cf47b453dcf7 e144d726b3acfaa3e44228e80efcd344 "
        "5c965bf0a639b31b8f53240b1b52f4d7 7320c461ea6c1c855c0b718fb2a4b134",
        "o, ki, su, tsu, na, ha, ma, ya, re, wo",
    ),
    # The authors' binary archive: the form that torchvision unpacks is a set of pickles.
    "cifar10": _Spec(
        files=(
            _File(
                "cifar-10-binary.tar.gz",
                "file sha256 c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                (10_000, 3, 32, 32),
            ),
        ),
        read=_read_cifar,
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        unread=("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    ),
}
