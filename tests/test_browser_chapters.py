"""Every chapter in a real JupyterLab: run to the end, its widgets moved, both themes, a narrow window, a lost kernel.

New chapters are found, not listed.
"""

import base64
import io
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from lab import DARK, LIGHT, ROOT, VIEW, jupyterlab
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
HINT = "has not run since the kernel started"


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chapters")
    for path in CHAPTERS:
        shutil.copy(path, folder)
    with jupyterlab(folder) as lab:
        yield lab


@pytest.fixture(scope="class")
def read(request, browser, lab):
    """A chapter as it stands after "run all": .notebook, .seconds, .failed (why it did not get to the end, or "")."""
    notebook = lab.open(browser, request.cls.path.name)
    failed, seconds = "", 0.0
    try:
        seconds = notebook.run_all(timeout=900)
    except TimeoutError as error:
        failed = str(error)
    try:
        failed = failed or "\n".join(str(failure) for failure in notebook.errors() if not failure.allowed)
        yield SimpleNamespace(notebook=notebook, name=request.cls.path.stem, seconds=seconds, failed=failed)
    finally:
        notebook.close()


@pytest.fixture
def done(read):
    """The same, for what makes sense only after a run without errors."""
    if read.failed:
        pytest.skip(f"{read.name} did not run to the end; the test of that says why")
    return read


def figures(notebook) -> list[tuple[int, int, dict]]:
    """(cell, which of its outputs, the output) for every output that is a picture, widgets included."""
    return [
        (number, place, output)
        for number, cell in enumerate(notebook.cells())
        for place, output in enumerate(cell.get("outputs", []))
        if "image/png" in output.get("data", {})
    ]


def move(widget, one: dict) -> None:
    """Moves one control in each way there is, and expects a picture to follow."""
    number, kind = one["number"], one["kind"]
    name = f"cell {widget.cell}, {kind} {one['label']!r}"
    board = next((each["number"] for each in widget.controls() if each["kind"] == "board"), None)

    def follows(act, how: str) -> None:
        if board is not None and kind in ("button", "tick"):
            widget.draw(board)  # Clear and Undo want something to undo
        before = widget.settled()
        act()
        followed = widget.changed(before) or bool(widget.message())
        assert followed, f"{name}: {how} changes no picture"

    if kind == "slider":
        right = widget.room(number)
        keys = ("ArrowRight", "ArrowLeft")[::right]
        follows(lambda: widget.press(number, keys[0]), f"the key {keys[0]}")
        widget.settled()
        widget.press(number, keys[1])
        follows(lambda: widget.drag(number, 0.4 * right), "dragging")
        widget.settled()
        assert widget.message() or not widget.stale(), f"{name}: after dragging, {widget.stale()}"
        widget.drag(number, -0.4 * right)
    elif kind == "choice":
        # JupyterLab keeps the arrow keys for walking between cells; a list is moved by its entries' first letters.
        choice, others = widget.control(number), widget.control(number).locator("option:not(:checked)")
        first, letter = others.first.get_attribute("value"), others.first.inner_text().strip()[0]
        follows(lambda: widget.press(number, letter), f"the key {letter!r}")
        second = others.last.get_attribute("value")
        follows(lambda: choice.select_option(second), f"choosing {second!r}")
        follows(lambda: choice.select_option(first), f"choosing {first!r}")
    elif kind == "toggle":  # one of several, of which one is always pressed
        toggles = [each["number"] for each in widget.controls() if each["kind"] == "toggle"]
        other = toggles[toggles.index(number) - 1]
        for act, how in (
            (lambda: widget.press(number, "Space"), "the space bar"),
            (lambda: widget.control(number).click(), "a click"),
        ):
            widget.control(other).click()
            follows(act, how)
    elif kind in ("tick", "button"):
        follows(lambda: widget.press(number, "Space"), "the space bar")
        follows(lambda: widget.control(number).click(), "a click")
    elif kind == "board":
        follows(lambda: widget.draw(number), "a stroke of the mouse")
        follows(lambda: widget.press(number, "Space", *["ArrowLeft"] * 12, "Space"), "a stroke by keys")
    elif kind == "range":  # a tool: what it changes shows with the next stroke
        before = widget.control(number).input_value()
        widget.press(number, "ArrowRight")
        assert widget.control(number).input_value() != before, f"{name}: the key ArrowRight changes nothing"
        before, box = widget.control(number).input_value(), widget.control(number).bounding_box()
        widget.control(number).click(position={"x": 0.9 * box["width"], "y": box["height"] / 2})
        assert widget.control(number).input_value() != before, f"{name}: a click on its track changes nothing"
    else:
        pytest.fail(f"{name}: no test knows how to move this; teach `move` to")
    widget.settled()


