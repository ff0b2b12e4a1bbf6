"""A small assignment that needs no torch, and what grading promises about folders, releases and the command line."""

import os
import subprocess
import sys
import zipfile

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

pytest.importorskip("nbgrader")

from aetutor import grading
from aetutor.grading import walls
from aetutor.grading.__main__ import main

# --- A small assignment, which the other test files of grading use ------------------------------------------------

SETUP = "import math\n\nimport numpy as np\nfrom checks import check_root"
CHECKS = '''class Wrong(AssertionError):
    """A wrong answer, with a hint."""


def check_root(answer):
    if abs(answer(9) - 3) > 1e-9:
        raise Wrong("The square root of 9 is not what your function gives.")
    return "root: well done"
'''
ANSWERS = {
    "q1": '# Question 1\ndef total(numbers):\n    """Their sum."""\n    return sum(numbers)',
    "q2": '# Question 2\ndef root(x):\n    """Its square root."""\n    return math.sqrt(x)',
    "q3": '# Question 3\ndef mean(array):\n    """Its mean."""\n    return float(np.mean(array))',
    "written": "It is because the numbers cancel.",
}
TESTS = {
    "q1-test": ("assert total([1, 2]) == 3", "assert total([]) == 0, 'hidden: an empty list'", 2),
    "q2-test": ("print(check_root(root))", "assert math.isclose(root(2), 2**0.5)", 3),
    "q3-test": ("assert np.isclose(mean(np.array([1.0, 3.0])), 2)", "assert np.allclose(mean(np.zeros(3)), 0)", 5),
}


def role(name, *, solution=False, points=None):
    """nbgrader's metadata."""
    grade = points is not None
    found = {"grade": grade, "solution": solution, "locked": not solution, "task": False, "schema_version": 3}
    return {"nbgrader": found | {"grade_id": name} | ({"points": points} if grade else {})}


def source():
    """The teacher's notebook."""
    cells = [
        new_markdown_cell("# A small assignment", metadata=role("title"), id="title"),
        new_code_cell(SETUP, metadata=role("setup"), id="setup"),
    ]
    for number in (1, 2, 3):
        name = f"q{number}"
        head, sign, doc, body = ANSWERS[name].split("\n")
        solved = "\n".join([head, sign, doc, "    ### BEGIN SOLUTION", body, "    ### END SOLUTION"])
        shown, hidden, points = TESTS[f"{name}-test"]
        test = f"{shown}\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS"
        cells.append(
            new_markdown_cell(f"## Question {number}\nWrite it.", metadata=role(f"{name}-text"), id=f"{name}-text")
        )
        cells.append(new_code_cell(solved, metadata=role(name, solution=True), id=name))
        cells.append(new_code_cell(test, metadata=role(f"{name}-test", points=points), id=f"{name}-test"))
    cells.append(new_markdown_cell("## Question 4\nWhy?", metadata=role("q4-text"), id="q4-text"))
    cells.append(new_markdown_cell(ANSWERS["written"], metadata=role("written", solution=True, points=4), id="written"))
    cells.append(new_markdown_cell("## An open challenge", id="challenge-text"))
    cells.append(new_code_cell("# Try something", id="challenge"))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = new_notebook(cells=cells, metadata=kernel)
    notebook.nbformat_minor = 5
    return notebook


def answered(**changes):
    """A student's copy of the release, answered rightly but for what is said."""
    notebook = grading.release(source())
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in ANSWERS:
            cell.source = changes.get(name, ANSWERS[name])
    return notebook


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else nbformat.writes(content).encode())
    return path


def course(folder, **students):
    """A course folder with the small assignment, and what students handed in."""
    write(folder / "source" / "small" / "small.ipynb", source())
    write(folder / "source" / "small" / "checks.py", CHECKS.encode())
    write(folder / "release" / "small" / "small.ipynb", grading.release(source()))
    (folder / "submitted").mkdir()
    for name, content in students.items():
        write(folder / "submitted" / name / "small" / "small.ipynb", content)
    return folder


def need_sandbox():
    """Skips where bubblewrap cannot run, unless the environment says that it must."""
    try:
        walls.need_sandbox()
    except grading.GradingError as error:
        if os.environ.get("AETUTOR_REQUIRE_SANDBOX") == "1":
            raise
        pytest.skip(str(error))


# --- Releases ---------------------------------------------------------------------------------------------------


def cell(notebook, name):
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)


