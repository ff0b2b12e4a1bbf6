"""Sliders over plots: thin skins over functions that draw. Where no kernel runs, the still remains."""

from aetutor.widgets.codes import code_explorer, map_explorer
from aetutor.widgets.features import feature_explorer
from aetutor.widgets.layers import layer_calculator
from aetutor.widgets.live import VIEW, Live, slider
from aetutor.widgets.noise import noise_explorer
from aetutor.widgets.surface import two_weights

__all__ = [
    "VIEW",
    "Live",
    "code_explorer",
    "feature_explorer",
    "layer_calculator",
    "map_explorer",
    "noise_explorer",
    "slider",
    "two_weights",
]
