"""The widget that turns one feature map of a network up and down."""

from collections.abc import Callable
from functools import lru_cache

from torch import Tensor, nn, stack

from aetutor import plots
from aetutor.widgets.codes import _decoded
from aetutor.widgets.live import Live, _whole, slider

CAPTIONS = ("image", "feature map", "reconstruction", "with the map scaled")


def feature_explorer(features: Callable[[Tensor], Tensor], finish: Callable[[Tensor], Tensor], x: Tensor) -> Live:
    """Choose an image and one of its feature maps, multiply that map, and watch what becomes of the reconstruction.

    The map is drawn from its own least value, black, to its greatest, white; one that is the same everywhere, grey.
    A reconstruction that the scaled map drives out of [0, 1] is clipped to be drawn; its error is of what came out.
    A model, a part of one or its method is asked in eval mode, where its weights are; a function of your own is called
    as it stands.

    features   : (B, C, H, W) -> (B, K, h, w)  the first layers of a network
    finish     : (B, K, h, w) -> (B, C, H, W)  the rest of it
    x          : (N, C, H, W)  images to choose from, intensity in [0, 1]
    returns    : Live
    raises     : ValueError  if there is no image, features does not give (N, K, h, w), or finish does not give the
                             images' shape back
    source     : this course
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    if x.dim() != 4 or len(x) == 0:
        raise ValueError(f"feature_explorer: expected images (N, C, H, W), at least one; got {tuple(x.shape)}")
    x = x.detach().cpu()

    def finished(maps: Tensor) -> Tensor:
        out = _decoded(finish, maps.clone())  # it may begin with a ReLU that works in place
        if out.shape != x[:1].shape:
            raise ValueError(
                f"feature_explorer: finish must give images (1, {', '.join(map(str, x.shape[1:]))}) back; "
                f"got {tuple(out.shape)} from features {tuple(maps.shape)}"
            )
        return out

    @lru_cache(maxsize=1)  # while another control moves, the image stays
    def seen(image: int) -> tuple[Tensor, Tensor]:
        maps = _decoded(features, x[image : image + 1].clone())  # (1, K, h, w)
        if maps.dim() != 4 or len(maps) != 1 or 0 in maps.shape:
            raise ValueError(
                f"feature_explorer: features must give maps (N, K, h, w); for one image it gave {tuple(maps.shape)}"
            )
        return maps, finished(maps)

    def draw(image: int, feature: int, strength: float, on: plots.Picture | None = None) -> plots.Picture:
        maps, plain = seen(image)
        scaled = maps.clone()
        scaled[:, feature] *= strength
        out = finished(scaled)
        before, after = (float((x_hat - x[image]).square().sum()) for x_hat in (plain, out))
        # The plain one is not clipped: if it is in another unit, the plot says so.
        shown = [x[image], _enlarged(maps[0, feature], x.shape[1:]), plain[0], out[0].clamp(0, 1)]
        low, high = (float(end) for end in maps[0, feature].aminmax())
        ends = f"black {low:z.2g}, white {high:z.2g}" if low < high else f"{low:z.2g} everywhere"
        return plots.pictures(
            {"": stack([panel.float() for panel in shown])},
            title=f"Squared error {before:.3g}; with map {feature} × {strength:.2f}: {after:.3g}",
            captions=CAPTIONS,
            alt=f"Image {image}, its feature map {feature} ({ends}), its reconstruction, "
            f"and its reconstruction with that map × {strength:.2f}.",
            on=on,
        )

    maps = seen(0)[0].shape[1]
    controls = {
        "image": _whole("image", 0, len(x) - 1, 0, hint=f"Which of the {len(x)} images"),
        "feature": _whole("feature map number", 0, maps - 1, 0, hint=f"Which of the {maps} maps is scaled"),
        "strength": slider("strength (× the map)", 0, 2, 1, hint="0 removes the map, 1 leaves it as it is"),
    }
    return Live(draw, controls, reuse=True)


def _enlarged(feature: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """A map (h, w) from its least value, 0, to its greatest, 1, as an image (C, H, W) that shows its cells."""
    low, high = feature.aminmax()
    unit = (feature - low) / (high - low) if high > low else feature * 0 + 0.5  # · 0: what is nan stays nan
    return nn.functional.interpolate(unit[None, None], size=shape[1:])[0].expand(shape)  # nearest
