"""Figures in one house style: arrays in, a Figure out, with a description for readers who cannot see it.

Images are drawn on a fixed scale, 0 black and 1 white. Errors are signed: grey is none,
dark too dark, yellow too bright. Colours stand out from white and from each other, to colour-blind eyes too; series
differ by marker and dash as well, so that they survive a grey printer. tests/test_accessibility.py measures all this.
"""

from aetutor.plots.charts import bars, curves, histograms
from aetutor.plots.codes import code_bars
from aetutor.plots.fields import arrows
from aetutor.plots.images import pictures, reconstructions, tiles
from aetutor.plots.layers import connections
from aetutor.plots.maps import code_map, decoded_point
from aetutor.plots.picture import COLOURS, DASHES, DPI, ERRORS, MARKERS, STYLE, Picture
from aetutor.plots.surface import loss_surface

__all__ = [
    "COLOURS",
    "DASHES",
    "DPI",
    "ERRORS",
    "MARKERS",
    "STYLE",
    "Picture",
    "arrows",
    "bars",
    "code_bars",
    "code_map",
    "connections",
    "curves",
    "decoded_point",
    "histograms",
    "loss_surface",
    "pictures",
    "reconstructions",
    "tiles",
]
