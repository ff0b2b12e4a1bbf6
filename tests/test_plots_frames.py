"""What `Picture.frame` promises: the pixels of `png`, quickly, while a picture is changed in place."""

import io
import statistics
import time

import numpy as np
import pytest
import torch
from PIL import Image
from test_plots import CALLS
from test_plots_layers import FORMS, drawn
from test_widgets import pixels

from aetutor import plots


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_frame_shows_what_the_png_shows_however_often_and_in_whatever_order(call):
    wanted = pixels(call().png())
    figure = call()
    assert [pixels(figure.frame()), pixels(figure.png()), pixels(figure.frame())] == [wanted] * 3


def test_a_frame_is_a_png_of_rgb_that_any_reader_takes():
    figure = plots.bars({"one": 1.0}, title="A title", x="unit")
    frame = figure.frame()
    Image.open(io.BytesIO(frame)).verify()  # checksums too
    image = Image.open(io.BytesIO(frame))
    assert (image.format, image.mode) == ("PNG", "RGB") and image.size == tuple(figure.canvas.get_width_height())


def test_what_moves_is_drawn_anew_and_what_stays_is_not(monkeypatch):
    z = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    how = {"z": z, "labels": torch.arange(50) % 10, "title": "A title"}
    figure = plots.decoded_point(**how, image=torch.zeros(1, 8, 8), point=(0, 0))
    first, times = pixels(figure.frame()), []
    original = type(figure.axes[0]).draw
    monkeypatch.setattr(type(figure.axes[0]), "draw", lambda self, *a: times.append(1) or original(self, *a))
    plots.decoded_point(**how, image=torch.ones(1, 8, 8), point=(1, 0.5), on=figure)
    second = pixels(figure.frame())
    assert times == [] and second != first
    assert second == pixels(plots.decoded_point(**how, image=torch.ones(1, 8, 8), point=(1, 0.5)).png())


@pytest.mark.parametrize("first", FORMS)
def test_connections_drawn_on_an_earlier_picture_are_the_same_as_drawn_anew(first):
    old = drawn(*FORMS[first])
    old.frame()
    for reach, padding in FORMS.values():
        kept = plots.connections(reach, title="A title", padding=padding, on=old)
        fresh = plots.connections(reach, title="A title", padding=padding)
        assert kept is old and kept.alt == fresh.alt and pixels(kept.frame()) == pixels(fresh.png())
    tall = plots.connections(reach, title="words " * 40, padding=padding, on=old)
    assert tall is not old


def test_a_frame_takes_less_than_half_the_time_of_a_png():
    z = torch.randn(800, 2, generator=torch.Generator().manual_seed(0))
    how = {"z": z, "labels": torch.arange(800) % 10, "image": torch.rand(1, 28, 28), "title": "A title"}
    figure = plots.decoded_point(**how, point=(0, 0))
    seconds = {"png": [], "frame": []}
    for step in range(9):
        for name, taken in seconds.items():
            start = time.process_time()  # a busy machine does not count
            getattr(plots.decoded_point(**how, point=(step / 9, 0), on=figure), name)()
            taken.append(time.process_time() - start)
    assert statistics.median(seconds["frame"]) < statistics.median(seconds["png"]) / 2  # about a sixth


def test_frames_of_errors_and_colours_are_redrawn_on_the_same_axes():
    images = np.random.default_rng(0).random((2, 3, 6, 6))
    how = {"title": "A title", "signed": ("error",), "captions": ["a", "b"]}
    figure = plots.pictures({"image": images, "error": images - 0.5}, **how)
    figure.frame()
    given = {"image": images[::-1], "error": 0.5 - images}
    kept = plots.pictures(given, **how, on=figure)
    assert kept is figure and pixels(kept.frame()) == pixels(plots.pictures(given, **how).png())
