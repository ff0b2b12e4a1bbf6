"""Controls above a picture that follows them, and the still that remains where no kernel runs."""

from collections.abc import Callable, Mapping
from html import escape

import ipywidgets

from aetutor import plots

VIEW = "application/vnd.jupyter.widget-view+json"


class Live:
    """Controls above a picture that follows them; shows itself in a notebook.

    The notebook gets the widget and, beside it, the picture as it stands: front ends without a kernel show that one.

    draw       : (**values) -> Picture  called with the controls' values by name
    controls   : {name: ipywidgets control}  in the order shown
    reuse      : bool        while a control moves, draw also gets on=<its last picture>, to be changed: quicker
    returns    : Live        .controls and .picture are the parts; .draw() is the still
    raises     : whatever `draw` raises for the controls' first values
    source     : ipywidgets documentation, "Building a Custom Widget" and "Low Level Widget Explanation"
    taught in  : notebooks/00_start_here.ipynb
    """

    def __init__(
        self, draw: Callable[..., plots.Picture], controls: Mapping[str, ipywidgets.Widget], *, reuse: bool = False
    ):
        self.controls = dict(controls)
        self._draw, self._reuse = draw, reuse
        still = self.draw()  # an error in the first picture is raised here, where the reader sees it
        self._last = still  # the picture that moves; those that draw() gives away are never changed
        # At its own size, or less in a narrow window: stretched to the cell's width, its letters would blur.
        look = {"align_self": "flex-start", "max_width": "100%"}
        self.picture = ipywidgets.Image(value=still.png(), format="png", layout=look)
        self.message = ipywidgets.HTML()
        for control in self.controls.values():
            control.observe(self._follow, names="value")
        self.box = ipywidgets.VBox([*self.controls.values(), self.message, self.picture])

    def draw(self) -> plots.Picture:
        """The picture for the controls' present values.

        returns    : Figure
        raises     : whatever the drawing function raises
        source     : this course
        taught in  : notebooks/00_start_here.ipynb
        """
        return self._draw(**self._values())

    def _values(self) -> dict[str, object]:
        return {name: control.value for name, control in self.controls.items()}

    def _follow(self, _change) -> None:
        last, self._last = self._last, None  # a picture that an error left half changed is not used again
        try:
            picture = self._draw(**self._values(), on=last) if self._reuse else self.draw()
            self.picture.value = picture.png()
            self._last = picture
            self.message.value = ""
        except Exception as error:  # a callback's traceback goes to a log nobody reads
            self.message.value = f"<b>{escape(type(error).__name__)}: {escape(str(error))}</b>"

    def _repr_mimebundle_(self, include=None, exclude=None):
        # Raw, since ipywidgets 7 (Colab) has no _repr_mimebundle_ to call.
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        still, metadata = self.draw()._repr_mimebundle_()
        return {VIEW: view, **still}, metadata


def slider(label: str, low: float, high: float, value: float) -> ipywidgets.FloatSlider:
    """A slider wide enough to be dragged with care, that acts while it moves.

    label      : str         what it changes, with its unit
    low, high  : float       ends of the range
    value      : float       at the start, kept inside the range
    returns    : ipywidgets.FloatSlider, 100 steps from end to end
    raises     : ValueError  if low is not below high
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    if not low < high:
        raise ValueError(f"slider {label!r}: the range {low}…{high} is empty; low must be below high")
    return ipywidgets.FloatSlider(
        value=min(max(value, low), high),
        min=low,
        max=high,
        step=(high - low) / 100,
        description=label,
        continuous_update=True,
        readout_format=".2f",
        style={"description_width": "11em"},
        layout={"width": "min(36em, 95%)"},
    )


def _whole(label: str, low: int, high: int, value: int, *, room: str = "11em") -> ipywidgets.IntSlider:
    """A slider over whole numbers that looks like `slider`; `room` is for its label."""
    look = {"style": {"description_width": room}, "layout": {"width": "min(40em, 95%)"}}
    return ipywidgets.IntSlider(value, low, high, description=label, **look)
