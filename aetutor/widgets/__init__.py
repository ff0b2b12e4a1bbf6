"""Sliders over plots: thin skins over functions that draw. Where no kernel runs, the still remains."""

from aetutor.widgets.codes import code_explorer, map_explorer
from aetutor.widgets.live import VIEW, Live, slider

__all__ = ["VIEW", "Live", "code_explorer", "map_explorer", "slider"]
