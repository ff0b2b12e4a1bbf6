"""A course graded from end to end: what stays, what is graded again, and what one bad submission cannot do."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell
from sqlalchemy.exc import OperationalError
from test_grading import answered, course, need_sandbox, source, write

from aetutor import grading
from aetutor.grading import batch, gradebook, runner
from aetutor.grading.course import Course
from aetutor.grading.gradebook import questions

pytestmark = pytest.mark.slow
QUICK = grading.Limits(cell_seconds=10, total_seconds=40)


@pytest.fixture(autouse=True, scope="module")
def sandboxed():
    need_sandbox()


def table(root, name="small"):
    with open(root / "report" / f"{name}.csv", encoding="utf-8-sig", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def grade(root, **more):
    return {result.student: result for result in grading.grade(root, limits=QUICK, **more)}


def entered(root, student, score, name="written"):
    """What a teacher enters with formgrader."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        found = book.find_grade(name, "small", "small", student)
        found.manual_score, found.needs_manual_grade = score, False
        book.db.commit()


@pytest.fixture
def programs(monkeypatch):
    """nbgrader runs the program alembic, which is beside Python."""
    monkeypatch.setenv("PATH", os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))


def test_scores_by_hand_survive_a_regrade_unless_the_answer_changed(tmp_path):
    root = course(tmp_path, ada=answered())
    grade(root)
    assert table(root)["ada"]["status"] == "needs manual grading" and table(root)["ada"]["written"] == ""
    entered(root, "ada", 3)
    assert grade(root)["ada"].status == "kept"
    assert (table(root)["ada"]["score"], table(root)["ada"]["status"]) == ("13", "graded")
    assert grade(root, regrade=True)["ada"].status == "graded"
    assert (table(root)["ada"]["score"], table(root)["ada"]["status"]) == ("13", "graded")
    write(root / "submitted" / "ada" / "small" / "small.ipynb", answered(written="I think otherwise now."))
    assert grade(root)["ada"].status == "graded"
    assert (table(root)["ada"]["written"], table(root)["ada"]["status"]) == ("3", "needs manual grading")
    said = "written: the written answer has changed since it was scored by hand; 3 points still count"
    assert table(root)["ada"]["remarks"] == said
    assert grade(root)["ada"].status == "kept" and table(root)["ada"]["remarks"] == said  # until it is scored anew
    entered(root, "ada", 1)
    grade(root)
    row = table(root)["ada"]
    assert (row["written"], row["status"], row["remarks"]) == ("1", "graded", "")


def test_points_by_hand_that_differ_from_a_tests_are_remarked(tmp_path):
    root = course(tmp_path, ada=answered(q1="1"))
    grade(root)
    entered(root, "ada", 2, name="q1-test")
    grade(root)
    assert table(root)["ada"]["remarks"] == "q1-test: 2 points by hand, 0 by its test"
    entered(root, "ada", 0, name="q1-test")
    grade(root)
    assert table(root)["ada"]["remarks"] == ""


def test_who_is_no_longer_in_submitted_is_not_in_the_statistics(tmp_path):
    root = course(tmp_path, ada=answered(), bob=answered(q1="1"))
    grade(root)
    shutil.rmtree(root / "submitted" / "bob")
    assert set(grade(root)) == {"ada"}
    assert table(root)["bob"]["status"] == "no longer in submitted" and table(root)["ada"]["score"] == "10"
    assert "small: 1 submissions" in (root / "report" / "small.html").read_text(encoding="utf-8")
    shutil.rmtree(root / "submitted" / "ada")
    assert grade(root) == {} and table(root)["ada"]["status"] == "no longer in submitted"


def test_a_damaged_gradebook_is_one_line(tmp_path):
    root = course(tmp_path, ada=answered())
    grade(root)
    shutil.rmtree(root / "autograded")
    whole = (root / "gradebook.db").read_bytes()
    for content in (b"this is no database " * 100, whole[:8192] + b"x" * (len(whole) - 8192)):
        (root / "gradebook.db").write_bytes(content)
        with pytest.raises(grading.GradingError, match=r"^gradebook.db is damaged: restore a copy, or move it away; "):
            grade(root)
        assert (root / "gradebook.db").read_bytes() == content
    assert not (root / "autograded").exists()  # said before anything was run


