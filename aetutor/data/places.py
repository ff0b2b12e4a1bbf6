"""The published datasets: where each may lie, in which order we look, and how it gets there."""

import contextlib
import difflib
import errno
import http.client
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

import torch

from aetutor.data.files import _DATASETS, _File, _on_disk, _Spec
from aetutor.data.images import DataError, ImageSet, _check

NAMES = tuple(_DATASETS)
_TIMEOUT = 8.0  # seconds of silence before a server is given up, so that no network is no long wait


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
        raise DataError(f"{paths[-1]} {problem}", mend) from None
    train, train_labels, test, test_labels = map(torch.from_numpy, arrays)
    train, test = (x.unsqueeze(1) if x.ndim == 3 else x for x in (train, test))  # (N, H, W) -> (N, 1, H, W)
    train_labels, test_labels = train_labels.long(), test_labels.long()
    paths *= 4 // len(paths)  # one archive holds all four
    try:
        _check(train, train_labels, paths[0], paths[1], spec.classes)
        _check(test, test_labels, paths[2], paths[3], spec.classes)
    except DataError as problem:
        raise DataError(str(problem), mend) from None
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


# ---- where a dataset may lie, and how it gets there ----


def _spec(name: str) -> _Spec:
    if name not in _DATASETS:
        near = difflib.get_close_matches(str(name).lower(), _DATASETS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"There is no dataset {name!r}.{hint} Known names: {', '.join(_DATASETS)}.")
    return _DATASETS[name]


def _places(spec: _Spec) -> list[tuple[Path, str]]:
    """Folders in the order they are looked in, each with what mends a dataset there."""
    from platformdirs import user_cache_path

    places, package, cache = [], Path(__file__).resolve().parents[1], user_cache_path("aetutor")
    if chosen := os.environ.get("AETUTOR_DATA"):
        root = Path(chosen).expanduser().absolute()
        if not os.path.isdir(root):
            raise DataError(f"AETUTOR_DATA names {root}, which is not a folder.", "unset AETUTOR_DATA")
        places.append((root, f"put a good copy there, or delete {root / spec.marker}, or unset AETUTOR_DATA"))
    if (package / "_shipped").is_dir():  # in an installed wheel
        places.append((package / "_shipped", "pip install --force-reinstall --no-deps aetutor"))
    else:  # in a checkout
        places.append((package.parent / "data", f"git checkout -- data/{spec.marker}"))
    return [*places, (cache, f"delete {cache / spec.marker} and load again")]


def _find(spec: _Spec) -> tuple[Path, str] | None:
    return next((place for place in _places(spec) if os.path.lexists(place[0] / spec.marker)), None)


def _download(spec: _Spec) -> tuple[Path, str]:
    places = _places(spec)
    root, mend = places[0 if os.environ.get("AETUTOR_DATA") else -1]
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
                _fetch(spec, file, Path(folder), root, places[-2][1] if spec.shipped else "")
            try:
                os.replace(Path(folder) / spec.marker, target)
            except OSError:
                if not os.path.lexists(target):  # if it is there, another process was first: its copy is as good
                    raise
    except OSError as error:
        hint = "make room there, or set AETUTOR_DATA to a folder that you can write to"
        raise DataError(f"{target} cannot be written: {error.strerror or error}.", hint) from None
    return root, mend


def _fetch(spec: _Spec, file: _File, folder: Path, root: Path, mend: str) -> None:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # RuntimeError: torch and torchvision of different builds
        mend = mend or "install torch and torchvision together, from one place"
        raise DataError(f"torchvision, which downloads, cannot be imported ({error}).", mend) from None
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
    folder = Path(file.path).parent.as_posix()
    holding = "" if folder == "." else f"that holds {folder}/ "
    pickles = [root / other for other in spec.unread if (root / other).exists()]
    raise DataError(
        f"{root / file.path} is missing, and could not be downloaded. Tried {' '.join(failures)}"
        + "".join(f" {p} is not read: it holds pickles, and a pickle can run any code." for p in pickles),
        mend
        or f"check the network and load again, or put {names} into {place}, or set AETUTOR_DATA to a folder"
        f" {holding}with them",
    )
