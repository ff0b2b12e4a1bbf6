"""nbgrader's page for a student, made so that nothing a student wrote is run in a teacher's browser."""

import copy
import re
from pathlib import Path

from aetutor.grading.course import Course
from aetutor.grading.gradebook import resources

IMAGES = ("image/png", "image/jpeg")
SHOWN = ("text/plain", "text/html", "text/markdown", "text/latex", *IMAGES)
TAGS = (
    "a abbr b blockquote br caption cite code col colgroup dd del details div dl dt em figcaption figure h1 h2 h3 h4 "
    "h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strong sub summary sup table tbody td tfoot th thead "
    "tr u ul var"
).split()
ATTRIBUTES = {"*": ["class", "id", "title"], "a": ["href"], "img": ["src", "alt", "width", "height"], "td": ["colspan"]}


class Feedback:
    """Answers, scores, comments, and what the tests said."""

    def __init__(self, course: Course):
        import nbgrader
        from nbconvert.exporters import HTMLExporter
        from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
        from nbgrader.preprocessors import GetGrades
        from traitlets.config import Config

        place = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader"
        config = Config()
        config.HTMLExporter.template_name = "feedback"
        config.HTMLExporter.extra_template_basedirs = [str(place / "templates")]
        style = place / "static" / "node_modules" / "bootstrap" / "dist" / "css"
        config.HTMLExporter.extra_template_paths = [str(style)]
        self._course, self._exporter = course, HTMLExporter(config=config)
        for step in (GetGrades, CSSHTMLHeaderPreprocessor):
            self._exporter.register_preprocessor(step, enabled=True)
        # nbgrader's template does not ask nbconvert to sanitise text, so the filter that it uses does.
        self._exporter.register_filter("markdown2html", _sanitising(self._exporter))

    def page(self, assignment: str, student: str, *, notebook) -> bytes:
        shown = copy.deepcopy(notebook)
        shown.metadata.pop("widgets", None)
        for cell in shown.cells:
            if cell.cell_type == "raw":
                cell.source = harmless(cell.source)
            if not _sound(cell.get("attachments", {})):
                del cell["attachments"]
            for output in cell.get("outputs", []):
                _shorten(output)
            if "outputs" in cell:
                cell.outputs = [output for output in cell.outputs if output.get("data", True)]
        html, _ = self._exporter.from_notebook_node(shown, resources=resources(self._course, assignment, student))
        return html.encode("utf-8", "replace")


def harmless(html: str) -> str:
    """HTML that formats text and runs nothing."""
    import bleach

    return bleach.clean(html, tags=TAGS, attributes=ATTRIBUTES, protocols=["http", "https", "mailto", "data"])


def _sanitising(exporter):
    from jinja2 import pass_context

    @pass_context
    def markdown2html(context, source):
        return harmless(exporter.markdown2html(context, source))

    return markdown2html


def _shorten(output) -> None:
    """Keeps of an output what can be shown without being run."""
    if "data" not in output:
        return
    output.metadata = type(output.metadata)()
    for kind, data in list(output.data.items()):
        text = "".join(data) if isinstance(data, list) and all(isinstance(d, str) for d in data) else data
        if kind not in SHOWN or not isinstance(text, str) or (kind in IMAGES and not _base64(text)):
            del output.data[kind]
        elif kind == "text/html":
            output.data[kind] = harmless(text)


def _base64(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9+/=\s]*", text) is not None


def _sound(attachments) -> bool:
    return all(kind in IMAGES and _base64(data) for bundle in attachments.values() for kind, data in bundle.items())