def test_a_gradebook_in_use_is_one_line(tmp_path):
    root = course(tmp_path, ada=b"")
    grade(root)
    write(root / "submitted" / "bob" / "small" / "small.ipynb", b"")
    with contextlib.closing(sqlite3.connect(root / "gradebook.db", isolation_level=None)) as other:
        for kind in ("IMMEDIATE", "EXCLUSIVE"):  # others may read, others may not
            other.execute(f"BEGIN {kind}")
            with pytest.raises(grading.GradingError, match=r"^gradebook.db is in use \(by another make grade, or form"):
                grade(root)
            other.execute("ROLLBACK")
    assert set(grade(root)) == {"ada", "bob"} and set(table(root)) == {"ada", "bob"}


@pytest.mark.parametrize("text", ["attempt to write a readonly database", "unable to open database file"])
def test_a_gradebook_that_cannot_be_written_is_one_line(tmp_path, text):
    place = Course(course(tmp_path))
    with pytest.raises(grading.GradingError, match=f"^cannot write to {tmp_path}/gradebook.db: {text}$"):
        with gradebook.said(place):
            raise OperationalError("UPDATE x", {}, sqlite3.OperationalError(text))


def test_a_report_or_course_folder_that_cannot_be_written_is_one_line(tmp_path):
    root = course(tmp_path, ada=b"")
    (root / "report").write_text("in the way")
    with pytest.raises(grading.GradingError, match=f"^cannot write to {root / 'report'}: File exists$"):
        grade(root)
    (root / ".grading.lock").unlink()
    (root / ".grading.lock").mkdir()
    with pytest.raises(grading.GradingError, match=f"^cannot write to {root}: Is a directory$"):
        grade(root)