# For each text of a widget that is seen: its contrast (WCAG 2.2, 1.4.3) with the nearest background that is painted.
CONTRAST = """element => {
    const parts = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const found = [];
    const walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const text = walk.currentNode.textContent.trim(), holder = walk.currentNode.parentElement;
        const hidden = !holder.checkVisibility() || holder.clientWidth === 1;  // one pixel: for screen readers alone
        if (!text || hidden || holder.closest(':disabled, style')) continue;
        let behind = holder;
        while (behind && (parts(getComputedStyle(behind).backgroundColor)[3] ?? 1) < 0.5) behind = behind.parentElement;
        const pair = [getComputedStyle(holder).color, getComputedStyle(behind).backgroundColor].map(parts).map(light);
        found.push([text.slice(0, 50), (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)]);
    }
    return found;
}"""


# What of an output's pictures and controls reaches beyond its right edge, and which labels are cut. ipywidgets gives
# a picture a margin of 2 pixels on each side, beyond the width it is told to keep to.
CUT = """element => {
    const edge = element.getBoundingClientRect().right + 4, cut = [];
    if (element.scrollWidth > element.clientWidth + 1 && !element.querySelector('table, pre'))
        cut.push(`${element.scrollWidth} wide in ${element.clientWidth}`);
    const parts = 'img, canvas, svg, button, input, select, .noUi-target, .widget-readout';
    for (const one of element.querySelectorAll(parts)) {
        const right = one.getBoundingClientRect().right;
        if (one.checkVisibility() && right > edge) cut.push(`${one.className || one.tagName}: ${right} beyond ${edge}`);
    }
    for (const label of element.querySelectorAll('.widget-label, label, button, figcaption'))
        if (label.scrollWidth > label.clientWidth + 1) cut.push(`the label "${label.innerText}"`);
    return cut;
}"""


def says_what_is_missing(notebook, number: int) -> None:
    """Below the cell stands a NameError, and no picture of an earlier run."""
    (error,) = (failure.error for failure in notebook.errors() if failure.cell == number)
    assert re.fullmatch(r"NameError: name '\w+' is not defined", error), f"cell {number}: {error}"
    assert notebook.outputs(number).locator("img, canvas").count() == 0, f"cell {number} still shows a picture"


