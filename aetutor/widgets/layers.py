"""A calculator for the shapes of layers: turn the numbers, read the formula, see the connections."""

from collections.abc import Callable

import ipywidgets
from torch import Tensor

from aetutor import plots
from aetutor.widgets.live import Live, _whole

CONVOLUTION, TRANSPOSED = "convolution", "transposed convolution"
ROOM = "16em"  # for the longest label


def layer_calculator(reach: Callable[..., Tensor]) -> Live:
    """Sliders for the numbers of a convolution or a transposed one: the formula of its size, and who reaches whom.

    A plain convolution has no output padding: that slider rests until the layer is transposed. Numbers that no layer
    can have are answered with the reason, above the last picture that could be drawn.

    reach      : (size, *, kernel, stride, padding, output_padding, dilation, transposed) -> (O, I)  models.reach
    returns    : Live
    raises     : whatever `reach` raises for the first values
    source     : the formulas of Dumoulin & Visin 2016, arXiv:1603.07285
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """

    def seen(layer: str, size: int, output_padding: int, **how: int) -> Tensor:
        transposed = layer == TRANSPOSED
        return reach(size, output_padding=output_padding if transposed else 0, transposed=transposed, **how)

    def draw(output: int, **values) -> plots.Picture:
        drawn, pads = seen(**values), 0
        if values["layer"] == CONVOLUTION:
            pads = values["padding"]  # drawn as pixels: to a convolution, a padded input is a longer one
            drawn = seen(**values | {"size": values["size"] + 2 * pads, "padding": 0})
        count = len(drawn)
        title = f"{_formula(**values)} = {count} output pixel{'' if count == 1 else 's'}"
        return plots.connections(drawn, title=title, padding=pads, output=min(output, count - 1))

    numbers = {
        "size": _whole("input pixels", 1, 32, 12, room=ROOM),
        "kernel": _whole("kernel", 1, 7, 4, room=ROOM),
        "stride": _whole("stride", 1, 4, 2, room=ROOM),
        "padding": _whole("padding", 0, 3, 1, room=ROOM),
        "output_padding": _whole("output padding (transposed)", 0, 3, 0, room=ROOM),
        "dilation": _whole("dilation", 1, 3, 1, room=ROOM),
    }
    look = {"style": {"description_width": ROOM}, "layout": {"width": "min(40em, 95%)"}}
    layer = ipywidgets.Dropdown(options=[CONVOLUTION, TRANSPOSED], value=CONVOLUTION, description="layer", **look)
    output = _whole("output pixel", 0, 0, 0, room=ROOM)
    settings = {"layer": layer, **numbers}

    def follow(_change=None) -> None:
        numbers["output_padding"].disabled = layer.value == CONVOLUTION
        try:
            output.max = len(seen(**{name: control.value for name, control in settings.items()})) - 1
        except ValueError:  # no such layer: the picture that stays keeps its slider, and Live says why
            return

    for control in settings.values():  # before Live listens, so that it meets a slider that fits
        control.observe(follow, names="value")
    follow()
    output.value = (output.max + 1) // 2
    return Live(draw, {**settings, "output": output})


def _formula(layer, size, kernel, stride, padding, output_padding, dilation) -> str:
    span = f"{dilation}·({kernel} − 1)"
    if layer == TRANSPOSED:
        return f"({size} − 1)·{stride} − 2·{padding} + {span} + {output_padding} + 1"
    return f"⌊({size} + 2·{padding} − {span} − 1) / {stride}⌋ + 1"
