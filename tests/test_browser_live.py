"""What a reader feels: the picture keeps up with a slider that is dragged, and never lags behind one that is let go.

Frames are counted in a real browser: pictures that differ, arrived, and were decoded for the screen. What a machine
reaches says nothing while others use it, so that drags count only while the test has nearly all of it.
"""

import json
import math
import statistics
import time

import pytest
from lab import QUIET, Others, jupyterlab, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FRAMES = 15  # a second, at least
DRAGS, MOST, SECONDS = 3, 12, 2.0  # quiet drags that count; drags tried; how long one takes
ASKED = 40  # values a second that a drag passes, so that it is not the hand that is slow
PAUSE = 0.2  # seconds that the slow decoder takes

# The sizes of the chapters' widgets; what the networks draw does not matter, so they are not trained.
SET_UP = """
import time
import torch
from aetutor import corruptions, models, runtime, widgets
runtime.start("live")
flat, dense, conv = models.DenseAutoencoder(2), models.DenseAutoencoder(32), models.ConvAutoencoder(code=32)
x, codes, labels = torch.rand(20, 1, 28, 28), 3 * torch.randn(800, 2), torch.arange(800) % 10
where = {"spread": [1.0] * 32, "which": [0, 1, 2, 3]}
"""
SLOW = f"""
asked = []  # the codes that the decoder was asked for, and when

def slow(z):
    time.sleep({PAUSE})
    asked.append((time.time(), *z[0].tolist()))
    return flat.decode(z)

made["slow"] = widgets.map_explorer(slow, codes, labels)
made["slow"]
"""
WIDGETS = {  # name: (how it is made, which of its controls is dragged)
    "map": ("widgets.map_explorer(flat.decode, codes, labels)", 0),
    "code": ("widgets.code_explorer(dense.encode, dense.decode, x, **where)", 1),
    "code of a convolutional network": ("widgets.code_explorer(conv.encode, conv.decode, x, **where)", 1),
    "feature": ("widgets.feature_explorer(conv.encoder[:2], lambda h: conv.decode(conv.encoder[2:](h)), x)", 2),
    "noise": (
        "widgets.noise_explorer(x, lambda x, s: corruptions.gaussian(x, sigma=s), {'network': lambda x, s: conv(x),"
        " 'as it is': lambda x, s: x}, low=0, high=1, level=0.4)",
        1,
    ),
    "two weights": ("widgets.two_weights(torch.randn(60, 2))", 0),
    "layer": ("widgets.layer_calculator(models.reach)", 7),
}
NAMES = [*WIDGETS, "slow"]
# Each picture that arrives is noted once it is decoded; its bytes are kept, and looked at after the drag.
WATCH = """image => {
    const made = URL.createObjectURL.bind(URL), kept = new Map(), seen = [];
    URL.createObjectURL = blob => { const url = made(blob); kept.set(url, blob); return url };
    image.addEventListener('load', () => {
        const url = image.src;
        image.decode().then(() => seen.push([performance.now(), url]), () => {});
    });
    window.courseFrames = async () => {
        const found = [];
        for (const [when, url] of seen.splice(0)) {
            const sum = await crypto.subtle.digest('SHA-1', await kept.get(url).arrayBuffer());
            found.push([when, new Uint8Array(sum).join()]);
        }
        kept.clear();
        return found;
    };
}"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory, browser):
    folder = tmp_path_factory.mktemp("live")
    cells = [f"made[{name!r}] = {made}\nmade[{name!r}]" for name, (made, _) in WIDGETS.items()]
    write_notebook(folder / "live.ipynb", SET_UP + "made = {}", *cells, SLOW)
    with jupyterlab(folder) as lab:
        notebook = lab.open(browser, "live.ipynb", has_touch=True)
        notebook.run_all(timeout=180)
        assert not notebook.errors()
        yield notebook
        assert not notebook.tab.problems


@pytest.fixture
def widget(notebook, request):
    """The widget named by the parameter, watched, its handle as (moving, number)."""
    name = getattr(request, "param", "slow")
    moving = notebook.widgets()[NAMES.index(name)]
    moving.element.locator("img").evaluate(WATCH)
    moving.name, moving.place = name, WIDGETS.get(name, ("", 0))[1]
    moving.number = moving.place
    if name == "layer":  # many pixels, among which the last slider walks
        moving.number += 1  # in the page, the first control is two buttons
        moving.press(2, "End")
        moving.settled()
    return moving


def frames(widget):
    """[(milliseconds, what it shows)] of the pictures decoded since the last call."""
    return widget.page.evaluate("courseFrames()")


def track(widget, number):
    """(x of the left end, x of the right end, y) of a slider, on the screen."""
    widget.control(number).scroll_into_view_if_needed()
    box = widget.control(number).locator("xpath=ancestor::*[contains(@class, 'noUi-base')]").bounding_box()
    return box["x"], box["x"] + box["width"], box["y"] + box["height"] / 2


def values(widget, number):
    """How many values a slider has."""
    low, high = (float(widget.control(number).get_attribute(f"aria-value{end}")) for end in ("min", "max"))
    control = f"list(made[{widget.name!r}].controls.values())[{widget.place}]"
    return round((high - low) / float(widget.notebook.kernel(f"{control}.step"))) + 1


def drag(widget, number, *, back: bool, seconds: float = SECONDS, times: int = 1):
    """Drags a slider by the mouse from end to end, several times if need be; the millisecond when it was let go."""
    mouse, (left, right, y) = widget.page.mouse, track(widget, number)
    start, end = (right, left) if back else (left, right)
    box = widget.control(number).bounding_box()
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    mouse.move(start, y)
    widget.notebook.wait_idle()
    widget.page.wait_for_timeout(400)
    frames(widget)
    began = time.monotonic()
    while (share := (time.monotonic() - began) / seconds) < 1:
        way = 1 - abs(1 - share * times % 2)  # there and back again
        mouse.move(start + way * (end - start), y)
        widget.page.wait_for_timeout(8)  # a mouse reports its place about 100 times a second
    mouse.move(end if times % 2 else start, y)
    released = widget.page.evaluate("performance.now()")
    mouse.up()
    return released


def rate(found):
    """Pictures a second, of which each differs from the one before."""
    times = [when for (when, what), (_, before) in zip(found, [(0, ""), *found], strict=False) if what != before]
    return (len(times) - 1) / ((times[-1] - times[0]) / 1000) if len(times) > 1 else 0.0


# --- Speed ----------------------------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("widget", WIDGETS, indirect=True)
def test_the_picture_follows_a_dragged_slider_at_15_frames_a_second(widget, notebook, capsys):
    rates, shares, costs = [], [], []
    times = math.ceil(ASKED * SECONDS / values(widget, widget.number))
    for number in range(MOST):
        others, kernel = Others(), float(notebook.kernel("time.process_time()"))
        drag(widget, widget.number, back=times * number % 2 == 1, times=times)
        widget.settled(quiet=0.3)
        kernel = float(notebook.kernel("time.process_time()")) - kernel
        found = frames(widget)
        shares.append(others.share())
        costs.append(1000 * kernel / len(found))
        if shares[-1] <= QUIET:
            rates.append(rate(found))
        assert widget.stale() == "", "the last picture is not that of the last value"
        if len(rates) == DRAGS or (number >= 3 and not rates):
            break
    cost, busy = statistics.median(costs), f"others used {100 * statistics.median(shares):.0f} % of the machine"
    told = f"{', '.join(f'{r:.0f}' for r in rates)} frames a second; {cost:.0f} ms of the kernel's CPU time each"
    with capsys.disabled():
        print(f"\n  {widget.name}: {told}; {busy}")
    if len(rates) < DRAGS:
        pytest.skip(f"{busy}, so speed cannot be measured")
    assert statistics.median(rates) >= FRAMES, told
    assert cost < 1000 / FRAMES / 2, "half of a frame's time is the browser's"


# --- No queue -------------------------------------------------------------------------------------------------------


def asked(notebook):
    return json.loads(notebook.kernel("__import__('json').dumps(asked)"))


def test_a_slow_decoder_is_asked_for_few_pictures_and_the_last_comes_when_the_slider_is_let_go(widget, notebook):
    before = len(asked(notebook))
    seconds = 3.0
    released = drag(widget, 0, back=False, seconds=seconds)
    widget.settled(quiet=1.5 * PAUSE)
    during = asked(notebook)[before:]
    assert len(during) <= seconds / PAUSE + 4, "more pictures than there was time for"
    assert len(during) < 0.5 * 100, "a drag over 100 steps leaves most of them out"
    highest = float(notebook.kernel("made['slow'].controls['first'].max"))
    assert during[-1][1] == pytest.approx(highest) and widget.stale() == ""
    # One picture was being drawn, and one more was to be: the last.
    last = (frames(widget)[-1][0] - released) / 1000
    slowest = max(b[0] - a[0] for a, b in zip(during[-5:], during[-4:], strict=False))
    assert last <= 2 * slowest + 0.3, f"the last picture came {last:.2f} s after the slider was let go"
    frames(widget)
    before = len(asked(notebook))
    widget.page.wait_for_timeout(3000 * PAUSE)
    assert frames(widget) == [] and len(asked(notebook)) == before, "more came afterwards"


def test_two_sliders_dragged_at_once_by_two_fingers_pile_up_no_more_than_two_pictures_each(widget, notebook):
    before, touch = len(asked(notebook)), widget.page.context.new_cdp_session(widget.page)

    def places(share):
        ends = [track(widget, number) for number in (0, 1)]
        return [
            {"x": left + share * (right - left), "y": y, "id": finger} for finger, (left, right, y) in enumerate(ends)
        ]

    def send(kind, points):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for number in (0, 1):
        widget.press(number, "Home")
    widget.settled(quiet=2 * PAUSE)
    frames(widget)
    before, began, points = len(asked(notebook)), time.monotonic(), places(0)
    ends = places(1)
    send("touchStart", points)
    while (share := (time.monotonic() - began) / 3) < 1:
        send("touchMove", [a | {"x": a["x"] + share * (b["x"] - a["x"])} for a, b in zip(points, ends, strict=True)])
        widget.page.wait_for_timeout(8)
    send("touchMove", ends)
    released = time.time()
    send("touchEnd", [])
    widget.settled(quiet=2 * PAUSE)
    during = asked(notebook)[before:]
    for number in (1, 2):
        assert len({row[number] for row in during}) > 3, f"slider {number} was not dragged"
    after = [row for row in during if row[0] > released]
    assert len(after) <= 4 + 1, "two on their way, two to come; and one that was being drawn"
    highest = json.loads(notebook.kernel("[c.max for c in made['slow'].controls.values()]"))
    assert during[-1][1:] == pytest.approx(highest) and widget.stale() == ""


# --- Keyboard and ear -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widget", WIDGETS, indirect=True)
def test_every_key_of_a_slider_moves_the_picture_and_the_words_that_stand_for_it(widget, notebook):
    value = f"list(made[{widget.name!r}].controls.values())[{widget.place}].value"
    step = float(notebook.kernel(f"list(made[{widget.name!r}].controls.values())[{widget.place}].step"))
    low = f"list(made[{widget.name!r}].controls.values())[{widget.place}].min"
    told, image = [], widget.element.locator("img")
    for key, steps in (("Home", 0), ("ArrowRight", 1), ("ArrowUp", 2), ("PageUp", 7), ("ArrowLeft", 6), ("Home", 0)):
        before = widget.pictures()
        widget.press(widget.number, key)
        if told:  # it may have been at home
            assert widget.changed(before), key
        widget.settled(quiet=0.2)
        now = float(notebook.kernel(value)) - float(notebook.kernel(low))
        assert now == pytest.approx(steps * step, abs=1e-6), key
        told.append(image.get_attribute("title"))
        assert told[-1] == notebook.kernel(f"made[{widget.name!r}].draw().alt")
        said = widget.element.get_by_role("status")
        assert said.text_content() == told[-1] and said.bounding_box()["width"] <= 1
    assert told[0] == told[-1] and len(set(told)) == 5
    assert widget.page.get_by_role("img", name=told[-1], exact=True).count() >= 1  # what a screen reader calls it


# --- No kernel ------------------------------------------------------------------------------------------------------


def test_on_a_page_without_a_kernel_each_still_is_shown_with_its_words(notebook, tmp_path):
    nbconvert = pytest.importorskip("nbconvert")
    import nbformat

    content = notebook.ask("return panel.context.model.toJSON()")
    page, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.from_dict(content))
    file = tmp_path / "live.html"
    file.write_text(page, encoding="utf-8")
    tab = notebook.page.context.new_page()
    try:
        tab.route("http*://**", lambda route: route.abort())  # as without a network
        tab.goto(file.as_uri(), wait_until="domcontentloaded")
        stills = tab.locator("img[alt]")
        assert stills.count() == len(NAMES)
        for name, still in zip(NAMES, stills.all(), strict=True):
            still.scroll_into_view_if_needed()
            assert still.is_visible() and still.evaluate("image => image.complete && image.naturalWidth > 300")
            assert len(still.get_attribute("alt")) > 40, name
        words = tab.locator("body").inner_text().lower()
        assert "model not found" not in words and "error displaying widget" not in words
        notebook.tab.screenshot("live-without-kernel", of=tab, full_page=True)
    finally:
        tab.close()
