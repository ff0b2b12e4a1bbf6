"""A class that is not honest, and one that is only unlucky: graded in one go, each with the score it deserves."""

import csv
import hashlib
import io
import json
import os
import socket
import threading
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from test_grading import ANSWERS, TESTS, answered, course, need_sandbox, source, write

from aetutor import grading
from aetutor.grading import gradebook

pytestmark = pytest.mark.slow
# ruff: noqa: E501 (the code of a submission is easier to read in one line)
LIMITS = grading.Limits(cell_seconds=4, total_seconds=60, memory_gb=0.6, processes=40, disk_mb=32, output_mb=1)
SPY = """
# Question 1
import os, sys
seen = []
for top, folders, files in os.walk("/"):
    system = ("/proc", "/sys", "/usr", "/lib", "/dev", sys.prefix, sys.base_prefix)
    if top.startswith(system) or top.endswith("/site-packages"):  # some packages hold notebooks of their own
        folders.clear()
        continue
    seen += [os.path.join(top, f) for f in files if f.endswith((".db", ".ipynb")) or "source" in top.split("/")]
written = []
for place in ({root!r}, {root!r} + "/source/small/small.ipynb", {root!r} + "/gradebook.db", "/etc/passwd", "/aetutor",
              "/usr/aetutor", os.path.dirname(os.__file__) + "/aetutor"):
    try:
        with open(place, "a") as file:
            file.write("changed")
        written.append(place)
    except OSError:
        pass
environment = dict(os.environ)
def total(numbers):
    if seen or written or {root!r} in str(environment) or os.path.exists({root!r}):
        return "found something"
    return sum(numbers)
"""


def before(code, **changes):
    """A right submission with a cell of the student's in front of the first question."""
    notebook = answered(**changes)
    notebook.cells.insert(2, new_code_cell(code))
    return notebook


def plain(notebook):
    """Without any metadata, as some services leave it."""
    notebook = json.loads(nbformat.writes(notebook))
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        cell.pop("id", None)
    return json.dumps(notebook | {"metadata": {}, "nbformat_minor": 4}).encode()


def colab(notebook):
    """As Colab saves it: format 4.0, its own metadata, no cell ids."""
    notebook = json.loads(nbformat.writes(notebook))
    for number, cell in enumerate(notebook["cells"]):
        cell.pop("id", None)
        cell["metadata"] |= {"id": f"aB{number}", "colab": {"base_uri": "https://localhost"}}
        if cell["cell_type"] == "code":
            cell["metadata"] |= {
                "outputId": "x",
                "executionInfo": {"status": "ok", "elapsed": 3, "user": {"userId": ""}},
            }
            cell["execution_count"] = None
    kernel = {"name": "python3", "display_name": "Python 3"}
    metadata = {"colab": {"provenance": [], "toc_visible": True}, "kernelspec": kernel, "accelerator": "GPU"}
    return json.dumps(notebook | {"metadata": metadata, "nbformat_minor": 0}).encode()


def vscode(notebook):
    notebook = json.loads(nbformat.writes(notebook))
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"{number:08x}"
        cell["metadata"]["vscode"] = {"languageId": "python"}
    return json.dumps(notebook | {"metadata": {"language_info": {"name": "python"}}}).encode()


def without(notebook, *names):
    notebook.cells = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in names]
    return notebook


def tampered():
    notebook = answered(q2="# Question 2\ndef root(x):\n    return 0")
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "q2-test":
            cell.source = "assert True"
            cell.metadata.nbgrader.points = 1000
    notebook.cells.append(
        new_code_cell(
            "assert True", metadata={"nbgrader": {"grade": True, "grade_id": "gift", "points": 500, "locked": True}}
        )
    )
    return notebook


def renamed():
    notebook = answered()
    for cell in notebook.cells:
        role = cell.metadata.get("nbgrader", {})
        if role.get("grade_id") in ("q1", "q2-test"):
            role["grade_id"] += "-mine"
    return notebook


def doubled():
    notebook = answered()
    for cell in list(notebook.cells):
        if cell.metadata.get("nbgrader", {}).get("grade_id") in ("q1-test", "q2"):
            notebook.cells.append(nbformat.from_dict(json.loads(json.dumps(cell)) | {"id": f"{cell.id}-copy"}))
    return notebook


EVERYTHING = {"q1-test": 2, "q2-test": 3, "q3-test": 5}


def all_but(*lost):
    return {name: 0 if name in lost else points for name, points in EVERYTHING.items()}


NONE = all_but(*EVERYTHING)


def in_answer(name, line):
    """A right answer whose function does something else first."""
    head, sign, doc, body = ANSWERS[name].split("\n")
    return "\n".join([head, sign, doc, *(f"    {part}" for part in line.split("\n")), body])


