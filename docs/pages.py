"""The website's source, made of what the course has already: nothing on it is typed twice.

`stage` puts the notebooks, the README and the pages of docs/ into one folder. Lines such as `<!-- README: Chapters -->`
in docs/*.md are filled here, with a section of the README or with what is read out of the notebooks and the package.
"""

import json
import os
import re
import shutil
import tomllib
from collections.abc import Container
from pathlib import Path

from aetutor import claims

FILL = re.compile(r"^<!-- ([\w ]+?)(?:: (.+?))? -->$", re.M)
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")
STATEMENT = re.compile(r"^(\| \d+ \|.*\| )(\d\d)( \|)$", re.M)  # a row of the README's table, its chapter last
WIDGET = re.compile(r"^(?:\w+ = )?widgets\.\w+\(", re.M)  # in a line of its own; elsewhere it is a helper
LIFELESS = re.compile(r"^\*No (?:sliders|board), only a picture, or .*\*\n*", re.M)
# A work ends with its year and, maybe, an address; what follows is a remark on it.
CITATION = re.compile(r"(.*\((?:19|20)\d\d\)(?:, (?:arXiv|doi):[\w./-]*\w)*|.*? \d+:\d+ \((?:19|20)\d\d\))")


class SiteError(Exception):
    """Something that the website is made of is missing or not as it must be; says what to do."""


class Course:
    """The course in the folder `root`: its README in sections, its chapters, its glossary."""

    def __init__(self, root: Path):
        self.root = root
        self.readme = _read(root / "README.md")
        address, _, branch = _project(root)["urls"]["Repository"].partition("/tree/")
        self.files = f"{address}/blob/{branch or 'main'}"  # where readers find the course's files
        self.chapters = sorted(root.glob("notebooks/[0-9][0-9]_*.ipynb"))
        self.notebooks = {path: _notebook(path) for path in self.chapters}
        self._check()

    def _check(self) -> None:
        named = set(re.findall(r"\(notebooks/(\d\d_\w+\.ipynb)\)", self.section("Chapters")))
        here = {path.name for path in self.chapters}
        for name in sorted(named - here):
            raise SiteError(f"README.md lists notebooks/{name}, which is not there: restore it, or take its row out")
        for name in sorted(here - named):
            raise SiteError(f"notebooks/{name} is not in README.md's table of chapters: add a row")

    def section(self, heading: str) -> str:
        """The README's text below a heading of the second level; "opening" is what stands before the first."""
        parts = re.split(r"^## (.+)$", self.readme, flags=re.M)
        sections = dict(zip(["opening", *parts[1::2]], parts[::2], strict=True))
        if heading not in sections:
            has = ", ".join(sections)
            raise SiteError(f"README.md has no section {heading!r}, which docs/ asks for; it has: {has}")
        return re.sub(r"^# .+$", "", sections[heading], count=1, flags=re.M).strip()

    def title(self, path: Path) -> str:
        """A chapter's title, such as "01 · Theory: what exactly is minimised"."""
        return re.search(r"^# (.+)$", _text(self.notebooks[path]["cells"][0]), re.M)[1]

    def link(self, number: str) -> str:
        """A link to the chapter with that number."""
        (path,) = [path for path in self.chapters if path.name.startswith(number)]
        return f"[{number}](notebooks/{path.name})"

    def modules(self) -> dict[str, str]:
        """Module -> what it holds, from the README's table."""
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \| [^|]+ \|$", self.section("For contributors"), re.M)
        return {name: holds for name, holds in rows if not name.startswith("__")}


def stage(root: Path, source: Path) -> list[str]:
    """Writes what Sphinx reads for the course in `root` into the empty folder `source`; returns the pages' names."""
    course = Course(root)
    pages = {path.relative_to(root): _with_captions(course, path) for path in course.chapters}
    for path in ("notebooks/assignments/README.md", "data/README.md"):
        pages[Path(path)] = _read(root / path)
    for path in sorted((root / "docs").glob("*.md")):
        pages[Path(path.name)] = FILL.sub(lambda found: _filled(course, *found.groups()), _read(path))
    pages |= {Path("api", f"{name}.rst"): _module(name) for name in course.modules()}
    for name, text in pages.items():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        for link in {link for link in LINK.findall(_prose(name, text)) if not _is_page(name, link, pages)}:
            _bring(course, source, name, link)
            text = text.replace(f"]({link})", f"](path:{link})") if Path(link).suffix in (".ipynb", ".md") else text
        target.write_text(text, encoding="utf-8", newline="\n")
    return [name.with_suffix("").as_posix() for name in pages]


