"""The board on which a reader draws a digit and sees, while drawing, what a network makes of it."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import anywidget
import numpy as np
import torch
import traitlets
from torch import Tensor

from aetutor import plots
from aetutor.widgets.codes import _placed
from aetutor.widgets.live import VIEW
from aetutor.widgets.noise import _seeded

FINE = 4  # the board's pixels for one pixel of an image, each way
NEAREST = 5  # training images shown
SAMPLE = 1000  # training images that say where codes usually lie
SCORED = 500  # test images whose median error stands beside the drawing's
OFFERED = 20  # test images that the button "Example" goes through


def draw_digit(
    encode: Callable[[Tensor], Tensor],
    decode: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor | None = None,
    *,
    examples: Tensor,
    noise: Callable[[Tensor], Tensor] | None = None,
    others: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    name: str = "reconstruction",
) -> "Drawing":
    """A board to draw on with mouse, finger, pen or keys, and what becomes of the drawing, at every stroke.

    Shown are the drawing as the network gets it, with noise, the code as bars, the output, the training images nearest
    to the drawing by squared error, and squared errors, each summed over the image's pixels. As floors, the errors of
    the nearest and of the mean training image stand beside them, and the median error of test images.
    Noise keeps its pattern while the reader draws. Networks are asked in evaluation mode and without gradients, where
    their weights are, and then left as they were; a plain function gets its images on the CPU.

    encode     : (B, 1, S, S) -> (B, Z)  a model's encoder; gets the noisy images if there is noise
    decode     : (B, Z) -> (B, 1, S, S)  its decoder
    images     : (N, 1, S, S)  uint8, training images: grey and square
    labels     : (N,)          what they show, or None
    examples   : (M, 1, S, S)  uint8, test images: the first is the still's, 20 can be called up on the board, and the
                               first 500 give the median error
    noise      : x -> noisy    of the same shape, or None
    others     : {name: (B, 1, S, S) -> (B, 1, S, S)}  more networks; their outputs for the same input stand beside
    name       : str           what the output of decode is called
    returns    : Drawing
    raises     : ValueError    if images or examples are no uint8 images of this shape, labels do not fit, or a network
                               or the noise gives another shape
    source     : this course
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    side = _square("images", images)
    if _square("examples", examples) != side:
        raise ValueError(
            f"draw_digit: images are {side} × {side} pixels and examples {examples.shape[-1]} × {examples.shape[-1]};"
            " they must be of one size"
        )
    if labels is not None and tuple(np.shape(labels)) != (len(images),):
        raise ValueError(
            f"draw_digit: got labels {tuple(np.shape(labels))} for {len(images)} images; expected one label each"
        )
    return Drawing(_Asked(encode, decode, noise, dict(others or {}), name), images, labels, examples)


def as_mnist(ink: Tensor, *, side: int = 28) -> Tensor:
    """Drawings cropped, scaled and moved as MNIST's were: the longer side 20 of 28 pixels, centred by mass.

    What is drawn keeps its proportions, and each pixel is the mean of what it covers. Then it is moved by whole
    pixels, so that the centre of mass comes to lie in the middle of the image, which is pixel 14 of 0…27, as far as
    the drawing then still fits. A blank image stays blank.

    ink        : (B, 1, H, W)        uint8, 0 where nothing is drawn
    side       : int                 of the images wanted, in pixels; another size than 28 has all in proportion
    returns    : (B, 1, side, side)  uint8
    raises     : ValueError          if ink is no uint8 (B, 1, H, W), or side is no whole number of 2 or more
    source     : LeCun, Bottou, Bengio & Haffner 1998, Proceedings of the IEEE 86:2278, section III.A
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    if not _grey(ink):
        raise ValueError(f"as_mnist: expected uint8 drawings (B, 1, H, W), got {_found(ink)}")
    if isinstance(side, bool) or not isinstance(side, int) or side < 2:
        raise ValueError(f"as_mnist: side is {side!r}; expected a whole number of 2 or more")
    pages = [_framed(page, side)[0] for page in ink.cpu().numpy()[:, 0]]
    return torch.from_numpy(np.stack(pages))[:, None] if pages else ink.new_zeros(0, 1, side, side)


def _framed(page: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """One drawing (H, W) in its place (side, side), and what its lengths were multiplied by."""
    out = np.zeros((side, side), np.uint8)
    rows, columns = page.any(1).nonzero()[0], page.any(0).nonzero()[0]
    if not len(rows):
        return out, 1.0
    cut = page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = max(1, round(side * 20 / 28)) / max(cut.shape)
    small = _resized(cut, *(max(1, round(scale * length)) for length in cut.shape))
    place = []
    for axis, length in enumerate(small.shape):
        mass = small.sum(1 - axis, dtype=float)
        middle = (mass * np.arange(length)).sum() / max(mass.sum(), 1)  # rounded away to nothing: at the edge
        start = min(max(round(side / 2 - middle), 0), side - length)
        place.append(slice(start, start + length))
    out[tuple(place)] = small
    return out, scale


def _resized(page: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Each new pixel is the mean of the area it covers, parts of pixels counted as parts."""
    down, across = (_cover(old, new) for old, new in zip(page.shape, (rows, columns), strict=True))
    return (down @ page @ across.T).round().astype(np.uint8)


