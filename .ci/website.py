"""The course as a website in build/site/, and each chapter of it as a PDF file in build/pdf/.

Usage: python website.py [site | pdf]
"""

import argparse
import functools
import http.server
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))

from pages import Course, SiteError, stage  # noqa: E402

FOOTER = "<div style='width:100%;font-size:8px;text-align:center'><span class='pageNumber'></span></div>"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Addresses on this machine mean nothing on paper: a link to another page becomes one to the repository.
POINT_TO_REPOSITORY = """files => {
  for (const figure of document.querySelectorAll("a.larger")) figure.replaceWith(...figure.childNodes);
  for (const link of document.querySelectorAll("a[href]")) {
    if (link.host !== location.host || link.pathname === location.pathname) continue;
    const chapter = link.pathname.match(/notebooks\\/(\\d\\d_\\w+)\\.html$/);
    link.href = files + (chapter ? `/notebooks/${chapter[1]}.ipynb` : "/README.md");
  }
}"""


def build(root: Path, out: Path) -> None:
    """Makes the website of the course in `root`. The folder `out` is replaced when all went well, and not before."""
    if importlib.util.find_spec("sphinx") is None:
        raise SiteError("no Sphinx here; the website needs it and more: python -m pip install -e '.[site]'")
    with folder(out) as work:
        source, html = work / "source", work / "html"
        source.mkdir()
        stage(root, source)
        flags = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(work / "doctrees"), "-c", str(root / "docs")]
        # In a process of its own, since autodoc puts stand-ins for the defaults into the signatures of what it reads.
        command = [sys.executable, "-m", "sphinx", *flags, str(source), str(html)]
        if subprocess.run(command, check=False).returncode:
            raise SiteError("the website was not built: Sphinx says above what to mend")
        (html / ".buildinfo").unlink()
        shutil.rmtree(out, ignore_errors=True)
        html.rename(out)


@contextmanager
def folder(out: Path) -> Iterator[Path]:
    """A folder to work in beside `out`, so that the result can be moved there in one step."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise SiteError(f"cannot write to {out.parent}: {error.strerror}") from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def find_browser() -> str:
    """The path of a Chromium."""
    named = os.environ.get("AETUTOR_CHROMIUM")
    found = next(filter(None, map(shutil.which, [named] if named else BROWSERS)), None)
    if found is None:
        looked = f"AETUTOR_CHROMIUM={named}" if named else f"{', '.join(BROWSERS[:-1])} or {BROWSERS[-1]} on the PATH"
        raise SiteError(
            f"no Chromium to print with: found no {looked}."
            " Install one (Debian and Ubuntu: apt install chromium), or name it in AETUTOR_CHROMIUM"
        )
    return found


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of a web server for the folder, on this machine only."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def pdf(root: Path, site: Path, out: Path) -> None:
    """Prints each chapter of the website in the folder `site` to `out`/NN_name.pdf."""
    program = find_browser()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise SiteError(f"{error}; it drives the browser: python -m pip install -e '.[site]'") from error
    course = Course(root)
    with folder(out) as work, served(site) as address, sync_playwright() as play:
        (work / "pdf").mkdir()
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(color_scheme="light")
        for path in course.chapters:
            page.goto(f"{address}/notebooks/{path.stem}.html")
            page.evaluate("() => MathJax.startup.promise.then(measure)")
            page.evaluate(POINT_TO_REPOSITORY, course.files)
            page.pdf(
                path=work / "pdf" / f"{path.stem}.pdf",
                format="A4",
                margin={"top": "16mm", "bottom": "18mm", "left": "16mm", "right": "16mm"},
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
                tagged=True,
                outline=True,
            )
            print(f"{path.stem}.pdf", flush=True)
        browser.close()
        shutil.rmtree(out, ignore_errors=True)
        (work / "pdf").rename(out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["site", "pdf"], help="site: build/site/; pdf: that, and build/pdf/")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    site = chosen.root / "build" / "site"
    try:
        build(chosen.root, site)
        print(f"The website: {site / 'index.html'}", flush=True)
        if chosen.what == "pdf":
            pdf(chosen.root, site, site.with_name("pdf"))
            print(f"The chapters to print: {site.with_name('pdf')}")
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
