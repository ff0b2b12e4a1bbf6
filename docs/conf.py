"""Sphinx's settings for the website. Build it with `make site`; .ci/website.py makes the folder that Sphinx reads."""

import base64
import importlib.util
import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path

from docutils import nodes

sys.path.insert(0, str(Path(__file__).parent))  # for docstrings.py

project = "Autoencoders, measured"
author = "The aetutor authors"
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "docstrings"]
exclude_patterns = ["notebooks/assignments/release"]  # students' copies are downloads
templates_path = ["_templates"]

# --- Chapters: as they were committed; nothing runs -----------------------------------------------------------
nb_execution_mode = "off"
nb_merge_streams = True
# A claim's numbers travel beside its text. An output of which nothing is known has a warning of its own.
suppress_warnings = ["mystnb.unknown_mime_type"]
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None)
]  # the still beside it is shown
myst_enable_extensions = ["dollarmath", "attrs_inline", "attrs_block"]
myst_dmath_double_inline = True
myst_heading_anchors = 3
myst_links_external_new_tab = False

# --- Formulas: MathJax as one file from a package, not from a network -----------------------------------------
myst_update_mathjax = False
mathjax_path = "mathjax/tex-svg.js"
# The menu would make each of hundreds of formulas a stop for the Tab key.
mathjax3_config = {"options": {"enableMenu": False, "ignoreHtmlClass": "document", "processHtmlClass": "math"}}

# --- The package ----------------------------------------------------------------------------------------------
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"
add_module_names = False

# --- Looks ----------------------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_sidebars = {"**": ["course.html"]}
html_theme_options = {
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["licence.html"],
    "footer_end": [],
    "search_bar_text": "Search the course",
    "show_toc_level": 2,
}
html_show_sourcelink = False
html_copy_source = False
html_use_index = False
html_domain_indices = False
pygments_style = "a11y-high-contrast-light"


def descriptions(notebook: Path) -> dict[str, str]:
    """The alternative texts of the pictures in a notebook's outputs, by the names of the files that myst-nb makes."""
    found = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                picture = base64.b64decode("".join(output["data"]["image/png"]))
                found[sha256(picture).hexdigest()] = output["metadata"]["image/png"]["alt"]
    return found


def describe_pictures(app, doctree) -> None:
    """myst-nb forgets the alternative text that a notebook keeps beside each picture."""
    source = Path(app.env.doc2path(app.env.docname))
    if source.suffix == ".ipynb":
        known = descriptions(source)
        for image in doctree.findall(nodes.image):
            if "alt" not in image:
                image["alt"] = known[Path(image["uri"]).stem]


def name_languages(app, pagename, templatename, context, doctree) -> None:
    """A screen reader has to be told where the words are Chinese."""
    if "body" in context:
        context["body"] = context["body"].replace('<span class="chinese">', '<span class="chinese" lang="zh-Hans">')


def copy_mathjax(app, error) -> None:
    if error is None:
        package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
        target = Path(app.outdir, "_static", mathjax_path)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(package / "static" / mathjax_path, target)


def setup(app) -> dict:
    app.connect("doctree-read", describe_pictures)
    app.connect("html-page-context", name_languages)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