class Chapter:
    """What holds for every chapter. A chapter runs once, and these tests read that one run, in this order."""

    path: Path

    # --- 1. It runs ------------------------------------------------------------------------------------------------

    def test_a_chapter_runs_to_the_end(self, read, capsys):
        with capsys.disabled():  # and to stderr, which pytest-xdist lets through
            print(
                f"\n{read.name}: {'FAILED' if read.failed else 'ran'} in {read.seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        assert not read.failed, f"{read.name}, as JupyterLab ran it:\n{read.failed}"
        code = [cell for cell in read.notebook.cells() if cell["cell_type"] == "code"]
        assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))

    def test_nothing_complains_in_the_browser_or_on_stderr(self, done):
        assert not done.notebook.tab.problems, "\n".join(done.notebook.tab.problems)
        for number, cell in enumerate(done.notebook.cells()):
            for output in cell.get("outputs", []):
                assert output.get("name") != "stderr", f"cell {number} writes to stderr:\n{output['text']}"

    def test_every_formula_is_set(self, done):
        page = done.notebook.page
        for number, cell in enumerate(done.notebook.cells()):
            if cell["cell_type"] != "markdown":
                continue
            prose = re.sub(r"(`+).*?\1", "", cell["source"], flags=re.S).replace(r"\$", "")
            formulas = re.findall(r"\$\$.+?\$\$|\$[^$]+?\$", prose, re.S)
            shown = done.notebook.cell(number).locator(".jp-RenderedMarkdown")
            for _ in range(100 if formulas else 0):  # they are set one after the other
                if shown.locator("mjx-container").count() == len(formulas):
                    break
                page.wait_for_timeout(200)
            count = shown.locator("mjx-container").count()
            assert count == len(formulas), f"cell {number}: {count} formulas are set, of {formulas}"
            raw = shown.evaluate(
                "e => { e = e.cloneNode(true); e.querySelectorAll('code, pre, mjx-container').forEach(x => x.remove());"
                " return e.innerText }"
            )
            assert not re.search(r"\$[^$\n]+\$|\\(frac|sum|hat|lVert|mathbb|text)\b", raw), f"cell {number}: {raw}"
        assert page.locator("mjx-merror, .MathJax_Error").count() == 0

    def test_every_picture_is_shown_whole_and_has_words_with_it(self, done):
        for number, place, output in figures(done.notebook):
            where = f"cell {number}, output {place}"
            words = output["metadata"].get("image/png", {}).get("alt", "")
            assert len(words) > 20, f"{where}: no alternative text"
            if VIEW in output["data"]:
                continue
            picture = done.notebook.outputs(number).nth(place).locator("img")
            size = picture.evaluate(
                "async i => { await i.decode(); return [i.naturalWidth, i.clientWidth, i.clientHeight] }"
            )
            assert min(size) > 40, f"{where}: shown {size[1]} × {size[2]}"
            image = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"])))
            assert size[0] == image.width
            # Dark letters on what lies behind would be lost in the dark theme.
            assert image.mode != "RGBA" or image.getextrema()[3] == (255, 255), f"{where}: see-through"

    def test_text_pictures_have_alternative_text_in_the_page(self, done):
        silent = ".jp-RenderedMarkdown img:not([alt]), .jp-RenderedMarkdown img[alt='']"
        assert done.notebook.page.locator(silent).count() == 0

    # --- 2. Its widgets move ---------------------------------------------------------------------------------------

    def test_each_control_of_each_widget_moves_its_picture_by_keyboard_and_by_mouse(self, done, capsys):
        widgets = done.notebook.widgets()
        assert [widget.cell for widget in widgets] == [f[0] for f in figures(done.notebook) if VIEW in f[2]["data"]]
        for widget in widgets:
            waiting = {one["number"] for one in widget.controls()}
            moved = set()
            for _round in range(2):  # a control that rests at first may wake when another has moved
                for one in widget.controls():
                    if one["number"] in waiting and not one["disabled"]:
                        move(widget, one)
                        waiting.discard(one["number"])
                        moved.add(one["kind"])
            assert not waiting, f"cell {widget.cell}: never enabled: {waiting}"
            assert moved
            with capsys.disabled():
                print(f"  {done.name}, cell {widget.cell}: {len(widget.controls())} controls move", file=sys.stderr)
        assert not done.notebook.tab.problems, "\n".join(done.notebook.tab.problems)

    # --- 3. It can be read -----------------------------------------------------------------------------------------

    def test_both_themes_show_every_figure_and_widget_readably(self, done):
        notebook = done.notebook
        notebook.page.set_viewport_size({"width": 1280, "height": 2400})  # taller than any figure: a picture has to fit
        for theme, short in ((LIGHT, "light"), (DARK, "dark")):
            notebook.set_theme(theme)
            for number, place, _output in figures(notebook):
                shown = notebook.outputs(number).nth(place)
                shown.scroll_into_view_if_needed()
                notebook.screenshot(f"{done.name}_{number:02}_{place}_{short}", of=shown)
            for widget in notebook.widgets():
                texts = widget.element.evaluate(CONTRAST)
                assert texts
                faint = [(text, round(ratio, 2)) for text, ratio in texts if ratio < 4.5]
                assert not faint, f"cell {widget.cell}, {theme}: {faint}"
        notebook.set_theme(LIGHT)
        notebook.page.set_viewport_size({"width": 1280, "height": 1000})

    def test_a_narrow_window_cuts_nothing_off(self, done):
        notebook, page = done.notebook, done.notebook.page
        sidebar = "void window.jupyterapp.commands.execute('application:toggle-left-area')"
        notebook.ask(sidebar)
        page.set_viewport_size({"width": 480, "height": 1000})
        page.wait_for_timeout(500)
        try:
            for number, place, output in figures(notebook):
                shown = notebook.outputs(number).nth(place)
                shown.scroll_into_view_if_needed()
                assert 250 < shown.bounding_box()["width"] < 480
                if VIEW in output["data"]:
                    notebook.screenshot(f"{done.name}_{number:02}_{place}_narrow", of=shown)
                cut = shown.evaluate(CUT)
                assert not cut, f"cell {number}: {cut}"
        finally:
            page.set_viewport_size({"width": 1280, "height": 1000})
            notebook.ask(sidebar)

    # --- 4. Its kernel is lost, its cells run out of order ---------------------------------------------------------

    def test_after_a_restart_no_widget_pretends_to_work_and_a_cell_says_what_is_missing(self, done):
        notebook = done.notebook
        widgets = notebook.widgets()
        notebook.restart()
        notebook.page.wait_for_timeout(500)
        for widget in widgets:
            board = next((one["number"] for one in widget.controls() if one["kind"] == "board"), None)
            if board is not None:  # it says so itself, once the reader draws
                widget.draw(board)
                widget.element.locator("[role=alert]").get_by_text("Run this cell again").wait_for()
                continue
            lost = widget.element.locator(".jupyter-widgets-disconnected").first
            assert lost.count(), f"cell {widget.cell}: the widget does not look disconnected"
            mark = lost.evaluate("e => getComputedStyle(e, '::before').content")
            assert mark not in ("none", "normal"), f"cell {widget.cell}: JupyterLab does not mark the lost kernel"
        code = [number for number, cell in enumerate(notebook.cells()) if cell["cell_type"] == "code"]
        later = code[len(code) // 2 :]
        cells = sorted(
            {widget.cell for widget in widgets} | {figure[0] for figure in figures(notebook) if figure[0] in later[-8:]}
        )
        for number in cells:  # nothing has run, not even the set-up
            notebook.run_cell(number)
            says_what_is_missing(notebook, number)
        notebook.run_cell(code[0])
        assert not [failure for failure in notebook.errors() if failure.cell == code[0]]
        for number in cells:  # the set-up has run, what lies between has not
            notebook.run_cell(number)
            outputs = notebook.cells()[number]["outputs"]
            if any(output["output_type"] == "error" for output in outputs):
                says_what_is_missing(notebook, number)
                assert HINT in notebook.outputs(number).last.inner_text(), f"cell {number}: no word about what to run"
            elif number in {widget.cell for widget in widgets}:  # it needs nothing but the set-up, so it works
                assert number in {widget.cell for widget in notebook.widgets()}, f"cell {number}: no error, no widget"


# A class for each, so that pytest-xdist, with --dist=loadscope, leaves a chapter to one process.
for _path in CHAPTERS:
    globals()[f"Test_{_path.stem}"] = type(f"Test_{_path.stem}", (Chapter,), {"path": _path})
