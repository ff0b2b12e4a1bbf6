"""A dataset in three parts that never mix, a reader's own arrays as one, and the checks that all images pass."""

import numbers
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

_PARTS = ("train", "valid", "test")


class DataError(ValueError):
    """A file or an array is not what it has to be; the message names it, what was found, and what to do.

    message    : str         what is wrong, in words for the reader
    mend       : str         the command or action that mends it: ends the message, and is kept as `.mend`; or ""
    returns    : DataError   a ValueError, so `except ValueError` catches it too
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """

    def __init__(self, message: str, mend: str = ""):
        super().__init__(f"{message} To mend it: {mend}" if mend else message)
        self.mend = mend


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

    def keep(self, classes: Iterable[int | str]) -> "ImageSet":
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
        found = repr(valid) if isinstance(valid, numbers.Real) else type(valid).__name__
        raise DataError(f"valid is the share of train to validate on, above 0 and below 1; found {found}.")
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
    if float(array.max()) == 1:  # black and white as 0 and 1 would be all but black
        raise DataError(f"{name} holds only 0 and 1, expected intensities from 0 to 255: multiply by 255.")
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
