"""Published files: which make up a dataset, their checksums, and what is in them.

Every file is checked on every load, and nothing here reads a pickle.
"""

import gzip
import hashlib
import io
import math
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aetutor.data.images import DataError, _by


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


# ---- each reader returns arrays, or raises a DataError that continues the sentence "<path> …" ----


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        bare = path.with_suffix("")
        beside = f" ({bare.name} is there, but only the .gz has a published checksum)" if bare.is_file() else ""
        raise DataError(f"is missing{beside}.") from None
    except OSError as error:
        folder = os.path.isdir(path)  # Windows reports it as "permission denied"
        what = "is a folder, expected a file" if folder else f"cannot be read: {error.strerror or error}"
        raise DataError(f"{what}.") from None


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


# ---- the datasets ----


def _grey(folder: str, checked: str, checksums: str, classes: str, **more) -> _Spec:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    shapes = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))
    files = [
        _File(f"{folder}/raw/{name}-ubyte.gz", f"{checked} {checksum}", shape)
        for name, checksum, shape in zip(names, checksums.split(), shapes, strict=True)
    ]
    return _Spec(tuple(files), _read_idx, tuple(classes.split(", ")), mirrors=folder, **more)


_CIFAR10 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"

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
        (_File("cifar-10-binary.tar.gz", f"file sha256 {_CIFAR10}", (10_000, 3, 32, 32)),),
        _read_cifar,
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        unread=("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    ),
}