def _cover(old: int, new: int) -> np.ndarray:
    """(new, old): the share that each old pixel has in each new one."""
    edges, places = np.arange(new + 1)[:, None] * (old / new), np.arange(old)
    overlap = np.minimum(edges[1:], places + 1) - np.maximum(edges[:-1], places)
    return overlap.clip(0) * (new / old)


# --- The networks -------------------------------------------------------------------------------------------------


class _Asked:
    """The reader's functions, asked in evaluation mode (`_placed` sees to that), and held to shapes."""

    def __init__(self, encode, decode, noise, others, name: str):
        self.encode, self.decode, self.noise, self.others, self.name = encode, decode, noise, others, name

    def __call__(self, x: Tensor, seed: int = 0) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The input (B, 1, S, S), its code (B, Z), and all outputs, on the CPU, for clean images."""
        with torch.no_grad(), _seeded(seed):
            noisy = x if self.noise is None else _checked("noise", _placed(self.noise, x.clone()), x.shape)
            z = _placed(self.encode, noisy.clone())
            if not isinstance(z, Tensor) or z.dim() != 2 or len(z) != len(x) or not z.is_floating_point():
                raise ValueError(f"draw_digit: encode must give one code per image, floats (B, Z); got {_found(z)}")
            outs = {self.name: _checked("decode", _placed(self.decode, z), x.shape)}
            for name, network in self.others.items():
                outs[str(name)] = _checked(repr(name), _placed(network, noisy.clone()), x.shape)
        return noisy, z.cpu().float(), outs


def _checked(name: str, out, shape) -> Tensor:
    if not isinstance(out, Tensor) or out.shape != shape or not out.is_floating_point():
        raise ValueError(f"draw_digit: {name} must give floats of shape {tuple(shape)}; got {_found(out)}")
    return out.cpu().float()


# --- The board ----------------------------------------------------------------------------------------------------


class _Board(anywidget.AnyWidget):
    """What the browser runs: draw.js, with what it has to know beforehand. All else goes by messages."""

    _esm = Path(__file__).with_name("draw.js")
    _css = Path(__file__).with_name("draw.css")
    about = traitlets.Dict().tag(sync=True)
    examples = traitlets.Bytes().tag(sync=True)


class Drawing:
    """A board to draw on and what networks make of the drawing; shows itself in a notebook. `draw_digit` makes one.

    The browser sends its newest drawing only when it has the answer to the last, so that nothing queues. An error in a
    network is shown under the board. Front ends without a kernel show a still: the first example.

    ask        : _Asked        the networks
    images     : (N, 1, S, S)  uint8, training images
    labels     : (N,)          or None
    examples   : (M, 1, S, S)  uint8, test images
    returns    : Drawing       .board is the widget; .draw() is the still
    raises     : ValueError    if a network or the noise gives another shape
    source     : the anywidget documentation, "The Anywidget Front-End Module"; WCAG 2.2
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """

    def __init__(self, ask: _Asked, images: Tensor, labels: Tensor | None, examples: Tensor):
        self._ask, self._labels = ask, None if labels is None else torch.as_tensor(labels).cpu()
        self._examples = examples.detach().cpu()
        images = images.detach().cpu()
        self._images = images.flatten(1)  # (N, S·S)
        parts = images.split(1000)  # torch makes a copy in the sum's type, eight times as large, before it adds up
        total = sum(part.sum(0, dtype=torch.float64) for part in parts)
        self._mean = (total / (255 * len(images))).float()[None]
        first = _key(images[:1])
        self._keys, self._norms = first.new_empty(len(images), first.shape[1]), first.new_empty(len(images))
        for part, keys, norms in zip(parts, self._keys.split(1000), self._norms.split(1000), strict=True):
            keys[:] = _key(part)  # (N, about S·S/4)
            norms[:] = keys.square().sum(1)
        self._side = images.shape[-1]

        usual = torch.cat([ask(_unit(part))[1] for part in images[:: -(-len(images) // SAMPLE)].split(250)])
        self._low, self._high = usual.nan_to_num(0, 0, 0).quantile(torch.tensor([0.01, 0.99]), 0)  # (Z,) each
        errors = []
        for part in self._examples[:SCORED].split(250):
            x = _unit(part)
            errors.append((ask(x)[2][ask.name] - x).square().sum((1, 2, 3)))
        self._scored = torch.cat(errors)
        self.board = _Board(
            about={
                "side": self._side,
                "fine": FINE,
                "pictures": ["your drawing", *(["with noise"] if ask.noise else []), ask.name, *map(str, ask.others)],
                "nearest": min(NEAREST, len(images)),
                "low": self._low.tolist(),
                "high": self._high.tolist(),
                "band": f"where 98 % of {len(usual)} training images lie",
                "noise": ask.noise is not None,
                "examples": min(OFFERED, len(self._examples)),
            },
            examples=self._examples[:OFFERED].numpy().tobytes(),
        )
        self.board.on_msg(self._hear)

    def draw(self) -> plots.Picture:
        """The still: what becomes of the first example.

        returns    : Figure
        raises     : whatever a network raises
        source     : this course
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        content, pictures, code = self._answer(self._examples[0, 0].numpy(), seed=0)
        errors = {row["name"]: row["text"] for row in content["errors"]}
        near = content["notes"]
        names = ["a test digit", *self.board.about["pictures"][1:], *["nearest in training"] * len(near)]
        first = len(names) - len(near)
        notes = ["", *(errors.get(name, "") for name in names[1:first]), *near]
        return plots.code_bars(
            pictures,
            code,
            low=self._low.numpy(),
            high=self._high.numpy(),
            captions=[f"{name}\n{note}" for name, note in zip(names, notes, strict=True)],
            x=f"code number (grey: {self.board.about['band']})",
            title=f"Draw a digit where a kernel runs. Here a test digit: {content['said']}",
        )

    def _repr_mimebundle_(self, include=None, exclude=None):
        # The board's own bundle has what Colab needs to find the board's code; ipywidgets 7 would not ask for it.
        data, metadata = self.board._repr_mimebundle_()
        still, described = self.draw()._repr_mimebundle_()
        return {VIEW: data[VIEW], **still}, metadata | described

    def _hear(self, _board, content: dict, buffers: list) -> None:
        if content.get("kind") != "drawing":
            return
        reply, parts = {"frame": content["frame"], "view": content["view"]}, []
        try:
            fine = FINE * self._side
            page = np.frombuffer(bytes(buffers[0]), np.uint8).reshape(fine, fine)
            said, pictures, code = self._looked(page, centre=content["centre"], seed=content["seed"])
            reply |= {"kind": "answer", **said}
            parts = [] if pictures is None else [pictures.tobytes(), code.astype(np.float32).tobytes()]
        except (Exception, KeyboardInterrupt) as error:  # unanswered, the board would wait for ever
            reply |= {"kind": "error", "said": f"{type(error).__name__}: {error}"}
        self.board.send(reply, parts)

    def _looked(self, page: np.ndarray, *, centre: bool, seed: int):
        if centre:
            small, scale = _framed(page, self._side)
        else:
            small, scale = _resized(page, self._side, self._side), 1 / FINE
        if not small.any():
            return {"empty": True}, None, None
        content, pictures, code = self._answer(small, seed=seed)
        return content | {"scale": scale * FINE}, (255 * pictures).round().astype(np.uint8), code

    def _answer(self, small: np.ndarray, *, seed: int) -> tuple[dict, np.ndarray, np.ndarray]:
        """What is said of one image (S, S), the pictures (P, S, S) in [0, 1], and the code (Z,)."""
        x = _unit(torch.from_numpy(small.copy())[None, None])
        noisy, z, outs = self._ask(x, seed)
        places, distances = self._near(torch.from_numpy(small.copy()))
        given = [x, noisy] if self._ask.noise else [x]
        shown = torch.cat([*given, *outs.values()]).nan_to_num(0, 1, 0).clamp(0, 1)[:, 0]
        near = _unit(self._images[places]).view(-1, self._side, self._side)
        scores = {name: _error(out, x) for name, out in outs.items()}
        floors = {
            "nearest training image": distances[0],
            "mean training image": _error(self._mean, x),
            f"median of {len(self._scored)} test images ({self._ask.name})": self._scored.median().item(),
        }
        errors = [_row(name, value, False) for name, value in scores.items()]
        errors += [_row(name, value, True) for name, value in floors.items()]
        beyond = int(((z[0] < self._low) | (z[0] > self._high) | ~z[0].isfinite()).sum())
        named = [] if self._labels is None else [str(self._labels[place].item()) for place in places]
        said = f"squared error {_written(scores[self._ask.name])}"
        if named:
            ((most, votes),) = Counter(named).most_common(1)
            article = "an" if most.startswith("8") else "a"
            guess = f"looks like {article} {most} ({votes} of the {len(named)} nearest training images)"
            if votes * 2 <= len(named):
                guess = f"no clear answer: the nearest training images are {', '.join(named)}"
            said = f"{guess}; {said}"
        notes = [_written(distance) for distance in distances]
        notes = [f"{label} · {note}" for label, note in zip(named, notes, strict=True)] if named else notes
        content = {"said": said, "errors": errors, "notes": notes, "beyond": beyond}
        return content, torch.cat([shown, near]).numpy(), z[0].numpy()

    def _near(self, image: Tensor) -> tuple[Tensor, list[float]]:
        """The nearest training images of one (S, S), nearest first, and how far each is."""
        key = _key(image[None, None])[0]
        # No image is nearer than its key. So one matrix product with keys, of a quarter of the numbers, leaves few
        # images to compare pixel by pixel, and no nearer one is missed.
        least = torch.addmv(self._norms, self._keys, key, alpha=-2) + key.square().sum()  # (N,)
        reach = max(self._far(least.topk(min(NEAREST, len(least)), largest=False).indices, image))
        rounding = 1e-5 * (self._norms.max() + key.square().sum())
        few = (least <= reach + rounding).nonzero()[:, 0]
        far = self._far(few, image)
        best = far.argsort(stable=True)[:NEAREST]
        return few[best], (far[best] / 255**2).tolist()

    def _far(self, places: Tensor, image: Tensor) -> Tensor:
        # In float64, which holds every sum of squared grey levels exactly.
        return (self._images[places].double() - image.flatten()).square().sum(1)