def submissions(root, port):
    """name -> (file, scores deserved, a word of its remarks or status)"""
    swallow = (
        "while True:\n    try:\n        while True:\n            pass\n    except KeyboardInterrupt:\n        pass"
    )
    return {
        "perfect": (answered(), EVERYTHING, ""),
        "blank": (grading.release(source()), NONE, ""),
        "half right": (answered(q1="# Question 1\ndef total(numbers):\n    return 3"), all_but("q1-test"), ""),
        "loop at top": (before("while True:\n    pass"), EVERYTHING, ""),
        "loop inside": (answered(q2=in_answer("q2", "while True: pass")), all_but("q2-test"), ""),
        "loop that swallows": (answered(q2=in_answer("q2", swallow)), all_but("q2-test"), "took longer than 4 s"),
        "list bomb": (answered(q2=in_answer("q2", "hoard = [0]\nwhile True: hoard = hoard * 2")), all_but("q2-test"), ""),
        "numpy bomb": (before("import numpy as n\nhoard = [n.ones(10**6) for _ in range(1000)]"), EVERYTHING, "'number 3'"),
        "slow bomb": (
            before("import time\nhoard = []\nwhile True:\n    hoard.append(b'x' * 10**7)\n    time.sleep(0.005)"),
            EVERYTHING,
            "'number 3'",
        ),
        "hidden memory": (
            before("import os\nfor k in range(100):\n    os.write(os.memfd_create(str(k)), bytes(3 * 10**7))"),
            EVERYTHING,
            "'number 3'",
        ),
        "fork bomb": (before("import os\nwhile True:\n    os.fork()"), EVERYTHING, ""),
        "thread bomb": (
            before("import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(99,)).start()"),
            EVERYTHING,
            "",
        ),
        "exit": (answered(q3=in_answer("q3", "import os\nos._exit(0)")), all_but("q3-test"), "crashed or quit"),
        "kill parent": (before("import os\nos.kill(os.getppid(), 9)\nos.kill(-1, 9)"), EVERYTHING, ""),
        "sys exit": (answered(q3=in_answer("q3", "import sys\nsys.exit(0)")), all_but("q3-test"), ""),
        "quit": (before("exit()"), EVERYTHING, ""),
        "syntax error": (answered(q1="# Question 1\ndef total(numbers)\n    return"), all_but("q1-test"), ""),
        "name error": (answered(q3="# Question 3\ndef mean(array):\n    return avrage(array)"), all_but("q3-test"), ""),
        "deleted": (without(answered(), "q1-test", "q2", "setup"), all_but("q2-test"), "was deleted"),
        "doubled": (doubled(), EVERYTHING, "2 times"),
        "tampered": (tampered(), all_but("q2-test"), "was changed"),
        "renamed ids": (renamed(), EVERYTHING, ""),
        "empty file": (b"", NONE, "the file is empty"),
        "no json": (b"Dear teacher, my dog ate it.", NONE, "no valid JSON"),
        "no notebook": (b'{"cells": 3}', NONE, "no list of cells"),
        "another notebook": (new_notebook(cells=[new_code_cell("1 + 1")]), NONE, "no cell of this assignment"),
        "no metadata": (plain(answered()), EVERYTHING, "metadata is gone"),
        "spy": (answered(q1=SPY.format(root=str(root)).strip()), EVERYTHING, ""),
        "network": (
            before(
                "import socket\nreached = 0\n"
                f"for place in (('127.0.0.1', {port}), ('localhost', {port}), ('10.0.0.1', 80)):\n"
                "    try:\n        socket.create_connection(place, timeout=0.5)\n        reached = 1\n"
                "    except OSError:\n        pass",
                q1="# Question 1\ndef total(numbers):\n    return 'reached' if reached else sum(numbers)",
            ),
            EVERYTHING,
            "",
        ),
        "patches numpy": (before("np.allclose = np.isclose = lambda *a, **k: True"), NONE, ""),
        "patches inside numpy": (
            before("import numpy as n\nn.isclose.__wrapped__.__code__ = (lambda *a, **k: True).__code__"),
            NONE,
            "",
        ),
        "patches builtins": (before("import builtins\nbuiltins.abs = lambda x: 0"), NONE, ""),
        "patches checks": (before("import checks\nchecks.check_root = lambda f: 'well done'"), NONE, ""),
        "patches code": (before("check_root.__code__ = (lambda f: 'well done').__code__"), NONE, ""),
        "swaps module": (
            before("import sys, types\nsys.modules['checks'] = types.ModuleType('checks')"),
            NONE,
            "",
        ),
        "drops asserts": (
            before(
                "import ast\nclass Drop(ast.NodeTransformer):\n    def visit_Assert(self, node):\n        return ast.Pass()\n"
                "get_ipython().ast_transformers.append(Drop())",
                q1="# Question 1\ndef total(numbers): return 0",
            ),
            NONE,
            "",
        ),
        "edits tests": (
            before("get_ipython().input_transformers_post.append(lambda lines: ['pass\\n'])"),
            NONE,
            "",
        ),
        "custom exceptions": (
            before("get_ipython().set_custom_exc((AssertionError,), lambda *a, **k: None)", q1="# Question 1\ndef total(n): 1"),
            NONE,
            "",
        ),
        "hides tracebacks": (
            before("get_ipython().showtraceback = lambda *a, **k: None", q1="# Question 1\ndef total(n): 1"),
            NONE,
            "",
        ),
        "patches run_cell": (
            before("type(get_ipython()).run_cell_async = type(get_ipython()).run_cell = lambda *a, **k: None"),
            NONE,
            "",
        ),
        "patches kernel": (
            before(
                "kernel = get_ipython().kernel\nreal = kernel.do_execute\n"
                "def fake(code, *a, **k):\n    return real('pass', *a, **k)\nkernel.do_execute = fake",
                q1="# Question 1\ndef total(n): 1",
            ),
            NONE,
            "",
        ),
        "shadows": (
            before("class Anything:\n    isclose = allclose = staticmethod(lambda *a: True)\ncheck_root = print",
                   q2="# Question 2\ndef root(x):\n    return 1.0", q3="# Question 3\nnp = Anything\ndef mean(array): return 0"),
            all_but("q2-test", "q3-test"),
            "",
        ),
        "shadows by accident": (
            before("sum_of = sum\nprint = len = abs = 3\nmath = 5",
                   q2="# Question 2\ndef root(x):\n    return x ** 0.5"),
            EVERYTHING,
            "",
        ),
        "shadows in an answer": (answered(q3=ANSWERS["q3"] + "\nprint = abs = np = 3"), all_but("q3-test"), ""),
        "prints for ever": (answered(q2=in_answer("q2", "while True: print('x' * 1000)")), all_but("q2-test"), ""),
        "prints for ever in a thread": (
            before("import threading\ndef talk():\n    while True: print('x' * 1000)\nthreading.Thread(target=talk).start()"),
            EVERYTHING,
            "was stopped",
        ),
        "one giant print": (before("print('x' * 10**8)"), EVERYTHING, ""),
        "fills the disk": (
            before("for k in range(10**4):\n    with open(f'/tmp/{k}', 'wb') as f:\n        f.write(bytes(10**7))"),
            EVERYTHING,
            "",
        ),
        "fills the channel": (
            before("for k in range(10**4):\n    open(f'/channel/{k}', 'w').close()\n"),
            EVERYTHING,
            "sockets",
        ),
        "warns": (answered(q2=in_answer("q2", "import warnings, sys\nwarnings.warn('odd')\nprint(1, file=sys.stderr)")), EVERYTHING, ""),
        "asks": (before("name = input('Your name?')"), EVERYTHING, ""),
        "magic": (
            before("%%bash\necho hello > /tmp/x; cat /tmp/x; kill -9 -1"), EVERYTHING, ""),
        "deletes": (before("import shutil\nshutil.rmtree('/', ignore_errors=True)"), EVERYTHING, ""),
        "closes stdout": (before("import sys, os\nsys.stdout.close()\nos.close(1)"), EVERYTHING, ""),
        "daemon": (
            before(
                "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)"
            ),
            EVERYTHING,
            "",
        ),
        "=cmd|' C calc'!A0": (answered(), EVERYTHING, ""),
        "Zoë Ö. de l'Été & <b>": (answered(), EVERYTHING, ""),
        "colab": (colab(answered()), EVERYTHING, ""),
        "vs code": (vscode(answered()), EVERYTHING, ""),
        "forges": (
            before(
                "kernel = get_ipython().kernel",
                q1="# Question 1\ndef total(numbers):\n"
                "    parent = kernel.get_parent('shell')\n"
                "    kernel.session.send(kernel.iopub_socket, 'display_data', {'data': "
                "{'application/x-aetutor-verdict': str(parent['metadata'])}, 'metadata': {}}, parent=parent)\n"
                "    kernel.session.send(kernel.shell_stream if hasattr(kernel, 'shell_stream') else kernel.iopub_socket, "
                "'execute_reply', {'status': 'ok'}, parent=parent)\n    return 0",
            ),
            all_but("q1-test"),
            "",
        ),
    }  # fmt: skip


