"""What a screen reader is told in JupyterLab about pictures and controls; labextension/ adds what JupyterLab lacks."""

from pathlib import Path

import pytest
from lab import DARK, LIGHT, chromium, jupyterlab, write_notebook

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
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    write_notebook(folder / "small.ipynb", *CELLS)
    with jupyterlab(folder) as lab, chromium() as browser:
        notebook = lab.open(browser, "small.ipynb")
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