# --- Parts --------------------------------------------------------------------------------------------------------


def _grey(images) -> bool:
    return isinstance(images, Tensor) and images.dtype == torch.uint8 and images.dim() == 4 and images.shape[1] == 1


def _square(name: str, images) -> int:
    if not _grey(images) or 0 in images.shape or images.shape[2] != images.shape[3]:
        raise ValueError(
            f"draw_digit: {name} must be grey, square uint8 images (N, 1, S, S), at least one; got {_found(images)}"
        )
    return images.shape[-1]


def _found(value) -> str:
    return f"{type(value).__name__} {getattr(value, 'dtype', '')} {tuple(getattr(value, 'shape', ()))}"


def _key(images: Tensor) -> Tensor:
    """(N, K) numbers for images (N, 1, S, S), at most as far apart as the images themselves are.

    An image is the sum of two parts at right angles: the means of its 2 × 2 pixels, and the rest. The squared distance
    is that of the first parts plus that of the second, which is at least the difference of their lengths, squared.
    """
    even = torch.nn.functional.pad(images.float(), (0, images.shape[3] % 2, 0, images.shape[2] % 2))
    means = 2 * torch.nn.functional.avg_pool2d(even, 2).flatten(1)  # each stands for 4 pixels, so counts 2² as much
    rest = (even.square().sum((1, 2, 3)) - means.square().sum(1)).clamp_min(0).sqrt()
    return torch.cat([means, rest[:, None]], 1)


def _unit(pixels: Tensor) -> Tensor:
    return pixels.float() / 255


def _error(out: Tensor, x: Tensor) -> float:
    return (out.double() - x).square().sum().item()


def _written(error: float) -> str:
    return f"{error:.1f}" if math.isfinite(error) else "not finite"


def _row(name: str, error: float, floor: bool) -> dict:
    finite = error if math.isfinite(error) else None  # JSON has no nan
    return {"name": name, "error": finite, "text": _written(error), "floor": floor}
