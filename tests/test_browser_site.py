"""The website in a real Chromium: from a web server and from a folder, wide and narrow, light and dark, by keyboard."""

import pytest
from test_site import site, website

pytestmark = [
    pytest.mark.site,
    pytest.mark.browser,
    pytest.mark.slow,
]
CHAPTERS = [f"notebooks/{path.stem}" for path in sorted((site.ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
READY = """() => (window.MathJax ? MathJax.startup.promise : Promise.resolve()).then(() => ({
    formulas: document.querySelectorAll(".math").length,
    drawn: document.querySelectorAll(".math mjx-container > svg").length,
    wrong: document.querySelectorAll("[data-mml-node='merror']").length,
    blank: [...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src),
}))"""
# Thousands of coloured words of code, in a dozen colours: one of each is left coloured, so that axe need not see all.
ONE_OF_EACH = """() => {
    const seen = new Set();
    for (const word of document.querySelectorAll("pre span[class]")) {
        if (seen.has(word.className)) word.replaceWith(word.textContent);
        else if (!word.children.length) seen.add(word.className);
    }
}"""
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def address(browser):
    """Of the website on a web server of this machine."""
    with site.served(website()) as address:
        yield address


def names() -> list[str]:
    """All pages, by their paths without .html."""
    found = (path.relative_to(website()) for path in website().rglob("*.html") if "_static" not in path.parts)
    return sorted(path.with_suffix("").as_posix() for path in found)


def visit(tab, start: str, name: str) -> dict:
    """Opens a page, waits for its formulas, and says how many there are."""
    tab.page.goto(f"{start}/{name}.html")
    return tab.page.evaluate(READY)


def test_every_page_comes_whole_and_asks_nobody_else(browser, address):
    tab = browser.tab()
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    formulas = 0
    for name in names():
        page = visit(tab, address, name)
        assert page["drawn"] == page["formulas"] and not page["wrong"] and not page["blank"], (name, page)
        formulas += page["formulas"]
    assert formulas > 300, "chapter 01 alone has as many"
    assert tab.problems == []
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    tab.close()


def test_it_works_from_a_folder_too(browser):
    start = website().as_uri()
    tab = browser.tab()
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    for name in ("index", "glossary", CHAPTERS[5]):
        page = visit(tab, start, name)
        assert page["drawn"] == page["formulas"] and not page["blank"], (name, page)
    find(tab, start)
    assert tab.problems == []
    assert [url for url in asked if not url.startswith((start, "data:"))] == []
    tab.close()


def find(tab, start: str) -> None:
    """Searches as a reader does, and follows the hit that is chapter 05."""
    tab.page.goto(f"{start}/index.html")
    tab.page.keyboard.press("Control+k")
    tab.page.keyboard.type("posterior collapse")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("#search-results li a")
    tab.page.wait_for_function("() => /found/i.test(document.querySelector('#search-results p')?.textContent ?? '')")
    hits = tab.page.locator("#search-results li > a")
    texts = [text for text in hits.all_inner_texts()]
    (first, *_) = [number for number, text in enumerate(texts) if text.startswith("05 ")]
    assert first < 3, texts
    tab.page.wait_for_load_state("networkidle")  # the lines around each hit are fetched
    hits.nth(first).click()
    tab.page.wait_for_url("**/05_variational_autoencoder.html*")
    assert "05" in tab.page.locator("h1").inner_text()
    seen = """() => { const word = document.querySelector("article .highlighted")?.getBoundingClientRect();
        return word && word.top > 0 && word.bottom < innerHeight }"""
    tab.page.wait_for_function(seen, timeout=5000)  # one lands where the words are


def test_search_leads_to_the_chapter(browser, address):
    tab = browser.tab()
    find(tab, address)
    assert tab.problems == []
    tab.close()


def test_on_a_phone_no_page_scrolls_sideways_and_what_scrolls_in_itself_can_be_reached_by_keyboard(browser, address):
    tab = browser.tab(width=390, height=800)
    for name in names():
        visit(tab, address, name)
        assert tab.page.evaluate(TOO_WIDE) <= 0, name
        # The theme marks what it knows, ours the rest; both do so after the page has loaded.
        unreachable = """() => [...document.querySelectorAll("article *")].filter(part =>
            part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0
            && ["auto", "scroll"].includes(getComputedStyle(part).overflowX)
            && part.tabIndex < 0 && !part.querySelector("a, button")).map(part => part.outerHTML.slice(0, 120))"""
        tab.page.wait_for_function(f"() => !({unreachable})().length", timeout=5000)
    tab.close()


def test_on_a_phone_a_claim_stands_above_its_numbers_and_a_figure_opens_in_its_own_size(browser, address):
    tab = browser.tab(width=390, height=800)
    for name, table in (("claims", "table.claims"), (CHAPTERS[6], ".cell_output table:has(th[scope=col])")):
        visit(tab, address, name)
        row = tab.page.locator(f"{table} tbody tr").first
        tops = [cell.bounding_box()["y"] for cell in row.locator("td:visible").all() if cell.inner_text().strip()]
        assert len(tops) >= 3 and tops == sorted(set(tops)), (name, tops)
        assert {"measured", "bound"} <= set(row.locator("td").evaluate_all("all => all.map(td => td.dataset.head)"))
    visit(tab, address, "index")
    statement = tab.page.locator("table.claims tbody tr").nth(3)  # the first that has a condition
    told = statement.locator("td:visible").evaluate_all("all => all.map(td => td.dataset.head)")
    assert [each for each in told if each] == ["holds if", "verdict", "chapter"]
    boxes = [cell.bounding_box() for cell in statement.locator("td:visible").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes), "nothing is cut off"
    visit(tab, address, CHAPTERS[6])
    figures = tab.page.locator(".cell_output img")
    assert figures.count() > 5 and tab.page.locator(".cell_output a.larger > img").count() == figures.count()
    assert tab.problems == []
    own = figures.first.evaluate("image => image.naturalWidth")
    assert figures.first.bounding_box()["width"] < 390 < own
    figures.first.click()
    tab.page.wait_for_url("**/_images/*.png")
    assert tab.page.locator("img").evaluate("image => image.naturalWidth") == own
    tab.close()


def test_no_formula_is_cut_off_at_the_left(browser, address):
    for width in (390, 1280):
        tab = browser.tab(width=width)
        for name in CHAPTERS:
            visit(tab, address, name)
            cut = """() => [...document.querySelectorAll("div.math")].filter(
                formula => formula.querySelector("svg").getBoundingClientRect().left
                < formula.getBoundingClientRect().left - 1).length"""
            assert tab.page.evaluate(cut) == 0, (name, width)
        tab.close()


def test_the_keyboard_alone_is_enough(browser, address):
    tab = browser.tab()
    visit(tab, address, CHAPTERS[1])
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("() => document.activeElement.textContent.trim()") == "Skip to main content"
    tab.page.keyboard.press("Enter")
    assert tab.page.url.endswith("#main-content")
    tab.page.locator("a.right-next").focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url(f"**/{CHAPTERS[2].split('/')[1]}.html")
    tab.close()
    tab = browser.tab(width=390, height=800)
    visit(tab, address, "index")
    tab.page.locator("button.primary-toggle").focus()
    tab.page.keyboard.press("Enter")
    tab.page.get_by_role("link", name="05 · The variational autoencoder").locator("visible=true").first.focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/05_variational_autoencoder.html")
    assert tab.problems == []
    tab.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_page_meets_wcag_2_2_at_aa(browser, address, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    # Colours alone change with the theme.
    rules = AA if theme == "light" else {"type": "rule", "values": ["color-contrast"]}
    tab = browser.tab(color_scheme=theme)
    for name in names():
        visit(tab, address, name)
        assert tab.page.evaluate("() => document.documentElement.dataset.theme") == theme
        tab.page.evaluate(ONE_OF_EACH)
        found = axe.run(tab.page, options={"runOnly": rules, "resultTypes": ["violations"]}).response["violations"]
        told = [(rule["id"], [node["html"][:150] for node in rule["nodes"][:3]]) for rule in found]
        assert told == [], f"{name}: {told}"
    tab.close()


def test_paper_is_white_and_the_theme_comes_back(browser, address):
    tab = browser.tab(color_scheme="dark")
    visit(tab, address, CHAPTERS[0])
    theme = "() => document.documentElement.dataset.theme"
    assert tab.page.evaluate(theme) == "dark"
    tab.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert tab.page.evaluate(theme) == "light"
    tab.page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert tab.page.evaluate(theme) == "dark"
    tab.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pictures_of_the_pages_are_kept(browser, address, theme, width):
    tab = browser.tab(width=width, color_scheme=theme)
    for name in names():
        visit(tab, address, name)
        picture = tab.screenshot(f"site-{name.replace('/', '-')}-{theme}-{width}")
        assert picture.stat().st_size > 5000
    tab.close()
