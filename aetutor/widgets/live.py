"""Controls above a picture that follows them, and the still that remains where no kernel runs."""

import math
from collections.abc import Callable, Mapping
from html import escape

import ipywidgets
import traitlets

from aetutor import plots

VIEW = "application/vnd.jupyter.widget-view+json"
# A slider's handle is white on white but for its rim, which is too pale for WCAG 2.2, criterion 1.4.11.
# Front ends mark widgets whose kernel is gone with a class and a small broken chain; its sliders move on.
LOST = (
    "<style>.aetutor-live .noUi-handle { border-color: #767676 }"
    " .aetutor-lost { display: none } .jupyter-widgets-disconnected .aetutor-lost { display: inline }</style>"
    '<b class="aetutor-lost" role="alert">The kernel was restarted, and the picture no longer follows. Run the cells'
    " above, then this one again.</b>"
)
# Not seen, and without a scroll bar, but read aloud.
UNSEEN = "position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%)"


class Live:
    """Controls above a picture that follows them; shows itself in a notebook.

    The notebook gets the widget and, beside it, the picture as it stands: front ends without a kernel show that one.
    Screen readers are told the picture's description whenever it changes.

    A slow `draw` piles nothing up: of each control, ipywidgets has one value on its way at a time and then sends the
    newest, so that a dragged picture is at most one frame behind the one being drawn.

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
        self._asked = self._values()
        # At its own size, or less in a narrow window: stretched to the cell's width, its letters would blur.
        look = {"align_self": "flex-start", "max_width": "100%"}
        self.picture = _Described(value=still.frame(), format="png", layout=look)
        self.message = ipywidgets.HTML()
        self.description = ipywidgets.HTML(layout={"height": "0", "margin": "0"})
        self._describe(still.alt)
        for control in self.controls.values():
            control.observe(self._follow, names="value")
        below = (ipywidgets.HTML(LOST), self.message, self.picture, self.description)
        self.box = ipywidgets.VBox([*self.controls.values(), *below])
        self.box.add_class("aetutor-live")

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
        values = self._values()
        if values == self._asked:  # one control moved another along, and that one drew for both
            return
        self._asked = values
        last, self._last = self._last, None  # a picture that an error left half changed is not used again
        try:
            picture = self._draw(**values, on=last) if self._reuse else self._draw(**values)
            with self.picture.hold_sync():  # one message
                self.picture.value = picture.frame()
                self._describe(picture.alt)
            self._last = picture
            self.message.value, self.picture.layout.visibility = "", None
        except Exception as error:  # a callback's traceback goes to a log nobody reads
            said = f"{escape(type(error).__name__)}: {escape(str(error))}"
            # What is left of the last picture belongs to other values.
            self.message.value, self.picture.layout.visibility = f'<b role="alert">{said}</b>', "hidden"

    def _describe(self, alt: str) -> None:
        if self.picture.has_trait("tooltip"):
            self.picture.tooltip = alt
        self.description.value = f'<div role="status" style="{UNSEEN}">{escape(alt)}</div>'

    def _repr_mimebundle_(self, include=None, exclude=None):
        # Raw, since ipywidgets 7 (Colab) has no _repr_mimebundle_ to call.
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        still, metadata = self.draw()._repr_mimebundle_()
        return {VIEW: view, **still}, metadata


class _Described(ipywidgets.Image):
    """An image whose `tooltip` stands in for the alternative text that ipywidgets' images lack."""

    # Without an (empty) description, the front end of ipywidgets 8 fails at a tooltip.
    description = traitlets.Unicode("").tag(sync=True)


def slider(label: str, low: float, high: float, value: float, *, hint: str = "") -> ipywidgets.FloatSlider:
    """A slider wide enough to be dragged with care, that acts while it moves.

    A step, which is what an arrow key moves it by, is 1, 2 or 5 times a power of ten if both ends are multiples of it.

    label      : str         what it changes, with its unit
    low, high  : float       ends of the range
    value      : float       at the start, kept inside the range and moved to the nearest step
    hint       : str         a longer explanation, shown when the mouse rests on the label
    returns    : ipywidgets.FloatSlider, 80 to 200 steps from end to end, its number with as many digits as they need
    raises     : ValueError  if low is not below high
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    if not low < high:
        raise ValueError(f"slider {label!r}: the range {low}…{high} is empty; low must be below high")
    step = _round_step(high - low)
    if not all(math.isclose(end, round(end / step) * step, abs_tol=1e-9 * step) for end in (low, high)):
        step = (high - low) / 100
    start = low + round((min(max(value, low), high) - low) / step) * step
    made = ipywidgets.FloatSlider(
        value=min(round(start, _digits(step) + 6), high),  # without the error of the sum
        min=low,
        max=high,
        step=step,
        description=label,
        continuous_update=True,
        readout_format=f".{_digits(step)}f",
        style={"description_width": "11em"},
        layout={"width": "min(36em, 95%)"},
    )
    return _hinted(made, hint)


def _round_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, of which a range has 80 to 200."""
    power = 10.0 ** math.floor(math.log10(span / 80))
    return float(f"{max(n * power for n in (1, 2, 5) if n * power <= span / 80 * (1 + 1e-9)):.0e}")


def _round_ends(low: float, high: float) -> tuple[float, float]:
    """A range of round numbers inside a range, so that a slider over it stands on round numbers."""
    step = _round_step(high - low)
    ends = math.ceil(low / step - 1e-9) * step, math.floor(high / step + 1e-9) * step
    return tuple(round(end, _digits(step)) for end in ends)


def _digits(step: float) -> int:
    """Digits after the point that a number needs to be told from the next."""
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _whole(label: str, low: int, high: int, value: int, *, hint: str = "") -> ipywidgets.IntSlider:
    """A slider over whole numbers that looks like `slider`."""
    look = {"style": {"description_width": "11em"}, "layout": {"width": "min(40em, 95%)"}}
    return _hinted(ipywidgets.IntSlider(value, low, high, description=label, **look), hint)


def _hinted(control: ipywidgets.Widget, hint: str) -> ipywidgets.Widget:
    if hint:
        setattr(control, "tooltip" if control.has_trait("tooltip") else "description_tooltip", hint)
    return control
