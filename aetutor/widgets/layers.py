"""A calculator for the shapes of layers: turn the numbers, read the formula, see the connections."""

from collections.abc import Callable

import ipywidgets
from torch import Tensor

from aetutor import plots
from aetutor.widgets.live import Live, _whole

CONVOLUTION, TRANSPOSED = "convolution", "transposed convolution"


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

    def draw(output: int, *, on: plots.Picture | None = None, **values) -> plots.Picture:
        drawn, pads = seen(**values), 0
        if values["layer"] == CONVOLUTION:
            pads = values["padding"]  # drawn as pixels: to a convolution, a padded input is a longer one
            drawn = seen(**values | {"size": values["size"] + 2 * pads, "padding": 0})
        count = len(drawn)
        title = f"{_formula(**values)} = {count} output pixel{'' if count == 1 else 's'}"
        return plots.connections(drawn, title=title, padding=pads, output=min(output, count - 1), on=on)

    def number(label: str, low: int, high: int, value: int, hint: str):
        return _whole(label, low, high, value, hint=hint)

    numbers = {
        "size": number("input pixels", 1, 32, 12, "How long one side of the layer's input is"),
        "kernel": number("kernel", 1, 7, 4, "How many pixels one side of the kernel has"),
        "stride": number("stride", 1, 4, 2, "How many pixels the kernel moves on each time"),
        "padding": number("padding", 0, 3, 1, "Convolution: zeros added at each end. Transposed: pixels cut off there"),
        "output_padding": number(
            "output padding", 0, 3, 0, "Transposed convolution: pixels added at one end of the output"
        ),
        "dilation": number("dilation", 1, 3, 1, "How far apart the kernel's pixels lie"),
    }
    # Not a dropdown: JupyterLab takes its arrow keys to go from cell to cell.
    look = {"style": {"description_width": "11em", "button_width": "auto"}, "layout": {"width": "min(48em, 95%)"}}
    layer = ipywidgets.ToggleButtons(options=[CONVOLUTION, TRANSPOSED], description="layer", **look)
    output = number("output pixel", 0, 0, 0, "Which output pixel is filled, with the input pixels that reach it")
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
    return Live(draw, {**settings, "output": output}, reuse=True)


def _formula(layer, size, kernel, stride, padding, output_padding, dilation) -> str:
    span = f"{dilation}·({kernel} − 1)"
    if layer == TRANSPOSED:
        return f"({size} − 1)·{stride} − 2·{padding} + {span} + {output_padding} + 1"
    return f"⌊({size} + 2·{padding} − {span} − 1) / {stride}⌋ + 1"
