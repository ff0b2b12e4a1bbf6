"""Printed characters, drawn in the manner of MNIST: another alphabet that needs no download."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

SIDE, BOX = 28, 20  # pixels: of the image, and of the longer side of a character in it
_LARGE = 80  # pixels of the font that is drawn first and then made smaller


def printed(text: str, *, fonts: Sequence[str] = ("DejaVuSans", "DejaVuSans-Oblique")) -> Tensor:
    """Characters of fonts that come with matplotlib, white on black, of MNIST's size and in its place.

    As in MNIST, the longer side takes 20 pixels, and the centre of mass is brought to the middle of the image, as far
    as the character then still fits. Spaces are left out.

    text       : str         the characters, such as "αβγ"
    fonts      : strings     names of files in matplotlib's fonts/ttf, such as "DejaVuSerif-Bold"
    returns    : (N, 1, 28, 28)  uint8, the whole text in the first font, then in the next; N = characters · fonts
    raises     : ValueError  if there is no character or font, a font does not exist, or has no such character
    source     : how MNIST was made: LeCun, Bottou, Bengio & Haffner 1998, Proceedings of the IEEE 86:2278
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    fonts = [fonts] if isinstance(fonts, str) else list(fonts)
    characters = [character for character in text if not character.isspace()]
    if not characters or not fonts:
        raise ValueError(f"printed: got the text {text!r} and the fonts {fonts}; expected at least one of each")
    return torch.from_numpy(np.stack([_page(c, face) for face in map(_face, fonts) for c in characters]))[:, None]


def _face(font: str) -> ImageFont.FreeTypeFont:
    import matplotlib  # only to know where its fonts are

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    if not (folder / f"{font}.ttf").is_file():
        known = sorted(path.stem for path in folder.glob("DejaVu*.ttf"))
        raise ValueError(f"printed: matplotlib has no font {font!r}; expected one such as {', '.join(known)}")
    return ImageFont.truetype(str(folder / f"{font}.ttf"), _LARGE)


def _page(character: str, face: ImageFont.FreeTypeFont) -> np.ndarray:
    # The picture of a character that a font lacks is that of one which no font has.
    if (drawn := _drawn(character, face)) is None or _same(drawn, _drawn("\U0010ffff", face)):
        raise ValueError(f"printed: the font {face.getname()[0]} has no picture for {character!r}; choose another")
    scale = BOX / max(drawn.size)
    small = drawn.resize([max(1, round(scale * side)) for side in drawn.size], Image.Resampling.LANCZOS)
    ink = np.asarray(small)  # (rows, columns)
    page = np.zeros((SIDE, SIDE), np.uint8)
    place = []
    for axis, side in enumerate(ink.shape):
        mass = ink.sum(1 - axis, dtype=float)
        middle = (mass * np.arange(side)).sum() / mass.sum()
        start = round(float(np.clip((SIDE - 1) / 2 - middle, 0, SIDE - side)))
        place.append(slice(start, start + side))
    page[tuple(place)] = ink
    return page


def _drawn(character: str, face: ImageFont.FreeTypeFont) -> Image.Image | None:
    large = Image.new("L", (4 * _LARGE, 4 * _LARGE))
    ImageDraw.Draw(large).text((_LARGE, _LARGE), character, fill=255, font=face)
    box = large.getbbox()
    return large.crop(box) if box else None


def _same(a: Image.Image, b: Image.Image | None) -> bool:
    return b is not None and a.size == b.size and a.tobytes() == b.tobytes()
