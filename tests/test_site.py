"""The website: what its pages are made of, what stops a build, and what every page of a real build has to keep."""

import ast
import functools
import importlib.util
import inspect
import itertools
import json
import re
import shutil
import sys
import tempfile
import tomllib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from aetutor import claims, train

ROOT = Path(__file__).resolve().parents[1]


def module(path: str):
    """A file of the project that belongs to no package, as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem + "_of_the_site", ROOT / path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


site = module(".ci/website.py")  # it puts docs/ on the path
docstrings = module("docs/docstrings.py")
pages = sys.modules["pages"]


@pytest.fixture(scope="module")
def course():
    return pages.Course(ROOT)


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of what the website is made of, to be spoilt."""
    root = tmp_path / "course"
    for name in ("README.md", "pyproject.toml", "LICENSE"):
        root.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    for name in ("docs", "notebooks", "benchmarks/results"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("source", "__pycache__", ".*"))
    (root / "data").mkdir()
    shutil.copyfile(ROOT / "data" / "README.md", root / "data" / "README.md")
    return root


def needs_sphinx() -> None:
    pytest.importorskip("myst_nb", reason="the website needs Sphinx and more: python -m pip install -e '.[site]'")


def prose(path: Path) -> str:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


# --- Glossary, references, claims: read from what there is ----------------------------------------------------

TERMS = tomllib.loads((ROOT / "docs" / "glossary.toml").read_text("utf-8"))["term"]


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term["english"])
def test_a_term_stands_in_the_prose_of_the_chapter_that_the_glossary_names(term, course):
    (path,) = [path for path in course.chapters if path.name.startswith(term["chapter"])]
    for words in filter(None, (term["english"], term.get("also"))):
        assert re.search(rf"\b{re.escape(words)}", prose(path), re.I), f"chapter {term['chapter']} has no {words!r}"


def test_the_glossary_has_each_term_once_in_english_and_in_chinese_with_one_sentence():
    assert len(TERMS) >= 40
    names = [name.casefold() for term in TERMS for name in (term["english"], term.get("also")) if name]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    for term in TERMS:
        assert re.search(r"[\u4e00-\u9fff]", term["chinese"]), term
        assert re.fullmatch(r"[A-Z](?:[^.?]|\.(?=\d))+[.?]", term["meaning"]), term


def test_every_item_of_further_reading_is_in_the_references_and_each_work_is_there_once(course):
    listed = pages._references(course)
    titles = [title.casefold() for title in re.findall(r"\*(.+?)\*", re.sub(r"^\* ", "", listed, flags=re.M))]
    assert len(titles) == len(set(titles))
    for path in course.chapters:
        for title in re.findall(r"(?:, |and )\*([^*\n]+)\*", prose(path).split("## Further reading")[1]):
            start = title.split(":")[0].casefold()
            assert any(listed.startswith(start) for listed in titles), title
    (hinton,) = [line for line in listed.splitlines() if "Science 313" in line]
    assert hinton.count("](notebooks/") >= 3


def test_references_are_sorted_by_the_first_authors_surname(course):
    lines = pages._references(course).splitlines()
    surnames = [pages._surname(line)[0] for line in lines]
    assert surnames == sorted(surnames)
    assert (surnames[0], surnames[-1]) == ("alain", "zhang")


def test_a_line_with_several_works_and_remarks_is_taken_apart():
    text = (
        "## Further reading\n\n"
        "* A. One & B. Two, *First*, ICML (2001), where it began; C. D. Three, *Second*, JMLR 3:4 (2002).\n"
        "* E. Four et al., *Third*, NeurIPS (2003), arXiv:1234.56789, and *Fourth*, ICLR (2004): both are short."
    )
    assert pages.cited({"cells": [{"cell_type": "markdown", "source": text}]}) == [
        "A. One and B. Two, *First*, ICML (2001)",
        "C. D. Three, *Second*, JMLR 3:4 (2002)",
        "E. Four et al., *Third*, NeurIPS (2003), arXiv:1234.56789",
        "E. Four et al., *Fourth*, ICLR (2004)",
    ]


def test_the_tables_of_claims_hold_every_claim_of_every_chapter(course):
    made = claims.collect(course.chapters)
    rows = [line for line in pages._claims_tables(course).splitlines() if re.match(r"\| (?!claim|---)", line)]
    assert len(rows) == sum(map(len, made.values())) > 100
    assert str(len(rows)) in pages._claims_count(course)


