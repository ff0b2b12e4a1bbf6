"""Sliders over plots, and a board to draw on. Where no kernel runs, a still remains."""

from aetutor.widgets.codes import code_explorer, map_explorer
from aetutor.widgets.draw import as_mnist, draw_digit
from aetutor.widgets.features import feature_explorer
from aetutor.widgets.layers import layer_calculator
from aetutor.widgets.live import VIEW, Live, slider
from aetutor.widgets.noise import noise_explorer
from aetutor.widgets.surface import two_weights

__all__ = [
    "VIEW",
    "Live",
    "as_mnist",
    "code_explorer",
    "draw_digit",
    "feature_explorer",
    "layer_calculator",
    "map_explorer",
    "noise_explorer",
    "slider",
    "two_weights",
]