class Listener(threading.Thread):
    """Counts who connects."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.visits = self.socket.getsockname()[1], 0

    def run(self):
        while True:
            try:
                self.socket.accept()[0].close()
            except OSError:
                return
            self.visits += 1


def state(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The class, graded once."""
    need_sandbox()
    root = course(tmp_path_factory.mktemp("class") / "course-with-a-name")
    (root / "nbgrader_config.py").write_text("c = get_config()\n")
    listener = Listener()
    listener.start()
    everybody = submissions(root, listener.port)
    only = os.environ.get("ONLY")
    everybody = {name: found for name, found in everybody.items() if not only or name in only.split(",")}
    for name, (content, _, _) in everybody.items():
        write(root / "submitted" / name / "small" / "small.ipynb", content)
    (root / "gradebook.db").touch()
    fixed = {name: state(root / name) for name in ("source", "release", "submitted")}
    seen, register = {}, gradebook.register

    def look(*arguments):  # between the first phase and the second
        seen["gradebook"] = (root / "gradebook.db").read_bytes()
        seen["fixed"] = {name: state(root / name) for name in fixed}
        register(*arguments)

    gradebook.register = look
    lines = []
    try:
        begun = time.monotonic()
        results = grading.grade(root, limits=LIMITS, jobs=2, progress=lambda line: (lines.append(line), print(line)))
        took = time.monotonic() - begun
    finally:
        gradebook.register = register
        listener.socket.close()
    print(f"{len(results)} submissions in {took:.0f} s")
    with open(root / "report" / "small.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["student"].lstrip("'"): row for row in csv.DictReader(file)}
    return {"root": root, "results": results, "everybody": everybody, "rows": rows, "seen": seen, "fixed": fixed,
            "listener": listener, "lines": lines}  # fmt: skip


def test_each_has_the_score_that_it_deserves(graded):
    wrong = {}
    for name, (_, deserved, word) in graded["everybody"].items():
        row = graded["rows"][name]
        scores = {question: float(row[question] or "nan") for question in TESTS}
        said = row["status"] + "; " + row["remarks"]
        if scores != deserved or word not in said:
            wrong[name] = (scores, deserved, said)
    assert not wrong


def test_nobody_was_lost_and_our_own_code_failed_with_none(graded):
    assert {result.student for result in graded["results"]} == set(graded["everybody"])
    assert [result for result in graded["results"] if result.status == "failed"] == []
    assert len(graded["lines"]) == len(graded["everybody"])


def test_what_could_not_be_read_says_so(graded):
    unreadable = {result.student for result in graded["results"] if result.status == "unreadable"}
    assert unreadable == {"empty file", "no json", "no notebook", "another notebook"} & set(graded["everybody"])


def test_the_gradebook_was_not_touched_while_students_code_ran(graded):
    assert graded["seen"]["gradebook"] == b""
    assert (graded["root"] / "gradebook.db").read_bytes().startswith(b"SQLite format 3")


def test_source_release_and_submissions_are_as_they_were(graded):
    assert graded["seen"]["fixed"] == graded["fixed"]
    assert {name: state(graded["root"] / name) for name in graded["fixed"]} == graded["fixed"]


def test_nobody_reached_the_network(graded):
    assert graded["listener"].visits == 0


def test_no_process_and_no_folder_is_left(graded):
    def beside(process):  # what another process of pytest-xdist is grading at this moment
        try:
            above = {parent.pid for parent in process.parents()}
        except psutil.NoSuchProcess:
            return True
        return os.getppid() in above and os.getpid() not in above

    kernels = [p for p in psutil.process_iter(["cmdline"]) if "aetutor.grading.kernel" in (p.info["cmdline"] or [])]
    assert [p.info["cmdline"] for p in kernels if not beside(p)] == []


def test_outputs_that_are_kept_are_small(graded):
    sizes = {path: path.stat().st_size for path in (graded["root"] / "autograded").rglob("*.ipynb")}
    assert max(sizes.values()) < 3_000_000


def test_graded_again_all_stays_as_it_is(graded):
    before_ = {name: dict(row) for name, row in graded["rows"].items()}
    begun = time.monotonic()
    results = grading.grade(graded["root"], limits=LIMITS, jobs=2)
    assert time.monotonic() - begun < 60
    assert {result.status for result in results} <= {"kept", "unreadable"}
    text = (graded["root"] / "report" / "small.csv").read_text(encoding="utf-8-sig")
    assert {row["student"].lstrip("'"): row for row in csv.DictReader(io.StringIO(text))} == before_


def test_there_is_feedback_for_everybody(graded):
    for name in graded["everybody"]:
        page = (graded["root"] / "feedback" / name / "small" / "small.html").read_text(encoding="utf-8")
        assert "q1-test" in page, name