def test_each_row_of_the_popular_statements_leads_to_the_chapter_that_settles_it(course):
    name = "What popular introductions say, and what came out"
    rows = [line for line in pages._filled(course, "README", name).splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) >= 20
    for row in rows:
        linked = re.search(r"\| \[(\d\d)\]\(notebooks/(\d\d)_\w+\.ipynb\) \|$", row)
        assert linked and linked[1] == linked[2], row


# --- What is handed to Sphinx ---------------------------------------------------------------------------------


def shows_a_widget(source: str) -> bool:
    calls = [
        node.value
        for node in ast.parse(re.sub(r"^ *%.*", "    pass", source, flags=re.M)).body
        if hasattr(node, "value")
    ]
    return any(isinstance(call, ast.Call) and ast.unparse(call.func).startswith("widgets.") for call in calls)


def test_below_each_widget_a_line_says_where_it_moves(course, tmp_path):
    pages.stage(ROOT, tmp_path)
    found = 0
    for path in course.chapters:
        cells = json.loads((tmp_path / "notebooks" / path.name).read_text("utf-8"))["cells"]
        for cell, below in itertools.pairwise(cells):
            if cell["cell_type"] == "code" and shows_a_widget("".join(cell["source"])):
                found += 1
                assert "Here this is a still picture" in below["source"]
                assert re.search(rf"\(https://colab\S+/{path.name}\)", below["source"])
        assert not any("only a picture, or" in "".join(cell["source"]) for cell in cells), path.name
    assert found >= 4


def test_two_stagings_are_the_same_and_hold_no_solution(tmp_path):
    for name in ("one", "two"):
        pages.stage(ROOT, tmp_path / name)
    one, two = ({p.relative_to(top): p.read_bytes() for p in top.rglob("*.*")} for top in tmp_path.iterdir())
    assert one == two
    assert any("release" in path.parts for path in one), "students' copies are downloads"
    assert not [path for path, text in one.items() if "source" in path.parts or b"BEGIN SOLUTION" in text]


def spoil(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text("utf-8")
    assert old in text
    (root / name).write_text(text.replace(old, new), "utf-8")


def test_an_empty_cell_that_a_reader_left_is_no_chapter_without_outputs(copy):
    path = copy / "notebooks" / "02_dense_autoencoder.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    empty = {"cell_type": "code", "source": " \n", "metadata": {}, "outputs": [], "execution_count": None, "id": "last"}
    path.write_text(json.dumps(notebook | {"cells": [*notebook["cells"], empty]}), "utf-8")
    assert len(pages.Course(copy).notebooks[path]["cells"]) == len(notebook["cells"]) + 1


def not_run(root: Path) -> None:
    path = root / "notebooks" / "02_dense_autoencoder.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}
    path.write_text(json.dumps(notebook), "utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (not_run, r"02_dense_autoencoder\.ipynb is not run .*cell \d+ .*make notebooks NB=notebooks/02_dense"),
        (lambda root: (root / "notebooks/03_convolutional_autoencoder.ipynb").unlink(), r"03_conv.*is not there"),
        (lambda root: (root / "notebooks/01_theory.ipynb").rename(root / "notebooks/17_theory.ipynb"), "01_theory"),
        (
            lambda root: shutil.copyfile(root / "notebooks/01_theory.ipynb", root / "notebooks/17_more.ipynb"),
            "add a row",
        ),
        (lambda root: (root / "notebooks/01_theory.ipynb").write_text("{"), r"01_theory\.ipynb is no notebook"),
        (lambda root: spoil(root, "README.md", "## Start\n", "## Begin\n"), r"no section 'Start'.*it has: .*Begin"),
        (lambda root: spoil(root, "README.md", "(notebooks/map_of_digits.png)", "(notebooks/map.png)"), r"map\.png"),
        (lambda root: (root / "docs/glossary.toml").unlink(), r"cannot read .*glossary\.toml: No such file"),
    ],
    ids=[
        "a chapter without outputs",
        "a chapter missing",
        "a chapter renamed",
        "a chapter that the README does not list",
    ]
    + ["a damaged notebook", "a section renamed", "a broken link", "no glossary"],
)
def test_what_is_missing_stops_the_build_with_one_line_that_names_it(copy, damage, words, capsys):
    needs_sphinx()
    damage(copy)
    assert site.main(["site", "--root", str(copy)]) == 1
    said = capsys.readouterr().err
    assert re.search(words, said) and said.count("\n") == 1, said
    assert list((copy / "build").iterdir()) == [], "nothing half-made is left"