def test_two_at_once_on_one_course_are_kept_apart(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    root = course(tmp_path, ada=b"")
    with open(root / ".grading.lock", "w") as file:
        file.write("4711")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(
            grading.GradingError, match=r"another make grade is at work in this folder \(process 4711\)"
        ):
            grade(root)
    assert grade(root)["ada"].status == "unreadable"
    assert (root / ".grading.lock").read_text() == str(os.getpid())


def test_what_lies_in_a_wrong_place_is_told(tmp_path):
    root = course(tmp_path, ada=b"")
    for name in ("small.ipynb", "bob/small.ipynb", "ada/Smal1/small.ipynb", "ada/zzz/x.ipynb", ".hidden/x/y", "ada/.x"):
        write(root / "submitted" / name, b"x")
    said = []
    grade(root, progress=said.append)
    assert said[:-1] == [
        "not graded: submitted/ada/Smal1 (no assignment of that name; did you mean small?)",
        "not graded: submitted/ada/zzz (no assignment of that name)",
        "not graded: submitted/bob/small.ipynb (a file; expected it in a folder submitted/bob/ASSIGNMENT/)",
        "not graded: submitted/small.ipynb (a file; expected folders submitted/STUDENT/ASSIGNMENT/)",
    ]


def test_an_endless_loop_is_waited_for_once(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "AFTERWARDS", 1)
    notebook = answered(q1="# Question 1\ndef total(numbers):\n    while True: pass")
    notebook.cells[3:3] = [new_code_cell("import time\ntime.sleep(2)")]  # above it: has all its time
    after = next(i for i, cell in enumerate(notebook.cells) if "def total" in cell.source) + 1
    notebook.cells[after:after] = [new_code_cell("total([1])") for _ in range(3)]
    root = course(tmp_path, ada=notebook)
    (result,) = grading.grade(root, limits=grading.Limits(cell_seconds=4))
    assert [re.search(r"longer than (\d+) s", note)[1] for note in result.notes] == ["4", "1", "1", "4"]
    assert "q1-test" in result.notes[-1] and table(root)["ada"]["score"] == "8"


def test_assignments_that_nobody_handed_in_have_no_table_unless_they_are_named(tmp_path):
    root = course(tmp_path, ada=b"")
    write(root / "source" / "other" / "other.ipynb", source())
    grade(root)
    assert {path.name for path in (root / "report").iterdir()} == {"grades.csv", "small.csv", "small.html"}
    assert [row["assignment"] for row in read_all(root)] == ["small"]
    grade(root, assignments=["other"])
    assert (root / "report" / "other.csv").is_file()


def test_what_was_repaired_is_printed_once(tmp_path):
    notebook = answered()
    del notebook.cells[next(i for i, cell in enumerate(notebook.cells) if "assert total" in cell.source)]
    root, said = course(tmp_path, ada=notebook), []
    grade(root, progress=said.append)
    grade(root, progress=said.append)
    assert "\n    test cell 'q1-test' was deleted; put back" in said[0]
    assert "unchanged" in said[1] and "\n" not in said[1]


def test_a_broken_source_stops_only_its_own_assignment(tmp_path, capsys):
    from aetutor.grading.__main__ import main

    root = course(tmp_path, ada=b"")
    write(root / "source" / "other" / "other.ipynb", b"{")
    said = []
    assert [r.status for r in grading.grade(root, limits=QUICK, progress=said.append)] == ["failed", "unreadable"]
    assert said[0].startswith("other: COULD NOT BE GRADED: the source notebook") and "\n" not in said[0]
    assert table(root)["ada"]["status"].startswith("could not be read")
    assert main([str(root)]) == 1 and "1 NOT GRADED" in capsys.readouterr().out
    with pytest.raises(grading.GradingError, match="the source notebook"):
        grading.grade(root, ["other"], limits=QUICK)


def test_what_is_graded_stays_graded_until_it_or_the_source_changes(tmp_path):
    root = course(tmp_path, ada=answered(), bob=answered(q1="1"))
    assert {r.status for r in grade(root).values()} == {"graded"}
    write(root / "submitted" / "bob" / "small" / "small.ipynb", answered())
    assert {name: r.status for name, r in grade(root).items()} == {"ada": "kept", "bob": "graded"}
    assert table(root)["bob"]["q1-test"] == "2"
    changed = source()
    changed.cells[4].source = changed.cells[4].source.replace("== 3", "== 4")
    write(root / "source" / "small" / "small.ipynb", changed)
    assert {r.status for r in grade(root).values()} == {"graded"}
    assert table(root)["bob"]["q1-test"] == "0"


def test_a_notebook_that_was_left_half_written_is_graded_again(tmp_path):
    root = course(tmp_path, ada=answered())
    grade(root)
    (root / "autograded" / "ada" / "small" / "small.ipynb").write_text("{")
    assert grade(root)["ada"].status == "graded" and table(root)["ada"]["score"] == "10"


def test_an_error_of_ours_with_one_submission_is_that_ones_alone(tmp_path, monkeypatch, capsys):
    root = course(tmp_path, ada=answered(), bob=answered())
    real = batch.execute

    def broken(notebook, **more):
        if any("bob" in one.source for one in notebook.cells):
            raise KeyError("a bug")
        return real(notebook, **more)

    write(root / "submitted" / "bob" / "small" / "small.ipynb", answered(q1="# bob"))
    monkeypatch.setattr(batch, "execute", broken)
    found = grade(root)
    assert found["ada"].status == "graded" and found["bob"].status == "failed" and "a bug" in found["bob"].reason
    assert table(root)["ada"]["score"] == "10" and table(root)["bob"]["status"].startswith("could not be graded")
    from aetutor.grading.__main__ import main

    assert main([str(root)]) == 1  # the tool failed for one
    monkeypatch.undo()
    assert main([str(root)]) == 0 and "1 graded" in capsys.readouterr().out


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    root = course(tmp_path, ada=answered())
    grade(root)
    before = (root / "autograded" / "ada" / "small" / "small.ipynb").read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(batch, "_tables", lambda *a: None)
    found = grade(root, regrade=True)["ada"]
    assert found.status == "failed" and "No space left" in found.reason
    folder = root / "autograded" / "ada" / "small"
    assert (folder / "small.ipynb").read_bytes() == before
    assert [path.name for path in folder.iterdir() if path.name.endswith(".tmp")] == []


def test_who_is_known_and_handed_in_nothing_has_a_row(tmp_path, programs):
    from nbgrader.api import Gradebook

    root = course(tmp_path, ada=answered())
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        book.add_student("zoe")
    (root / "submitted" / ".hidden" / "small").mkdir(parents=True)
    (root / "submitted" / "note.txt").write_text("x")
    grade(root)
    found = table(root)
    assert (
        set(found) == {"ada", "zoe"} and found["zoe"]["status"] == "nothing submitted" and found["zoe"]["score"] == ""
    )


def test_lateness_comes_from_nbgraders_timestamp(tmp_path, programs):
    from nbgrader.api import Gradebook

    root = course(tmp_path, ada=answered(), bob=answered(), eve=answered())
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        book.add_assignment("small", duedate="2026-01-02 00:00:00 UTC")
    for name, day in (("ada", "2026-01-01 12:00:00 UTC"), ("bob", "2026-01-03 12:00:00 UTC"), ("eve", "yesterday")):
        (root / "submitted" / name / "small" / "timestamp.txt").write_text(day)
    grade(root)
    found = table(root)
    assert [found[name]["late"] for name in ("ada", "bob", "eve")] == ["no", "yes", "no"]
    assert "no time" in found["eve"]["remarks"]


@pytest.mark.parametrize("name", ["x" * 200, "a.b@c.de", "Ünïcödé", "with  spaces", "-rf", "100%", "%(x)s", "{0}"])
def test_odd_names_are_names(tmp_path, name):
    root = course(tmp_path)
    write(root / "submitted" / name / "small" / "small.ipynb", b"")
    assert grade(root)[name].status == "unreadable"
    assert (root / "feedback" / name / "small" / "small.html").is_file()


def test_a_students_page_of_feedback_runs_nothing(tmp_path):
    evil = (
        "<script>alert('evil')</script><img src=x onerror=\"alert('evil')\"><iframe src='javascript:alert(1)'></iframe>"
    )
    code = (
        "from IPython.display import HTML, Javascript, Markdown, display, publish_display_data\n"
        f"evil = {evil!r}\n"
        "display(HTML(evil), Javascript('alert(\"evil\")'), Markdown(evil))\n"
        "publish_display_data({'image/png': '\"><script>alert(\"evil\")</script>', 'text/plain': 'x'})\n"
        "publish_display_data({'image/svg+xml': '<svg onload=\"alert(\\'evil\\')\"></svg>'})\n"
        "publish_display_data({'text/latex': evil})\n"
        "publish_display_data({'image/png': 'aGk='}, {'image/png': {'width': '\"><script>alert(\"evil\")'}})\n"
        "print(evil)\nraise ValueError(evil)"
    )
    notebook = answered(written=evil)
    notebook.cells.insert(2, new_code_cell(code))
    root = course(tmp_path, eve=notebook, ada=answered())
    grade(root)
    pages = {n: (root / "feedback" / n / "small" / "small.html").read_text() for n in ("eve", "ada")}
    # What is left of it is text: as many scripts as on an honest page, and no attribute that runs anything.
    assert pages["eve"].count("<script") == pages["ada"].count("<script")
    assert not re.search(r"<[^>]*\son\w+\s*=", pages["eve"]) and "<iframe" not in pages["eve"]
    assert not re.search(r"<[^>]*javascript:", pages["eve"])
    assert "<h2" in pages["ada"] and "&lt;h2" not in pages["ada"]  # and what is honest looks as it should


def test_points_by_question_are_the_sources():
    assert [(q.name, q.points, q.written) for q in questions(source())] == [
        ("q1-test", 2, False), ("q2-test", 3, False), ("q3-test", 5, False), ("written", 4, True),
    ]  # fmt: skip


def test_ctrl_c_leaves_nothing_running_and_the_next_run_goes_on(tmp_path):
    slow = answered()
    slow.cells.insert(2, new_code_cell("import time\ntime.sleep(60)"))
    root = course(tmp_path, ada=answered(), bob=slow)
    command = [sys.executable, "-m", "aetutor.grading", str(root), "--jobs", "1", "--cell-seconds", "60"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "1 at a time" in process.stdout.readline() and "ada" in process.stdout.readline()
    time.sleep(3)
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "stays graded" in said
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert not (root / "gradebook.db").exists()
    write(root / "submitted" / "bob" / "small" / "small.ipynb", answered())
    assert {name: r.status for name, r in grade(root).items()} == {"ada": "kept", "bob": "graded"}


def test_the_grader_killed_takes_its_sandboxes_with_it(tmp_path):
    slow = answered()
    slow.cells.insert(2, new_code_cell("import time\ntime.sleep(60)"))
    root = course(tmp_path, bob=slow)
    process = subprocess.Popen([sys.executable, "-m", "aetutor.grading", str(root)], stdout=subprocess.PIPE)
    process.stdout.readline()
    end = time.monotonic() + 30
    while len(family := psutil.Process(process.pid).children(recursive=True)) < 3 and time.monotonic() < end:
        time.sleep(0.1)
    assert len(family) >= 3
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_without_a_sandbox_it_grades_the_same_and_says_what_is_not_guarded(tmp_path, capsys):
    from aetutor.grading.__main__ import main

    half = answered(q2="# Question 2\ndef root(x):\n    import os\n    os._exit(1)")
    root = course(tmp_path, ada=answered(), bob=half)
    assert main([str(root), "--unsafe", "--cell-seconds", "10"]) == 0
    assert "WARNING" in capsys.readouterr().err
    assert (table(root)["ada"]["score"], table(root)["bob"]["score"]) == ("10", "7")


def test_a_students_own_module_is_found_but_shadows_nothing(tmp_path):
    mine = answered(q1="# Question 1\nfrom mine import total")
    root = course(tmp_path, ada=mine)
    folder = root / "submitted" / "ada" / "small"
    (folder / "mine.py").write_text("def total(numbers):\n    return sum(numbers)\n")
    (folder / "numpy.py").write_text("isclose = allclose = lambda *a: True\n")
    (folder / "checks.py").write_text("check_root = print\n")
    write(
        folder / "small.ipynb", answered(q1="# Question 1\nfrom mine import total", q2="# Question 2\ndef root(x): 0")
    )
    grade(root)
    row = table(root)["ada"]
    assert [row[name] for name in ("q1-test", "q2-test", "q3-test")] == ["2", "0", "5"]


def test_after_three_restarts_the_rest_is_not_run(tmp_path):
    notebook = answered()
    for _ in range(5):
        notebook.cells.insert(2, new_code_cell("import os\nos._exit(1)"))
    root = course(tmp_path, ada=notebook)
    assert len(grade(root)["ada"].notes) == 4
    done = nbformat.read(root / "autograded" / "ada" / "small" / "small.ipynb", as_version=4)
    assert table(root)["ada"]["q3-test"] == "0" and "was not run" in json.dumps(done)


def test_time_for_the_whole_notebook_is_limited(tmp_path):
    notebook = answered()
    for _ in range(4):
        notebook.cells.insert(2, new_code_cell("import time\ntime.sleep(2)"))
    root = course(tmp_path, ada=notebook)
    begun = time.monotonic()
    (result,) = grading.grade(root, limits=grading.Limits(cell_seconds=10, total_seconds=6))
    assert time.monotonic() - begun < 60 and "longer than 6 s" in result.notes[0]
    assert table(root)["ada"]["q1-test"] == "0"


@pytest.mark.parametrize(
    "code",
    [
        "import numpy as n\nhoard = []\nwhile True:\n    hoard.append(n.ones(10**6))",
        "import os\nwhile True:\n    os.write(os.memfd_create('x'), bytes(10**7))",
        "import os\nfor _ in range(8):\n    if os.fork() == 0:\n        hoard = b'x' * 10**8\n        while True: pass",
    ],
    ids=["array", "unnamed file", "several processes"],
)
def test_memory_is_limited_for_all_of_a_submission_together(tmp_path, code):
    notebook = answered()
    notebook.cells.insert(2, new_code_cell(code))
    root = course(tmp_path, ada=notebook)
    (result,) = grading.grade(root, limits=grading.Limits(cell_seconds=30, memory_gb=0.4))
    assert result.notes == ["cell 'number 3': this cell used more than 0.4 GB of memory"]
    assert table(root)["ada"]["score"] == "10"


def test_an_assignment_by_name_is_graded_alone(tmp_path):
    root = course(tmp_path, ada=answered())
    write(root / "source" / "other" / "other.ipynb", source())
    write(root / "source" / "other" / "checks.py", (root / "source" / "small" / "checks.py").read_bytes())
    write(root / "submitted" / "ada" / "other" / "other.ipynb", answered(q1="1"))
    assert {r.assignment for r in grading.grade(root, ["small"], limits=QUICK)} == {"small"}
    assert {r.assignment for r in grading.grade(root, limits=QUICK)} == {"small", "other"}
    both = [(row["assignment"], row["score"]) for row in read_all(root)]
    assert both == [("other", "8"), ("small", "10")]


def read_all(root):
    with open(root / "report" / "grades.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
