"""A folder of pictures as a dataset in three parts: what it holds, and which part a file belongs to."""

import hashlib
import itertools
import os
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from aetutor.data.disk import Files, _count, _Disk, _is_whole, _warn
from aetutor.data.images import _PARTS, DataError, _by
from aetutor.data.pictures import _endings, _header, _seems_picture

_SUBFOLDERS = {"train": "train", "test": "test", "valid": "valid", "val": "valid", "validation": "valid"}


def folder(path: str | os.PathLike, *, size: int | tuple[int, int], channels: int = 3) -> "FolderSet":
    """A folder of image files, read from disk as they are needed: for pictures that do not fit into memory.

    All that Pillow reads is taken, from subfolders too; hidden files are not. A picture is turned as its EXIF says,
    scaled to cover `size`, and its middle is cut out; transparent parts become white, of an animation the first
    picture counts. Numbers of 16 bits are scaled to 8, and floats are taken to lie between 0 and 1.

    If there are subfolders train and test, or train and valid (or val, validation), they are the parts, and what lies
    beside them is left out; a third one that is missing gets a tenth of train. Otherwise test and valid get a tenth
    each. Which one a file belongs to depends on its name alone, so no file that is added moves another; only where a
    part would be empty, in folders of a few dozen files, one is moved there.

    path       : str or Path          the folder
    size       : int or (H, W)        of the images that come out; one int: square
    channels   : int                  3 for colour, 1 for grey
    returns    : FolderSet            named after the folder; files that cannot be opened are left out with a warning
    raises     : DataError            if path is no folder, there are fewer than 3 pictures in it, a part has none, or
                                      size or channels is out of range
    source     : this course
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    root, shape = _root(path), _shape(size, channels)
    subfolders = _subfolders(root)
    names, passed, unopened = _search(root, subfolders)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about large pictures and odd headers; what is broken we report
        with ThreadPoolExecutor() as pool:  # waiting for a disk, mostly
            sizes = dict(zip(names, pool.map(_header, (root / name for name in names)), strict=True))
    broken = [name for name in names if sizes[name] is None]
    names = [name for name in names if sizes[name] is not None]
    if not names:
        kinds = Counter(Path(name).suffix.lower() or "no ending" for name in (*passed, *broken))
        listed = ", ".join(f"{count} × {kind}" for kind, count in kinds.most_common(5)) or "no file at all"
        raise DataError(f"{root} holds no picture that Pillow can read; it holds: {listed}.")
    unopened += [name for name in broken if Path(name).suffix]  # a file without an ending may be anything: README
    unopened.sort()
    parts = _split(root, names, subfolders)
    disk = _Disk(root, names, [sizes[name] for name in names], shape)
    row = {name: i for i, name in enumerate(names)}
    files = [Files(disk, torch.tensor([row[name] for name in parts[part]])) for part in _PARTS]
    _warn(root, unopened, stacklevel=3)
    return FolderSet(root.name or str(root), *files, tuple(unopened))


@dataclass(frozen=True, eq=False, repr=False)
class FolderSet:
    """Image files in three parts that never mix, as an ImageSet has them, but read from disk.

    name       : str                    the folder's
    train      : Files (N, C, H, W)     images to fit on, intensity 0…255
    valid      : Files (N, C, H, W)     images to choose by: early stopping, best weights
    test       : Files (N, C, H, W)     images to report on, once, at the end
    unopened   : tuple of str           files in no part, since they look like pictures but cannot be opened
    returns    : FolderSet              frozen; `folder` makes it
    raises     : nothing
    source     : this course
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """

    name: str
    train: Files
    valid: Files
    test: Files
    unopened: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size of one image.

        returns    : (C, H, W)   three int: channels, rows, columns
        raises     : nothing
        source     : this course
        taught in  : notebooks/03_convolutional_autoencoder.ipynb
        """
        return tuple(self.train.shape[1:])

    @property
    def unreadable(self) -> tuple[str, ...]:
        """All files found broken so far, when the folder was opened or when they were decoded.

        returns    : tuple of str   names below the folder, with forward slashes
        raises     : nothing
        source     : this course
        taught in  : notebooks/03_convolutional_autoencoder.ipynb
        """
        return tuple(sorted(itertools.chain(self.unopened, *(getattr(self, part).unreadable for part in _PARTS))))

    def __repr__(self) -> str:
        counts = ", ".join(f"{_count(len(getattr(self, part)))} {part}" for part in _PARTS)
        bad = f"; {_count(len(self.unreadable))} unreadable" if self.unreadable else ""
        return f"FolderSet {self.name}: {counts}; {_by(self.shape)} uint8, read from disk{bad}"