def test_a_release_holds_no_solution_no_hidden_test_and_no_output():
    executed = source()
    for one in executed.cells:
        if one.cell_type == "code":
            one.outputs, one.execution_count = [nbformat.v4.new_output("stream", text="printed before")], 3
            one.metadata["execution"] = {"iopub.status.busy": "2026-01-01"}
    released = grading.release(executed)
    text = nbformat.writes(released)
    for gone in (
        "SOLUTION",
        "HIDDEN",
        "hidden:",
        "math.sqrt(x)",
        "cancel",
        "printed before",
        "2026",
        'execution_count": 3',
    ):
        assert gone not in text, gone
    assert "raise NotImplementedError()" in cell(released, "q1").source and "Their sum" in cell(released, "q1").source
    assert cell(released, "written").source == "YOUR ANSWER HERE"
    assert executed.cells[1].outputs, "the source is left as it is"


def test_a_release_is_the_same_to_the_last_byte_and_keeps_cell_ids():
    once, twice = (nbformat.writes(grading.release(source())) for _ in range(2))
    assert once == twice
    assert [c.id for c in grading.release(source()).cells] == [c.id for c in source().cells]


def test_a_release_has_the_locks_and_checksums_that_nbgrader_gives():
    from nbgrader.utils import compute_checksum

    released = grading.release(source())
    for one in released.cells:
        if "nbgrader" in one.metadata:
            assert one.metadata.nbgrader.checksum == compute_checksum(one)
            assert one.metadata.deletable is False
            assert one.metadata.get("editable", True) is bool(one.metadata.nbgrader.solution)


def test_nbgraders_validation_fails_on_every_test_of_the_release_and_passes_on_the_source(tmp_path, monkeypatch):
    from nbgrader.validator import Validator

    (tmp_path / "checks.py").write_text(CHECKS)
    monkeypatch.chdir(tmp_path)
    solved, released = write(tmp_path / "s.ipynb", source()), write(tmp_path / "r.ipynb", grading.release(source()))
    assert Validator().validate(str(solved)) == {}
    upside_down = Validator()
    upside_down.invert = True
    assert upside_down.validate(str(released)) == {}


def test_a_source_whose_regions_are_not_closed_is_refused():
    broken = source()
    cell(broken, "q1").source = cell(broken, "q1").source.replace("### END SOLUTION", "")
    with pytest.raises(grading.GradingError, match="no end solution"):
        grading.release(broken)


def test_where_nbgrader_is_missing_one_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(grading.GradingError, match=r"pip install \"aetutor\[teach\]\""):
        grading.release(source())


def test_importing_the_package_needs_neither_nbgrader_nor_a_kernel():
    code = "import sys, aetutor.grading; print({'nbgrader', 'nbformat', 'zmq', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- Course folders ---------------------------------------------------------------------------------------------


@pytest.fixture
def origin(tmp_path):
    """A folder with source/ and release/, as the repository has one."""
    folder = tmp_path / "assignments"
    write(folder / "source" / "small" / "small.ipynb", source())
    write(folder / "source" / "small" / "checks.py", CHECKS.encode())
    write(folder / "release" / "small" / "small.ipynb", b"old")
    return folder


def test_set_up_makes_a_folder_and_overwrites_nothing(tmp_path, origin):
    added = grading.set_up(tmp_path / "course", assignments=origin)
    assert "source/small/small.ipynb" in added and "nbgrader_config.py" in added
    mine = write(tmp_path / "course" / "source" / "small" / "small.ipynb", b"mine")
    (tmp_path / "course" / "release" / "small" / "small.ipynb").unlink()
    assert grading.set_up(tmp_path / "course", assignments=origin) == ["release/small/small.ipynb"]
    assert mine.read_bytes() == b"mine"


@pytest.mark.slow
def test_nbgraders_own_commands_understand_the_folder(tmp_path, origin):
    folder = tmp_path / "a course"
    grading.set_up(folder, assignments=origin)
    (folder / "release" / "small" / "small.ipynb").unlink()
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", "small", "--force"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr
    made = nbformat.read(folder / "release" / "small" / "small.ipynb", as_version=4)
    ours = grading.release(source())
    assert [c.source for c in made.cells] == [c.source for c in ours.cells]
    assert [c.metadata.get("nbgrader") for c in made.cells] == [c.metadata.get("nbgrader") for c in ours.cells]
    assert (folder / "gradebook.db").is_file()


