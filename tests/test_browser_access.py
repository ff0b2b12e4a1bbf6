"""What a screen reader is told in JupyterLab about pictures and controls; labextension/ adds what JupyterLab lacks."""

from pathlib import Path

import lab
import nbformat
import pytest
from lab import DARK, LIGHT, jupyterlab, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = (
    "import torch\nfrom aetutor import claims, corruptions, models, plots, runtime, widgets\nruntime.report()",
    'plots.bars({"one": 1.0}, title="A <title>", x="unit")',
    "x, dense, conv = torch.rand(5, 1, 28, 28), models.DenseAutoencoder(2), models.ConvAutoencoder(8)\n"
    "widgets.code_explorer(dense.encode, dense.decode, x, spread=[1.0, 1.0], which=[0, 1])",
    "widgets.feature_explorer(conv.encoder[:2], lambda maps: conv.decode(conv.encoder[2:](maps)), x)",
    "widgets.layer_calculator(models.reach)",
    'claims.claim("One is positive", 1.0, at_least=0.5)\nclaims.table()',
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory, browser):
    folder = tmp_path_factory.mktemp("access")
    write_notebook(folder / "small.ipynb", *CELLS)
    with jupyterlab(folder) as server:
        notebook = server.open(browser, "small.ipynb")
        notebook.folder = folder
        notebook.run_all(timeout=120)
        assert not notebook.errors()
        yield notebook


def test_a_picture_has_the_description_that_its_output_carries(opened):
    (output,) = opened.cells()[1]["outputs"]
    wanted = output["metadata"]["image/png"]["alt"]
    assert wanted.startswith("A <title>. ")
    assert opened.outputs(1).locator("img").get_attribute("alt") == wanted


def test_a_slider_is_named_by_the_label_beside_it(opened):
    handles = opened.outputs(2).locator(".noUi-handle")
    names = [handle.get_attribute("aria-label") for handle in handles.all()]
    labels = opened.outputs(2).locator(".widget-slider .widget-label").all_inner_texts()
    assert len(names) >= 3 and names == labels


def test_a_sliders_value_is_told_as_it_is_shown(opened):
    for handle in opened.outputs(2).locator(".noUi-handle").all():
        handle.press("ArrowRight")
        handle.press("ArrowRight")
        handle.press("ArrowRight")
    rows = opened.outputs(2).locator(".widget-slider")
    told = [row.locator(".noUi-handle").get_attribute("aria-valuetext") for row in rows.all()]
    assert told == rows.locator(".widget-readout").all_inner_texts() and len(told) >= 3


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_axe_finds_nothing_serious_in_what_cells_show(opened, theme):
    axe = pytest.importorskip("axe_playwright_python", reason="it holds axe: pip install axe-playwright-python")
    opened.set_theme(theme)
    opened.page.wait_for_timeout(500)
    opened.page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text("utf-8"))
    found = opened.page.evaluate(
        "async () => (await axe.run({include: [['.jp-OutputArea-output']]})).violations"
        ".map(v => [v.impact, v.id, v.nodes.map(n => n.html.slice(0, 200))])"
    )
    assert [v for v in found if v[0] in ("serious", "critical")] == []


def test_a_widget_that_was_saved_and_opened_again_without_its_kernel_is_the_still(opened):
    stills = [cell["outputs"][0]["metadata"]["image/png"]["alt"] for cell in opened.cells()[2:5]]
    opened.ask("await window.jupyterapp.commands.execute('docmanager:save')")
    opened.ask("await panel.sessionContext.shutdown()")
    opened.tab.problems.clear()
    opened.reload()
    for number, alt in zip((2, 3, 4), stills, strict=True):
        image = opened.outputs(number).get_by_role("img", name=alt, exact=True)
        image.wait_for()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
        assert "as it begins. Run the cells above" in opened.outputs(number).inner_text()
    assert "model not found" not in opened.page.locator(".jp-Notebook").inner_text()
    opened.screenshot("widget_opened_again", of=opened.cell(2))
    opened.run_all(timeout=120)
    assert len(opened.widgets()) == 3 and opened.outputs(2).locator(".noUi-handle").count() == 3


def test_the_stills_come_too_where_jupyterlab_takes_cells_out_of_the_page(opened, browser, tmp_path, monkeypatch):
    monkeypatch.setitem(lab.SETTINGS, "notebook-extension/tracker", {})  # as a reader has it
    opened.ask("await window.jupyterapp.commands.execute('docmanager:save')")
    saved = nbformat.read(opened.folder / "small.ipynb", 4)
    assert lab.VIEW in saved.cells[2].outputs[0].data
    above = [nbformat.v4.new_markdown_cell("A line.\n\n" * 40) for _ in range(30)]
    saved.cells = [*above, *saved.cells]
    nbformat.write(saved, tmp_path / "long.ipynb")
    with jupyterlab(tmp_path) as other:
        long = other.open(browser, "long.ipynb")
        for cell in (2, 3, 4):
            alt = saved.cells[len(above) + cell].outputs[0].metadata["image/png"]["alt"]
            long.ask("await book.scrollToItem(values[0])", len(above) + cell)
            long.page.get_by_role("img", name=alt, exact=True).wait_for()
        assert "model not found" not in long.page.locator(".jp-Notebook").inner_text()
        long.close()
