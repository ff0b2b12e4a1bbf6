"""A real JupyterLab in a real Chromium, for tests: what a reader sees and does, from Python.

    with jupyterlab(folder) as lab, chromium() as browser:
        notebook = lab.open(browser, "00_start_here.ipynb")
        notebook.run_all()
        assert not notebook.errors() and not notebook.tab.problems

Where there is no Chromium or no playwright, the tests that use it are skipped with the reason; with
AETUTOR_REQUIRE_BROWSER set they fail instead. AETUTOR_CHROMIUM names a Chromium that is not on the PATH.
"""

import ast
import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT / "build" / "browser"  # ignored by git, kept by CI
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
SETTINGS = {
    # All cells stand in the page at once, so that a test finds those that are out of sight too.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
VIEW = "application/vnd.jupyter.widget-view+json"
QUIET = 0.15  # of the machine: where others use more, speed cannot be measured
# (A pattern of a problem, why it is none of ours.)
HARMLESS = [
    (r"^request failed: GET \S+/_static/icon\.svg \(net::ERR_ABORTED\)", "a page left before its tab had its icon")
]


def find_chromium() -> str:
    """The path of a Chromium for playwright; without one, the test is skipped, or fails if it must not be."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return _absent("playwright is not installed: python -m pip install playwright")
    named = os.environ.get("AETUTOR_CHROMIUM")
    if named:
        return shutil.which(named) or _absent(f"AETUTOR_CHROMIUM is {named!r}, and there is no such program")
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    return next(found, None) or _absent("no chromium, chromium-browser or google-chrome on the PATH: install one")


def _absent(reason: str):
    if os.environ.get("AETUTOR_REQUIRE_BROWSER"):
        pytest.fail(f"AETUTOR_REQUIRE_BROWSER is set, but {reason}", pytrace=False)
    pytest.skip(reason)


# --- The browser --------------------------------------------------------------------------------------------------


class Tab:
    """One page of the browser. `.page` is playwright's; `.problems` is what went wrong in it so far, as text."""

    def __init__(self, context):
        self.page = context.new_page()
        self.problems: list[str] = []
        self.page.on("console", lambda m: m.type == "error" and self._note(f"console: {m.text} ({_place(m.location)})"))
        self.page.on("pageerror", lambda error: self._note(f"page error: {error}"))
        self.page.on("requestfailed", lambda r: self._note(f"request failed: {r.method} {r.url} ({r.failure})"))
        self.page.on("response", lambda r: r.status >= 400 and self._note(f"response {r.status}: {r.url}"))
        self.page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?"

    def _note(self, problem: str) -> None:
        if not any(re.search(pattern, problem) for pattern, _why in HARMLESS):
            self.problems.append(problem[:600])

    def screenshot(self, name: str, *, of=None, **how) -> Path:
        """A PNG in build/browser/, of the page or of one locator or element in it."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        (of or self.page).screenshot(path=path, **how)
        return path

    def close(self) -> None:
        self.page.context.close()


def _place(location: dict) -> str:
    return f"{location.get('url', '')}:{location.get('lineNumber', '')}"


class Browser:
    """Chromium. Each `tab` has cookies and storage of its own; `**how` goes to playwright's `new_context`."""

    def __init__(self, driven):
        self.driven = driven

    def tab(self, *, width: int = 1280, height: int = 1000, **how) -> Tab:
        return Tab(self.driven.new_context(viewport={"width": width, "height": height}, **how))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window. Open it once in a test module: two in one process at a time do not work."""
    program = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        driven = play.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield Browser(driven)
        finally:
            driven.close()


class Others:
    """How much of the machine others use from now on: what a machine reaches says nothing while they do."""

    def __init__(self):
        self.since = self._used()

    def share(self) -> float:
        """Of all processors, 0 to 1; this test, its browser and its kernels are no others."""
        past, everybody, ours = (now - before for now, before in zip(self._used(), self.since, strict=True))
        return (everybody - ours) / past / psutil.cpu_count()

    @staticmethod
    def _used() -> tuple[float, float, float]:
        """The time, and seconds that all processors were busy so far: for anybody, and for us."""
        times = psutil.cpu_times()
        everybody = sum(times) - times.idle - getattr(times, "iowait", 0) - getattr(times, "guest", 0)
        ours = 0.0
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            try:
                ours += sum(process.cpu_times()[:2])
            except psutil.Error:
                pass  # it ended meanwhile
        return time.monotonic(), everybody, ours


# --- JupyterLab ---------------------------------------------------------------------------------------------------


@contextmanager
def jupyterlab(folder: Path, **environment: str) -> Iterator["Lab"]:
    """JupyterLab on a folder, with settings of its own; at the end it and all its kernels are gone.

    Give it a copy: notebooks are saved. `environment` is added to what its kernels see.
    """
    with tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as own:
        own = Path(own)
        places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
        places = {name: str(own / name.lower()) for name in (*places, "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")}
        for name, settings in SETTINGS.items():
            file = Path(places["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", f"{name}.jupyterlab-settings")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings))
        env = os.environ | places | environment
        for name in ("MPLBACKEND", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "JUPYTER_TOKEN"):
            env.pop(name, None)
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        command += [f"--port={_free_port()}", "--ServerApp.port_retries=20", f"--ServerApp.root_dir={folder}"]
        command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
        log = own / "log.txt"
        with log.open("w") as file:
            server = subprocess.Popen(command, env=env, stdout=file, stderr=subprocess.STDOUT, cwd=folder)
        try:
            yield Lab(*_started(server, own / "jupyter_runtime_dir", log), Path(folder))
        finally:
            _end(server)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _started(server: subprocess.Popen, runtime: Path, log: Path) -> tuple[str, str]:
    """The address and the token of a server, once it answers."""
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            try:
                info = json.loads(file.read_text())
                urllib.request.urlopen(f"{info['url']}api?token={info['token']}", timeout=10)
                return info["url"], info["token"]
            except (OSError, ValueError):
                pass  # half-written, or not listening yet
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start; its log says:\n{log.read_text()[-3000:]}")


def _end(server: subprocess.Popen) -> None:
    try:
        family = psutil.Process(server.pid).children(recursive=True)  # a kernel is in a session of its own
    except psutil.NoSuchProcess:
        family = []
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
    for child in family:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            pass
    psutil.wait_procs(family, 10)


def write_notebook(path: Path, *cells: str) -> Path:
    """A notebook of code cells, for tests that need a small one."""
    import nbformat

    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(notebook, path)
    return path


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    folder: Path

    def open(self, browser: Browser, name: str, **how) -> "Notebook":
        """A notebook of the folder in a new tab, ready to be run. `**how` goes to `Browser.tab`."""
        tab = browser.tab(**how)
        # Each tab in a workspace of its own: JupyterLab opens again what another tab had open in the same one.
        space = f"w{time.monotonic_ns()}"
        tab.page.goto(f"{self.url}lab/workspaces/{space}/tree/{name}?token={self.token}")
        tab.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
        notebook = Notebook(tab, name)
        notebook.wait_idle()
        return notebook


@dataclass
class Failure:
    """A cell that ended in an error; `allowed` if it is tagged raises-exception."""

    cell: int
    source: str
    error: str
    allowed: bool

    def __str__(self) -> str:
        source = "\n".join("    " + line for line in self.source.splitlines())
        return f"cell {self.cell}:\n{source}\n  {self.error}"


# What can be moved in an element, in the order of the page, each with a number to find it by.
_CONTROLS = """element => {
    const kinds = {
        slider: '.noUi-handle', range: 'input[type=range]', choice: 'select', tick: 'input[type=checkbox]',
        toggle: '.widget-toggle-button', button: 'button', board: 'canvas[tabindex]',
        text: 'input[type=text], input[type=number], textarea',
    };
    const found = [...element.querySelectorAll(Object.values(kinds).join())];
    return found.map((control, number) => {
        control.dataset.moved = number;
        const row = control.closest('label, .widget-inline-hbox')
        return {
            number,
            kind: Object.keys(kinds).find(kind => control.matches(kinds[kind])),
            label: (row?.innerText || control.innerText || control.ariaLabel || '').trim().split('\\n')[0].slice(0, 60),
            disabled: Boolean(control.disabled || control.closest('.noUi-target')?.hasAttribute('disabled')),
        };
    });
}"""
# The pixels of each picture in an element, those of a board that is drawn on apart.
_PICTURES = """async element => {
    const shown = [];
    for (const one of element.querySelectorAll('img, canvas:not([tabindex]), svg[role=img]')) {
        if (one.matches('canvas')) shown.push(one.toDataURL());
        else if (one.matches('svg')) shown.push(one.outerHTML);
        else {
            const blob = await (await fetch(one.src)).blob();
            shown.push(await new Promise(done => {
                const reader = new FileReader();
                reader.onload = () => done(reader.result);
                reader.readAsDataURL(blob);
            }));
        }
    }
    return shown;
}"""
_LIVE = """
def _course_live(model):
    import gc
    from aetutor.widgets import Live
    return next((o for o in gc.get_objects() if type(o) is Live and o.box.model_id == model), None)
"""


class Moving:
    """A widget in a notebook, moved as a reader does."""

    def __init__(self, notebook: "Notebook", cell: int, place: int, model: str):
        self.notebook, self.page, self.cell, self.model = notebook, notebook.page, cell, model
        self.element = notebook.outputs(cell).nth(place)

    def controls(self) -> list[dict]:
        """[{number, kind, label, disabled}] of all that can be moved."""
        return self.element.evaluate(_CONTROLS) if self.element.count() else []

    def control(self, number: int):
        return self.element.locator(f"[data-moved='{number}']")

    def pictures(self) -> list[str]:
        """What its pictures show now, to be compared."""
        return self.element.evaluate(_PICTURES)

    def message(self) -> str:
        """What it says about an error, if it does."""
        said = self.element.locator(".widget-html-content b, [role=alert]").all()
        return " ".join(one.inner_text() for one in said if one.is_visible()).strip()

    def changed(self, before: list[str], timeout: float = 10) -> bool:
        """Whether a picture differs from before, or soon does."""
        until = time.monotonic() + timeout
        while self.pictures() == before:
            if time.monotonic() > until:
                return False
            self.page.wait_for_timeout(50)
        return True

    def settled(self, quiet: float = 0.6, timeout: float = 20) -> list[str]:
        """What its pictures show when they no longer change."""
        until, last = time.monotonic() + timeout, self.pictures()
        while time.monotonic() < until:
            self.notebook.wait_idle()
            self.page.wait_for_timeout(quiet * 1000)
            now = self.pictures()
            if now == last:
                return now
            last = now
        raise TimeoutError(f"the widget of cell {self.cell} still changes after {timeout:.0f} s")

    def press(self, number: int, *keys: str) -> None:
        self.control(number).scroll_into_view_if_needed()
        self.control(number).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def room(self, number: int) -> int:
        """1 if a slider has more room to the right, -1 if to the left."""
        names = ("aria-valuemin", "aria-valuenow", "aria-valuemax")
        low, now, high = (float(self.control(number).get_attribute(name)) for name in names)
        return 1 if high - now >= now - low else -1

    def drag(self, number: int, share: float, *, steps: int = 12) -> None:
        """Drags a slider's handle by a share of its track, to the left if that is negative."""
        handle = self.control(number)
        handle.scroll_into_view_if_needed()
        track = handle.evaluate("handle => handle.closest('.noUi-base').getBoundingClientRect().width")
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for step in range(1, steps + 1):
            self.page.mouse.move(x + share * track * step / steps, y)
        self.page.mouse.up()

    def draw(self, number: int) -> None:
        """A stroke on a board."""
        board = self.control(number)
        board.scroll_into_view_if_needed()
        box = board.bounding_box()
        self.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
        self.page.mouse.down()
        for share in (0.4, 0.5, 0.6, 0.7):
            self.page.mouse.move(box["x"] + share * box["width"], box["y"] + (1 - share / 2) * box["height"])
        self.page.mouse.up()

    def stale(self) -> str:
        """What is wrong with its picture beside the one that the kernel draws for its values now; empty if nothing."""
        import numpy as np
        from PIL import Image

        setup = f"import base64{_LIVE}"
        drawn = f"(lambda live: live and base64.b64encode(live.draw().png()).decode())(_course_live({self.model!r}))"
        drawn = self.notebook.kernel(drawn, setup)
        if drawn == "None":  # no `Live`, so it cannot be asked
            return ""
        shown = self.pictures()[0].partition(",")[2]
        shown, drawn = (
            np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")) for png in (shown, drawn)
        )
        if shown.shape != drawn.shape:
            return f"it is {shown.shape[:2]} pixels, and drawn anew {drawn.shape[:2]}"
        wrong = (shown != drawn).any(-1).mean()
        return f"{wrong:.2%} of its pixels differ from those drawn anew" if wrong else ""


# The command ends early where a cell fails that may (raises-exception), and those below it run on.
_DONE = """
const tags = cell => cell.model.getMetadata('tags') || [];
const failed = cell => cell.model.type === 'code' && cell.model.toJSON().outputs.some(o => o.output_type === 'error');
const may = book.widgets.filter(failed).every(cell => tags(cell).includes('raises-exception'));
const waits = book.widgets.some(cell => cell.node.querySelector('.jp-InputPrompt')?.innerText.includes('*'));
return window.courseDone && !waits && (!window.courseAll || !may || book.widgets.every(
    cell => cell.model.type !== 'code' || cell.model.executionCount !== null || !cell.model.toJSON().source.length
));
"""
_HERE = "const panel = window.jupyterapp.shell.currentWidget, book = panel.content;"


class Notebook:
    """A notebook that is open in JupyterLab. Cells are counted from 0, text cells too, as in the file."""

    def __init__(self, tab: Tab, name: str):
        self.tab, self.page, self.name = tab, tab.page, name

    def ask(self, script: str, *values):
        """What a piece of JavaScript returns; in it, `book` is the notebook and `panel` its tab."""
        return self.page.evaluate(f"async (values) => {{ {_HERE} {script} }}", list(values))

    # What is in it

    def cells(self) -> list[dict]:
        """All cells as the file would have them: cell_type, source, execution_count, outputs."""
        return self.ask("return book.widgets.map(cell => cell.model.toJSON())")

    def errors(self) -> list[Failure]:
        found = []
        for number, cell in enumerate(self.cells()):
            for output in cell.get("outputs", []):
                if output["output_type"] == "error":
                    source = cell["source"]
                    source = source if isinstance(source, str) else "".join(source)
                    error, tags = f"{output['ename']}: {output['evalue']}", cell["metadata"].get("tags", [])
                    found.append(Failure(number, source, error, "raises-exception" in tags))
        return found

    def cell(self, number: int):
        """The cell as a playwright locator."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def outputs(self, number: int | None = None):
        """The output areas of a cell, or of all, as a playwright locator."""
        return (self.page if number is None else self.cell(number)).locator(".jp-OutputArea-output")

    def widgets(self) -> list["Moving"]:
        """Every widget with something to move in it, found in the page, in order."""
        found = []
        for number, cell in enumerate(self.cells()):
            for place, output in enumerate(cell.get("outputs", [])):
                if VIEW in output.get("data", {}):
                    one = Moving(self, number, place, output["data"][VIEW]["model_id"])
                    found += [one] if one.controls() else []  # a progress bar has none
        return found

    def kernel(self, expression: str, setup: str = "") -> str:
        """`str` of a Python expression in the notebook's kernel, unseen by the notebook."""
        answer = self.ask(
            "const future = panel.sessionContext.session.kernel.requestExecute({code: values[0], silent: true,"
            " store_history: false, user_expressions: {asked: `str(${values[1]})`}});"
            "return (await future.done).content",
            setup,
            expression,
        )
        asked = answer.get("user_expressions", {}).get("asked", answer)
        if asked.get("status") != "ok":
            raise RuntimeError(f"{expression}: {asked.get('ename')}: {asked.get('evalue')}")
        return ast.literal_eval(asked["data"]["text/plain"])

    # What a reader does

    def run_all(self, timeout: float = 600) -> float:
        """Runs all cells, until the last is done or one fails; returns the seconds it took."""
        return self._command("notebook:run-all-cells", timeout)

    def run_cell(self, number: int, timeout: float = 300) -> float:
        """Runs one cell, whatever ran before it."""
        self.ask("book.deselectAll(); book.activeCellIndex = values[0]", number)
        return self._command("notebook:run-cell", timeout)

    def restart(self) -> None:
        """Restarts the kernel as a reader does, with the dialog."""
        self.ask("void window.jupyterapp.commands.execute('notebook:restart-kernel')")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.wait_idle()

    def reload(self) -> None:
        """Loads the page again, as a reader does whose browser was closed; the kernel lives on."""
        self.page.reload()
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
        self.wait_idle()
        self.page.wait_for_timeout(1500)  # widgets are asked back from the kernel

    def set_theme(self, theme: str) -> None:
        """LIGHT or DARK."""
        self.ask("await window.jupyterapp.commands.execute('apputils:change-theme', {theme: values[0]})", theme)
        self.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        self.page.wait_for_timeout(500)  # the style sheet is swapped and the splash fades

    def wait_idle(self, timeout: float = 120) -> None:
        """Until the kernel has nothing to do: all that was sent to it before is answered."""
        state = f"(() => {{ {_HERE} return panel?.sessionContext?.session?.kernel?.status }})()"
        try:
            self.page.wait_for_function(f"() => {state} === 'idle'", timeout=timeout * 1000)
        except Exception as error:
            if type(error).__name__ != "TimeoutError":
                raise
            asks = self.page.locator(".jp-Dialog").all_inner_texts()
            found = f"its kernel is {self.page.evaluate(f'() => {state}')}" + (
                f"; JupyterLab asks: {asks}" if asks else ""
            )
            raise TimeoutError(f"{self.name}: not idle after {timeout:.0f} s: {found}") from None

    def screenshot(self, name: str, **how) -> Path:
        return self.tab.screenshot(name, **how)

    def close(self) -> None:
        """Ends its kernel and closes the tab."""
        self.ask("await panel.sessionContext.shutdown()")
        self.tab.close()

    def _command(self, command: str, timeout: float) -> float:
        start = time.monotonic()
        self.ask(
            "window.courseDone = false; window.courseAll = values[0] === 'notebook:run-all-cells';"
            "const done = () => { window.courseDone = true };"
            "void window.jupyterapp.commands.execute(values[0]).then(done, done);",
            command,
        )
        try:
            self.page.wait_for_function(f"() => {{ {_HERE} {_DONE} }}", timeout=timeout * 1000, polling=100)
        except Exception as error:
            if type(error).__name__ != "TimeoutError":
                raise
            code = [(i, cell) for i, cell in enumerate(self.cells()) if cell["cell_type"] == "code"]
            waiting = [i for i, cell in code if cell["execution_count"] is None]
            raise TimeoutError(
                f"{self.name}: not done after {timeout:.0f} s; cells without a count: {waiting}"
            ) from None
        self.wait_idle()
        return time.monotonic() - start