# ---- what a folder holds, and which part it belongs to ----


def _root(path) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise DataError(f"path is {path!r}; expected the name of a folder, such as 'pictures'.")
    root = Path(path).expanduser().absolute()
    if not root.exists():
        raise DataError(f"There is no folder {root}.", "check the spelling, or give its full name")
    if not root.is_dir():
        raise DataError(f"{root} is a file, expected a folder of pictures.", "name its folder; unpack an archive first")
    return root


def _shape(size, channels) -> tuple[int, int, int]:
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(map(_is_whole, sides)):
        raise DataError(f"size is {size!r}; expected whole numbers of pixels: 64, or (rows, columns) as in (48, 64).")
    if not _is_whole(channels) or channels not in (1, 3):
        raise DataError(f"channels is {channels!r}; expected 3 for colour or 1 for grey.")
    return int(channels), int(sides[0]), int(sides[1])


def _subfolders(root: Path) -> dict[str, str]:
    """Subfolder -> part, if the reader has made the split."""
    try:
        inside = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror}.") from None
    found = {name: _SUBFOLDERS[name.lower()] for name in sorted(inside) if name.lower() in _SUBFOLDERS}
    return found if "train" in found.values() and len(set(found.values())) > 1 else {}


def _search(root: Path, subfolders: dict[str, str]) -> tuple[list[str], list[str], list[str]]:
    """Files that may be pictures, files that are none by their endings, and folders that cannot be looked into."""
    names, passed, closed, seen, endings = [], [], [], set(), _endings()

    def below(path) -> str:
        return Path(path).relative_to(root).as_posix()

    for here, folders, files in os.walk(root, followlinks=True, onerror=lambda e: closed.append(below(e.filename))):
        real, top = os.path.realpath(here), here == str(root)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if top and subfolders:
            folders[:] = [name for name in folders if name in subfolders]
        if real in seen or (top and subfolders):  # seen: a link that leads back would be followed for ever
            continue
        seen.add(real)
        prefix = "" if top else below(here) + "/"
        for name in files:
            if not name.startswith("."):
                may_be = not Path(name).suffix or _seems_picture(name, endings)
                (names if may_be else passed).append(prefix + name)
    return sorted(names), passed, closed


def _split(root: Path, names: list[str], subfolders: dict[str, str]) -> dict[str, list[str]]:
    parts = {part: [] for part in subfolders.values()} or {"train": names}
    for name in names if subfolders else ():
        parts[subfolders[name.partition("/")[0]]].append(name)
    for place, part in subfolders.items():
        if not parts[part]:
            raise DataError(f"{root / place} holds no picture that can be read.", "put some there, or delete it")
    train = sorted(parts["train"], key=_share)
    missing = [part for part in ("test", "valid") if part not in parts]
    if len(train) <= len(missing):
        needed = " and ".join(["train", *missing])
        raise DataError(f"{root}: found {len(train)} pictures for {needed}, and each needs at least one.", "add some")
    for i, part in enumerate(missing, 1):
        tenth = sum(_share(name) < i / 10 for name in train)
        count = min(max(tenth, 1), len(train) - (len(missing) - i) - 1)  # leaves one for each that is still to come
        parts[part], train = sorted(train[:count]), train[count:]
    return parts | {"train": sorted(train)}


def _share(name: str) -> float:
    """A number in [0, 1) for a name, the same on every machine."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:6]) / 2**48