def test_a_citation_without_a_year_is_an_error_that_shows_it():
    text = "## Further reading\n\n* A. One, *First*, ICML."
    with pytest.raises(pages.SiteError, match=r"without a year: 'A\. One, \*First\*, ICML\.'"):
        pages.cited({"cells": [{"cell_type": "markdown", "source": text}]})


def test_a_folder_that_cannot_be_written_is_named(copy, capsys):
    needs_sphinx()
    (copy / "build").write_text("a file, where a folder should be")
    assert site.main(["site", "--root", str(copy)]) == 1
    assert re.fullmatch(r"cannot write to \S*build: .+\n", capsys.readouterr().err)


def test_without_a_browser_printing_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("AETUTOR_CHROMIUM", raising=False)
    with pytest.raises(pages.SiteError, match="found no chromium, chromium-browser or google-chrome on the PATH"):
        site.pdf(ROOT, tmp_path, tmp_path / "pdf")
    monkeypatch.setenv("AETUTOR_CHROMIUM", "/nowhere/chromium")
    with pytest.raises(pages.SiteError, match="AETUTOR_CHROMIUM=/nowhere/chromium"):
        site.pdf(ROOT, tmp_path, tmp_path / "pdf")


# --- Docstrings -----------------------------------------------------------------------------------------------


def test_the_house_form_becomes_a_definition_list():
    lines = [
        "Σ of what `x` holds, in *one* number.",
        "",
        "mu, logvar : (B, Z)      encoder output; logvar is the natural log",
        "                         of the variance",
        "returns    : (B,)        nats",
        "raises     : ValueError  if the two shapes differ",
        "raises     : whatever `f` raises",
        "source     : Kingma & Welling 2014, arXiv:1312.6114, appendix B",
        "taught in  : notebooks/05_variational_autoencoder.ipynb",
    ]
    assert re.split(r"\n{2,}", "\n".join(docstrings.house_form(lines))) == [
        r"Σ of what \ ``x``\  holds, in \*one\* number.",
        "**mu**, **logvar** : ``(B, Z)``\n    encoder output; logvar is the natural log of the variance",
        "**returns** : ``(B,)``\n    nats",
        "**raises** : ``ValueError``\n    if the two shapes differ",
        "**raises**\n    whatever \\ ``f``\\  raises",
        "**source**\n    Kingma & Welling 2014, `arXiv:1312.6114 <https://arxiv.org/abs/1312.6114>`__, appendix B",
        "**taught in**\n    :doc:`/notebooks/05_variational_autoencoder`\n",
    ]


def test_a_sentence_with_a_colon_at_the_start_of_a_docstring_is_no_field():
    assert docstrings.house_form(["Losses: one number per image"]) == ["Losses: one number per image", ""]


# --- A real build ---------------------------------------------------------------------------------------------


@functools.cache
def website() -> Path:
    """The folder of a website, built once for all tests that look at it; without Sphinx they are skipped."""
    needs_sphinx()
    kept = tempfile.TemporaryDirectory(prefix="site-")
    website.kept = kept  # until Python ends
    out = Path(kept.name) / "site"
    site.build(ROOT, out)
    return out


