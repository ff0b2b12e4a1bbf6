"""Widgets in a real JupyterLab where no chapter leads: shown twice, after a reload, with an error, with a lost kernel.

The last tests are of `lab` itself: what goes wrong in a notebook or a page is seen, and named.
"""

import json

import psutil
import pytest
from lab import DARK, chromium, jupyterlab, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SET_UP = """
import torch
from aetutor import models, plots, runtime, widgets
runtime.start("widgets")
model = models.DenseAutoencoder(code=2)
codes = torch.randn(50, 2)
"""
FRAIL = """
def draw(level):
    if level > 1:
        raise ValueError(f"level {level:.2f} is above 1 < 2")
    return plots.pictures({"": torch.full((1, 1, 8, 8), level)}, title=f"level {level:.2f}", alt="one grey")

widgets.Live(draw, {"level": widgets.slider("level", 0, 2, 1)})
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("widgets")
    write_notebook(
        folder / "small.ipynb", SET_UP, "walk = widgets.map_explorer(model.decode, codes)\nwalk", "walk", FRAIL
    )
    write_notebook(folder / "broken.ipynb", "1 + 1", "a = 1\na / 0", "2 + 2")
    with jupyterlab(folder) as lab:
        yield lab


@pytest.fixture(scope="module")
def small(lab, browser):
    """A notebook that has run: a widget in cell 1, the same again in cell 2, one that fails above 1 in cell 3.

    Tests that take its kernel away or spoil a widget come after those that do not.
    """
    notebook = lab.open(browser, "small.ipynb")
    notebook.run_all(timeout=120)
    assert not notebook.errors()
    yield notebook
    notebook.close()


# --- Widgets --------------------------------------------------------------------------------------------------------


def test_a_widget_that_is_shown_twice_follows_in_both_places(small):
    first, second, _frail = small.widgets()
    before = first.settled(), second.settled()
    first.press(0, "ArrowRight")
    assert first.changed(before[0]) and second.changed(before[1])
    assert first.settled() == second.settled()


def test_what_drawing_cannot_do_is_said_beside_the_last_picture_until_it_can_again(small):
    frail = small.widgets()[2]
    before = frail.settled()
    frail.press(0, "ArrowRight")
    frail.element.get_by_text("ValueError: level 1.02 is above 1 < 2").wait_for()
    kept = frail.settled()
    assert kept == before
    small.set_theme(DARK)
    small.screenshot("widget_error_dark", of=frail.element)
    frail.press(0, "ArrowLeft", "ArrowLeft")
    assert frail.changed(kept)
    frail.settled()
    assert not frail.message() and not frail.stale()


def test_a_page_that_is_loaded_again_has_its_widgets_back_while_the_kernel_lives(small):
    small.ask("await window.jupyterapp.commands.execute('docmanager:save')")
    small.reload()
    first = small.widgets()[0]
    before = first.settled()
    first.press(0, "ArrowRight")
    assert first.changed(before)
    first.settled()
    assert not first.stale()


def test_a_picture_that_does_not_show_what_the_kernel_would_draw_is_noticed(small):
    first = small.widgets()[0]
    first.settled()
    assert not first.stale()
    small.kernel("None", "walk.picture.unobserve_all(); walk.controls['first'].unobserve_all('value')")
    first.press(0, *["ArrowRight"] * 5)
    before = first.settled()
    assert not first.changed(before, timeout=0.2)
    assert "of its pixels differ" in first.stale()


def test_a_widget_whose_kernel_was_restarted_is_marked_and_works_again_after_its_cells_ran(small):
    first = small.widgets()[0]
    before = first.settled()
    said = first.element.get_by_text("The kernel was restarted")
    assert not said.is_visible()
    small.restart()
    assert said.is_visible()
    assert first.element.locator(".jupyter-widgets-disconnected").count()
    first.press(0, "ArrowRight")
    assert not first.changed(before, timeout=2)
    small.run_all(timeout=120)
    first = small.widgets()[0]
    assert not first.element.locator(".jupyter-widgets-disconnected").count()
    before = first.settled()
    first.press(0, "ArrowRight")
    assert first.changed(before)


def test_a_widget_cell_before_the_cell_that_makes_its_model_says_so(small):
    small.restart()
    small.run_cell(0)
    small.kernel("None", "del model")  # as if the cell that trains it had been left out
    small.run_cell(1)
    (failure,) = (failure for failure in small.errors() if failure.cell == 1)
    assert failure.error == "NameError: name 'model' is not defined"
    said = small.outputs(1).last
    assert "is made in a cell that has not run since the kernel started" in said.inner_text()
    assert said.locator("code").inner_text() == "model"
    assert not small.outputs(1).locator("img").count()
    small.screenshot("widget_out_of_order", of=small.cell(1))


# --- The harness ------------------------------------------------------------------------------------------------------


def test_a_failing_cell_is_named_with_its_source_and_error_and_those_below_do_not_run(lab, browser):
    broken = lab.open(browser, "broken.ipynb")
    broken.run_all(timeout=60)
    (failure,) = broken.errors()
    assert str(failure) == "cell 1:\n    a = 1\n    a / 0\n  ZeroDivisionError: division by zero"
    assert [cell["execution_count"] for cell in broken.cells()] == [1, 2, None]
    assert broken.widgets() == []
    broken.close()


def test_a_cell_that_is_allowed_to_fail_lets_those_below_run_and_is_waited_for(lab, browser):
    path = write_notebook(lab.folder / "allowed.ipynb", "1 / 0", "import time; time.sleep(3)", "2 + 2")
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["metadata"]["tags"] = ["raises-exception"]
    path.write_text(json.dumps(notebook))
    allowed = lab.open(browser, "allowed.ipynb")
    assert allowed.run_all(timeout=60) > 3
    assert [cell["execution_count"] for cell in allowed.cells()] == [1, 2, 3]
    assert [(failure.cell, failure.allowed) for failure in allowed.errors()] == [(0, True)]
    allowed.close()


def test_a_cell_that_takes_too_long_is_named(lab, browser):
    write_notebook(lab.folder / "slow.ipynb", "1", "import time; time.sleep(60)")
    slow = lab.open(browser, "slow.ipynb")
    with pytest.raises(TimeoutError, match=r"slow\.ipynb: not done after 3 s; cells without a count: \[1\]"):
        slow.run_all(timeout=3)
    slow.close()


def test_what_goes_wrong_in_a_page_is_collected(lab, browser):
    tab = browser.tab()
    tab.page.goto(f"{lab.url}login")
    assert not tab.problems
    tab.page.evaluate(
        "async () => { await fetch('/not/here'); await fetch('http://127.0.0.1:9/').catch(() => 0);"
        " console.error('said'); setTimeout(() => { throw new Error('thrown') }) }"
    )
    tab.page.wait_for_timeout(200)
    found = "\n".join(tab.problems)
    for part in ("response 404: ", "request failed: GET http://127.0.0.1:9/", "console: said", "page error: thrown"):
        assert part in found
    tab.close()


def test_nothing_is_left_when_a_lab_ends(browser, tmp_path):
    def kernels() -> set[int]:
        family = psutil.Process().children(recursive=True)
        alive = [process for process in family if process.status() != psutil.STATUS_ZOMBIE]
        return {process.pid for process in alive if "ipykernel" in " ".join(process.cmdline())}

    write_notebook(tmp_path / "busy.ipynb", "import time; time.sleep(600)")
    before = kernels()
    with jupyterlab(tmp_path) as lab:
        busy = lab.open(browser, "busy.ipynb")
        busy.ask("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        assert len(kernels() - before) == 1
        busy.tab.close()
    assert kernels() == before


def test_without_chromium_a_test_is_skipped_with_the_reason_or_fails_where_a_browser_is_required(monkeypatch):
    monkeypatch.setenv("AETUTOR_CHROMIUM", "no-such-browser")
    monkeypatch.delenv("AETUTOR_REQUIRE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="AETUTOR_CHROMIUM is 'no-such-browser'"), chromium():
        pass
    monkeypatch.setenv("AETUTOR_REQUIRE_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="AETUTOR_REQUIRE_BROWSER is set, but AETUTOR_CHROMIUM"), chromium():
        pass
