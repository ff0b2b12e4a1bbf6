"""Figures in one house style: arrays in, a Figure out, with a description for readers who cannot see it.

Images are drawn on a fixed scale, 0 black and 1 white. Errors are signed: grey is none,
dark too dark, yellow too bright. Colours are Okabe and Ito's, told apart by marker and dash as well, so that they
survive colour-blindness and a grey printer.
"""

from aetutor.plots.charts import bars, curves, histograms
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