@pytest.mark.slow
def test_nbgrader_sorts_archives_of_moodle_and_canvas_into_the_folder(tmp_path, origin):
    folder = tmp_path / "course"
    grading.set_up(folder, assignments=origin)
    archives = folder / "downloaded" / "small" / "archive"
    archives.mkdir(parents=True)
    with zipfile.ZipFile(archives / "moodle.zip", "w") as moodle:
        moodle.writestr("Ada Lovelace_12345_assignsubmission_file_/small.ipynb", "ada")
        moodle.writestr("Émile Zola_99_assignsubmission_file_/small (1).ipynb", "zola")
        moodle.writestr("Émile Zola_99_assignsubmission_file_/holiday.jpg", "x")
        moodle.writestr("Fred Sanger_7_assignsubmission_file_small.ipynb", "sanger")
        moodle.writestr("Mary Somerville_8_assignsubmission_file_/my work/small.ipynb", "somerville")
    with zipfile.ZipFile(archives / "canvas.zip", "w") as canvas:
        canvas.writestr("turingalan_4711_815_small-1.ipynb", "turing")
        canvas.writestr("hoppergrace_LATE_4712_816_small.ipynb", "hopper")
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    command = [sys.executable, "-m", "nbgrader", "zip_collect", "small"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr
    found = {path.parents[1].name: path.read_text() for path in (folder / "submitted").rglob("*.ipynb")}
    moodle = {"Ada Lovelace": "ada", "Émile Zola": "zola", "Fred Sanger": "sanger", "Mary Somerville": "somerville"}
    assert found == moodle | {"turingalan": "turing", "hoppergrace": "hopper"}


@pytest.mark.parametrize(("place", "words"), [("nowhere", "is no folder"), (".", "no folder `source`")])
def test_what_is_no_course_folder_is_refused(tmp_path, place, words):
    with pytest.raises(grading.GradingError, match=words):
        grading.grade(tmp_path / place)


def test_an_assignment_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(grading.GradingError, match=r"'large'.*small"):
        grading.grade(course(tmp_path), ["large"])


def test_a_source_that_is_no_notebook_is_refused(tmp_path):
    write(course(tmp_path) / "source" / "small" / "small.ipynb", b"{}")
    with pytest.raises(grading.GradingError, match=r"small\.ipynb"):
        grading.grade(tmp_path)


def test_no_assignments_to_copy_is_said_so(tmp_path):
    with pytest.raises(grading.GradingError, match="--assignments"):
        grading.set_up(tmp_path / "course", assignments=tmp_path)


@pytest.mark.parametrize("name", ["cell_seconds", "total_seconds", "memory_gb", "processes", "disk_mb", "output_mb"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "3", True])
def test_a_limit_is_a_number_above_0(name, value):
    with pytest.raises(ValueError, match=name):
        grading.Limits(**{name: value})


@pytest.mark.parametrize("jobs", [0, 1.5, True])
def test_jobs_is_a_whole_number_above_0(tmp_path, jobs):
    with pytest.raises(ValueError, match="jobs"):
        grading.grade(tmp_path, jobs=jobs)


# --- The command line -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--jobs", "0", "x"], ["--memory-gb", "-1", "x"], ["--nonsense"]])
def test_a_wrong_option_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2 and "python -m aetutor.grading" in capsys.readouterr().err


def test_a_folder_that_is_none_ends_with_status_1_and_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_release_and_setup_from_the_command_line(tmp_path, origin, capsys):
    assert main(["--release", "--assignments", str(origin)]) == 0
    made = nbformat.read(origin / "release" / "small" / "small.ipynb", as_version=4)
    assert nbformat.writes(made) == nbformat.writes(grading.release(source()))
    assert main(["--setup", str(tmp_path / "course"), "--assignments", str(origin)]) == 0
    assert "is ready" in capsys.readouterr().out


def test_without_bubblewrap_it_refuses_and_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda name: None)
    walls._bwrap.cache_clear()
    try:
        assert main([str(course(tmp_path, ada=answered()))]) == 1
    finally:
        walls._bwrap.cache_clear()
    said = capsys.readouterr().err
    assert "bubblewrap" in said and "--unsafe" in said
    assert not (tmp_path / "autograded").exists() and not (tmp_path / "gradebook.db").exists()


def test_where_no_sandbox_can_be_made_it_refuses(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(walls, "_bwrap", lambda: "false")
    monkeypatch.setattr(walls, "_abilities", lambda: "")
    walls._refused.cache_clear()
    try:
        assert main([str(course(tmp_path, ada=answered()))]) == 1
    finally:
        walls._refused.cache_clear()
    assert "cannot make a sandbox" in capsys.readouterr().err
