"""One picture file: whether Pillow can open it, and its pixels at a given size."""

import contextlib
import mimetypes
import os
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

# Pillow knows no more than the header of these, or starts another program to draw them (EPS: Ghostscript).
_UNREAD = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
# EXIF's orientation -> what brings the picture upright; from 5 on it lies on its side.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _formats() -> tuple[str, ...]:
    Image.init()  # loads Pillow's plugins, once
    return tuple(name for name in Image.ID if name not in _UNREAD)


def _endings() -> set[str]:
    formats = _formats()
    return {ending for ending, format_ in Image.registered_extensions().items() if format_ in formats}


def _seems_picture(name: str, endings: set[str]) -> bool:
    # Pillow's endings, and what else is known as a picture: .heic and .svg are to be reported, not passed over.
    kind = mimetypes.guess_type("x" + Path(name).suffix)[0] or ""
    return Path(name).suffix.lower() in endings or kind.startswith("image/")


def _header(path: Path) -> int | None:
    """The file's size in bytes if Pillow can open it; None if not. Reads the header only."""
    try:
        if not os.path.isfile(path):  # a pipe would wait for ever for somebody to write
            return None
        with Image.open(path, formats=_formats()):
            return os.path.getsize(path)
    except Exception:  # Pillow raises whatever it stumbles over: OSError, SyntaxError, struct.error, KeyError, …
        return None


def _pixels(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """(C, H, W) uint8; whatever Pillow raises if the file is no sound picture."""
    channels, height, width = shape
    mode = {1: "L", 3: "RGB"}[channels]
    with Image.open(path, formats=_formats()) as image:
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which is quicker. Its sides are fractions then, so
        # ImageOps.fit would stretch it a little.
        drafted = image.draft(mode, (max(height, width),) * 2)
        image.load()
        _, _, *sides = drafted[1] if drafted else (0, 0, *image.size)
        orientation = _orientation(image)  # now, since Pillow turns a TIFF while it loads it
        size = (height, width) if orientation >= 5 else (width, height)
        scale = min(sides[0] / size[0], sides[1] / size[1])
        margins = [max(0, side - scale * length) / 2 for side, length in zip(sides, size, strict=True)]
        middle = (*margins, sides[0] - margins[0], sides[1] - margins[1])
        image = _in_mode(image, mode).resize(size, Image.Resampling.LANCZOS, box=middle)  # antialiased
        if orientation > 1:
            image = image.transpose(_TURNS[orientation])
        return np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)


def _orientation(image: Image.Image) -> int:
    with contextlib.suppress(Exception):  # damaged EXIF around sound pixels is no reason to lose the picture
        found = image.getexif().get(ExifTags.Base.Orientation)
        return found if found in _TURNS else 1
    return 1


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        # More than 8 bits, which Pillow's convert would cut off at 255: whole numbers are 16-bit, floats 0…1.
        top = 1 if image.mode == "F" else 65_535
        values = np.nan_to_num(np.asarray(image, np.float32)) * (255 / top)
        image = Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)  # as on a page
    return image.convert(mode)