class Page(HTMLParser):
    """What the tests ask of a page: its language, links, ids, what it loads, pictures, headings, text, formulas."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.loads, self.ids, self.pictures, self.headings = [], [], set(), [], []
        self.language, self.text, self._inside = None, [], []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        has = dict(attributes)
        self.ids |= {has["id"]} if "id" in has else set()
        if tag == "html":
            self.language = has.get("lang")
        if tag == "a" and "href" in has:
            self.links.append(has["href"])
        if tag == "img":
            self.pictures.append(has)
        if "src" in has or (tag == "link" and has.get("rel") != "search"):
            self.loads.append(has.get("src") or has["href"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag in ("script", "style", "pre", "code") or "math" in (has.get("class") or "").split():
            self._inside.append(tag)
        elif self._inside and tag == self._inside[-1]:
            self._inside.append(tag)

    def handle_endtag(self, tag):
        if self._inside and tag == self._inside[-1]:
            self._inside.pop()

    def handle_data(self, data):
        if not self._inside:
            self.text.append(data)


@pytest.fixture(scope="module")
def parsed() -> dict[Path, Page]:
    """Every page of the website."""
    return {path: Page(path) for path in sorted(website().rglob("*.html")) if "_static" not in path.parts}


@pytest.mark.slow
def test_every_chapter_and_every_module_has_its_page(parsed, course):
    here = {path.relative_to(website()).with_suffix("").as_posix() for path in parsed}
    assert {f"notebooks/{path.stem}" for path in course.chapters} <= here
    assert {f"api/{name}" for name in course.modules()} <= here
    assert {"index", "glossary", "references", "claims", "api", "start", "teach", "search"} <= here


@pytest.mark.slow
def test_no_link_leads_nowhere(parsed):
    for path, page in parsed.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https"):
                continue
            assert not parts.scheme and not parts.netloc, f"{path.name}: {link}"
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name} links to {link}"
            if parts.fragment and target in parsed:
                assert unquote(parts.fragment) in parsed[target].ids, f"{path.name} links to {link}"


@pytest.mark.slow
def test_a_page_loads_nothing_from_elsewhere_and_nothing_that_is_not_there(parsed):
    for path, page in parsed.items():
        for load in page.loads:
            assert not urlsplit(load).netloc, f"{path.name} loads {load}"
            if load and not load.startswith(("data:", "#")):
                assert (path.parent / urlsplit(load).path).is_file(), f"{path.name} loads {load}"
    for sheet in website().rglob("*.css"):
        found = re.findall(r"(?:url\(|@import )[\"']?(https?:)?//", sheet.read_text("utf-8"))
        assert not found, sheet.name


@pytest.mark.slow
def test_every_picture_is_described(parsed):
    count = 0
    for path, page in parsed.items():
        for picture in page.pictures:
            count += 1
            assert len(picture.get("alt", "")) > 20, f"{path.name}: {picture}"
    assert count > 50


@pytest.mark.slow
def test_headings_begin_with_one_of_the_first_level_and_skip_none(parsed):
    for path, page in parsed.items():
        assert page.language == "en"
        assert page.headings.count(1) == 1 and page.headings[0] == 1, f"{path.name}: {page.headings}"
        steps = [after - before for before, after in zip(page.headings, page.headings[1:], strict=False)]
        assert max(steps, default=0) <= 1, f"{path.name}: {page.headings}"


@pytest.mark.slow
def test_no_formula_is_left_as_source(parsed):
    for path, page in parsed.items():
        raw = re.findall(r"\$[^$\n]*\\\w+[^$\n]*\$|\$\$|\\[(\[]|\\(?:frac|sum|mathbb|hat)\b", "".join(page.text))
        assert not raw, f"{path.name}: {raw}"


@pytest.mark.slow
def test_chapters_keep_their_ways_to_colab_and_binder_and_lead_to_each_other(parsed, course):
    for before, path, after in zip([None, *course.chapters], course.chapters, course.chapters[1:], strict=False):
        links = parsed[website() / "notebooks" / f"{path.stem}.html"].links
        assert any("colab.research.google.com" in link and link.endswith(path.name) for link in links)
        assert any("mybinder.org" in link and link.endswith(path.name) for link in links)
        for neighbour in filter(None, (before, after)):
            assert f"{neighbour.stem}.html" in links


@pytest.mark.slow
def test_chinese_words_are_marked_as_chinese():
    page = (website() / "glossary.html").read_text("utf-8")
    assert page.count('lang="zh-Hans"') == len(TERMS)


@pytest.mark.slow
def test_a_build_leaves_the_signatures_of_the_course_as_they_are():
    before = inspect.signature(train.fit)
    website()
    assert inspect.signature(train.fit) == before and type(before.parameters["lr"].default) is float


@pytest.mark.slow
def test_a_second_build_is_the_same_to_the_last_byte(tmp_path):
    first = website()
    site.build(ROOT, tmp_path / "site")
    for path in sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file()):
        assert (first / path).read_bytes() == (tmp_path / "site" / path).read_bytes(), path
