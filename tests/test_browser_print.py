"""The chapters as PDF files, printed by a real Chromium."""

import json
import re
import unicodedata

import pytest
from lab import find_chromium
from test_site import site, website

pytestmark = [
    pytest.mark.site,
    pytest.mark.browser,
    pytest.mark.slow,
]
CHAPTERS = sorted((site.ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """The folder of the PDF files."""
    pytest.importorskip("pypdf", reason="it reads the files: python -m pip install pypdf")
    find_chromium()
    out = tmp_path_factory.mktemp("print") / "pdf"
    site.pdf(site.ROOT, website(), out)
    return out


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request, printed):
    """A notebook and its PDF file, read."""
    from pypdf import PdfReader

    return json.loads(request.param.read_text("utf-8")), PdfReader(printed / f"{request.param.stem}.pdf")


def links(reader) -> list[str]:
    actions = [note.get_object().get("/A", {}) for page in reader.pages for note in page.get("/Annots", [])]
    return [action["/URI"] for action in actions if "/URI" in action]


def test_a_chapter_is_some_tagged_pages_of_a4_with_an_outline(chapter):
    _, reader = chapter
    assert 8 <= len(reader.pages) <= 60
    assert [round(float(side)) for side in reader.pages[0].mediabox[2:]] == pytest.approx([595, 842], abs=1)
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert len(reader.outline) >= 1


def test_every_picture_is_there_and_on_one_page(chapter):
    notebook, reader = chapter
    drawn = sum(
        bool({"image/png"} & set(output.get("data", {})))
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
    )
    assert sum(len(page.images) for page in reader.pages) == drawn > 0


def test_it_goes_on_to_the_end(chapter):
    notebook, reader = chapter
    last = re.findall(r"^\* (.+)$", "".join(notebook["cells"][-1]["source"]), re.M)[-1]
    words = re.findall(r"\w{4,}", last)[:8]
    end = unicodedata.normalize("NFKC", "".join(page.extract_text() for page in reader.pages[-2:]))  # ff is one letter
    assert words and [word for word in words if word not in end] == []


def test_addresses_can_be_read_and_none_is_of_the_machine_that_printed(chapter):
    notebook, reader = chapter
    text = re.sub(r"\s", "", "".join(page.extract_text() for page in reader.pages))
    (colab,) = re.findall(r"https://colab\S+?ipynb", "".join(notebook["cells"][0]["source"]))
    assert colab in text and colab in links(reader)
    assert [link for link in links(reader) if not link.startswith("https://")] == []
    assert not re.search(r"127\.0\.0\.1|localhost|file:", text)


def test_navigation_stays_on_the_screen(chapter):
    _, reader = chapter
    first = reader.pages[0].extract_text()
    for word in ("On this page", "Skip to main content", "Look up", "Search"):
        assert word not in first