def _filled(course: Course, what: str, which: str | None) -> str:
    if what == "README":
        text = STATEMENT.sub(lambda row: row[1] + course.link(row[2]) + row[3], course.section(which))
        return text.replace("| # | statement |", "{.claims}\n| # | statement |")
    makers = {
        ("claims", "count"): _claims_count,
        ("claims", "tables"): _claims_tables,
        ("glossary", None): _glossary,
        ("references", None): _references,
        ("api", None): _api,
        ("toctrees", None): _toctrees,
    }
    return makers[what, which](course)


def _is_page(page: Path, link: str, pages: Container[Path]) -> bool:
    return Path(os.path.normpath(page.parent / link.partition("#")[0])) in pages


def _bring(course: Course, source: Path, page: Path, link: str) -> None:
    """Copies a file that is no page to where a page links to it: the reader gets it as a picture or a download."""
    origin, target = (course.root / page).parent / link, (source / page).parent / link
    if not origin.is_file():
        raise SiteError(f"{page} links to {link}, and there is no such file: mend the link")
    target.resolve().parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(origin, target)


# --- What the pages are filled with ---------------------------------------------------------------------------


def _toctrees(course: Course) -> str:
    groups = {
        "Chapters": [f"notebooks/{path.stem}" for path in course.chapters],
        "Look up": ["glossary", "claims", "references", "api"],
        "Use it": ["start", "teach", "notebooks/assignments/README", "about", "data/README"],
    }
    return "\n\n".join(
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", *pages, "```"])
        for caption, pages in groups.items()
    )


def _claims_count(course: Course) -> str:
    made = claims.collect(course.chapters)
    settled = {claim.settles for chapter in made.values() for claim in chapter if claim.settles}
    total = sum(map(len, made.values()))
    return (
        f"{total} claims in {len(made)} chapters: each is a sentence with a measured number and a bound, and a cell"
        f" that fails if the number is outside. They settle {len(settled)} statements that popular introductions make."
    )


def _claims_tables(course: Course) -> str:
    made = claims.collect(course.chapters)
    parts = []
    for path in course.chapters:
        rows = [
            [_plain(c.sentence), c.value, c.bound, f"{c.settles}: {c.verdict}" if c.settles else ""]
            for c in made[path.stem]
        ]
        heading = f"## [{course.title(path)}](notebooks/{path.name})"
        parts += [heading, "{.claims}\n" + _table(["claim", "measured", "bound", "popular statement"], rows)]
    return "\n\n".join(parts)


def _glossary(course: Course) -> str:
    rows = []
    terms = tomllib.loads(_read(course.root / "docs" / "glossary.toml"))["term"]
    for term in sorted(terms, key=lambda term: term["english"].casefold()):
        place = re.sub(r"\W+", "-", term["english"].casefold())
        english = f"[**{term['english']}**]{{#{place}}}" + (f", {term['also']}" if "also" in term else "")
        chinese = "[" + term["chinese"].replace(",", ", ") + "]{.chinese}"  # conf.py gives it its language
        rows.append([english, chinese, term["meaning"], course.link(term["chapter"])])
    return "{.glossary}\n" + _table(["English", "Chinese", "meaning", "chapter"], rows)


def _references(course: Course) -> str:
    works = {}
    for path in course.chapters:
        for work in cited(course.notebooks[path]):
            title = (re.search(r"\*(.+?)[:*]", work) or [work] * 2)[1]  # some chapters leave subtitles out
            key = (_surname(work)[0], title.casefold())
            text, where = works.get(key, ("", []))
            works[key] = (max(text, work, key=len), [*where, course.link(path.name[:2])])
    lines = [f"* {_addresses(text)}. Chapter {', '.join(where)}" for text, where in works.values()]
    return "\n".join(sorted(lines, key=_surname))


def cited(notebook: dict) -> list[str]:
    """The works under "Further reading": authors, title, place and year of each, without the chapter's remarks."""
    prose = "\n\n".join(_text(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    found = []
    for item in re.findall(r"^\* (.+)$", prose.partition("## Further reading")[2], re.M):
        authors = ""
        # "A. Author, *One* (2001), and *Two* (2002); B. Other, *Three* (2003)" are three works.
        for part in re.split(r"; (?:and )?(?=(?:[A-Z]\. ?)+\w)|, and (?=\*)", item):
            work = CITATION.match(part)
            if not work:
                raise SiteError(f"further reading without a year: {part!r}; write the year in parentheses, as (2006)")
            text = work[1].replace(" & ", " and ")
            if text.startswith("*"):
                text = f"{authors}, {text}"
            authors = text.split(", *")[0]
            found.append(text)
    return found


def _surname(line: str) -> tuple[str, str]:
    first = re.split(r",| and | et al", line.removeprefix("* "))[0]
    return first.split()[-1].casefold(), line


def _addresses(text: str) -> str:
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"doi:(10\.\S+\w)", r"[doi:\1](https://doi.org/\1)", text)


def _api(course: Course) -> str:
    modules = course.modules()
    rows = [[f"[{name}](api/{name}.rst)", holds] for name, holds in modules.items()]
    return "\n".join(
        [_table(["module", "holds"], rows), "", "```{toctree}", ":hidden:", *(f"api/{name}" for name in modules), "```"]
    )


def _module(name: str) -> str:
    import importlib
    import inspect

    home = importlib.import_module(f"aetutor.{name}")
    lines = [name, "=" * len(name), "", f".. automodule:: aetutor.{name}", "   :no-members:", ""]
    # What is called comes first, and last what is raised.
    for public, value in sorted(vars(home).items(), key=lambda one: _order(one[1])):
        ours = (getattr(value, "__module__", None) or "").startswith(f"aetutor.{name}")
        if public.startswith("_") or not ours or not callable(value):
            continue
        lines += [f".. auto{'class' if inspect.isclass(value) else 'function'}:: aetutor.{name}.{public}"]
        if inspect.isclass(value):
            members = [part for part, member in vars(value).items() if not part.startswith("_") and _own(member, home)]
            lines += [f"   :members: {', '.join(members)}"] * bool(members)
        lines += [""]
    return "\n".join(lines)


def _order(value: object) -> int:
    return 0 if not isinstance(value, type) else 2 if issubclass(value, Exception) else 1


def _own(member: object, home) -> bool:
    """Whether a class's member is a method or property of the course's, not a field or what a library put there."""
    member = getattr(member, "__func__", member)
    function = member.fget if isinstance(member, property) else member
    return (getattr(function, "__module__", None) or "").startswith(home.__name__) and callable(function)


# --- Notebooks ------------------------------------------------------------------------------------------------


def _with_captions(course: Course, path: Path) -> str:
    """The chapter with a line below each widget's still, which says where it moves; none asks to run a cell."""
    notebook = course.notebooks[path]
    places = dict(re.findall(r"\[Open in (\w+)\]\((\S+)\)", _text(notebook["cells"][0])))
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":  # what to do where there is a kernel
            cell = cell | {"source": LIFELESS.sub("", _text(cell))}
        cells.append(cell)
        if cell["cell_type"] == "code" and WIDGET.search(_text(cell)):
            links = [f"in [{name}]({address})" for name, address in places.items()]
            where = ", ".join([*links, "or on [your machine](../start.md)"])
            text = f"*Here this is a still picture. To try it yourself, open the chapter {where}.*"
            cells.append({"cell_type": "markdown", "id": f"{cell['id']}-still", "metadata": {}, "source": text})
    return json.dumps(notebook | {"cells": cells}, ensure_ascii=False)


def _notebook(path: Path) -> dict:
    name = f"{path.parent.name}/{path.name}"
    try:
        notebook = json.loads(_read(path))
        cells = notebook["cells"]
    except (ValueError, KeyError) as error:
        raise SiteError(f"{name} is no notebook ({error}): restore it from git") from error
    for number, cell in enumerate(cells, 1):
        # JupyterLab adds an empty cell where a reader goes on below the last.
        if cell["cell_type"] == "code" and _text(cell).strip() and cell.get("execution_count") is None:
            raise SiteError(
                f"{name} is not run to its end (cell {number} has no outputs): run it, or all again by"
                f" make notebooks NB={name}"
            )
    return notebook


def _text(cell: dict) -> str:
    return "".join(cell["source"])


def _prose(name: Path, text: str) -> str:
    if name.suffix == ".ipynb":
        return "\n".join(_text(cell) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")
    return text


# --- Text -----------------------------------------------------------------------------------------------------


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SiteError(f"cannot read {path}: {error.strerror}") from error


def _project(root: Path) -> dict:
    return tomllib.loads(_read(root / "pyproject.toml"))["project"]


def _plain(text: str) -> str:
    """Text that Markdown must not read as markup."""
    return re.sub(r"([\\`*_\[\]<>$|{}])", r"\\\1", text)


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])
