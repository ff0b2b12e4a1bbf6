"""The assignments: their form, the student copies, and for each question the answers that are plausible and wrong.

`tests/wrong/NAME.py` holds the wrong answers to the questions of assignment NAME, in cells with the heads

    # %% q3 transposed            the checks that students see have to find it, as the mistake "transposed"
    # %% q3 value hidden          only the hidden tests find it
"""

import contextlib
import csv
import io
import json
import os
import re
import tomllib
from pathlib import Path

import matplotlib
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from aetutor.exercises import Wrong

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks" / "assignments"
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
NAMES = [
    "01_gradient",
    "02_budget",
    "03_sizes",
    "04_noise",
    "05_posterior",
    "06_samplers",
]
LEVELS = ["Warm-up", "Practice", "Thought"]
HEADING = re.compile(
    r"## Question (\d) · \S.*\n\n\*(Warm-up|Practice|Thought) · (\d+) minutes · (\d+) points?\*(?:\n|$)"
)
WRITTEN = re.compile(r"## Written question · \S.*\n\n\*(\w+) · (\d+) minutes · (\d+) points?, graded by hand\*\n")
BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"

assignment = pytest.mark.parametrize("name", NAMES)


def read(name: str, version: str = "source") -> list[dict]:
    cells = json.loads((FOLDER / version / name / f"{name}.ipynb").read_text("utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def graded(cell: dict) -> dict:
    return cell["metadata"].get("nbgrader", {})


def by_id(cells: list[dict]) -> dict[str, dict]:
    return {graded(cell)["grade_id"]: cell for cell in cells if graded(cell)}


def questions(cells: list[dict]) -> list[str]:
    return [name.removesuffix("-test") for name in by_id(cells) if name.endswith("-test")]


def prose(cells: list[dict]) -> str:
    return "\n\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")


def hidden(test: str) -> tuple[str, str]:
    """The tests that a student sees, and those that only grading runs."""
    seen, rest = test.split(BEGIN)
    inside, after = rest.split(END)
    assert not after.strip(), "hidden tests come last"
    return seen, inside


# --- Form -----------------------------------------------------------------------------------------------------


def test_there_is_one_assignment_for_each_chapter():
    assert sorted(path.parent.name for path in FOLDER.glob("source/*/*.ipynb")) == NAMES
    assert sorted(path.parent.name for path in FOLDER.glob("release/*/*.ipynb")) == NAMES


@assignment
def test_it_opens_with_what_is_practised_and_works_alone_on_colab(name):
    cells = read(name)
    first = cells[0]["source"]
    assert re.match(rf"# Assignment {name[:2]} · \S", first)
    assert re.search(r"^\*\*.+\*\*$", first, re.M), "the one-line promise, in bold"
    for row in ("You practise", "You need", "Time", "Points"):
        assert f"| **{row}** |" in first
    owner = REPOSITORY.removeprefix("https://github.com/")
    path = f"notebooks/assignments/release/{name}/{name}.ipynb"
    assert f"https://colab.research.google.com/github/{owner}/blob/main/{path}" in first
    assert f"https://mybinder.org/v2/gh/{owner}/main?labpath={path}" in first
    setup = by_id(cells)["setup"]["source"]
    assert cells.index(by_id(cells)["setup"]) == next(i for i, c in enumerate(cells) if c["cell_type"] == "code")
    assert 'importlib.util.find_spec("aetutor") is None' in setup
    assert f'%pip install --quiet "aetutor @ git+{REPOSITORY}"' in setup
    assert f'runtime.start("assignment_{name}")' in setup


@assignment
def test_its_questions_state_level_minutes_and_points_and_climb(name):
    cells = by_id(read(name))
    asked = questions(read(name))
    assert asked == [f"q{number}" for number in range(1, len(asked) + 1)] and 5 <= len(asked) <= 8
    levels, minutes, points = [], 0, 0
    for number, question in enumerate(asked, 1):
        heading = HEADING.match(cells[f"{question}-text"]["source"])
        assert heading, cells[f"{question}-text"]["source"][:200]
        assert int(heading[1]) == number
        assert int(heading[4]) == graded(cells[f"{question}-test"])["points"]
        levels.append(LEVELS.index(heading[2]))
        minutes, points = minutes + int(heading[3]), points + int(heading[4])
    assert levels == sorted(levels) and set(levels) == {0, 1, 2}
    written = WRITTEN.match(cells["written-text"]["source"])
    assert written and int(written[3]) == graded(cells["written"])["points"]
    assert sum(map(int, re.findall(r"^\| (\d+) \|", cells["written-text"]["source"], re.M))) == int(written[3]), (
        "rubric"
    )
    minutes, points = minutes + int(written[2]), points + int(written[3])
    assert 60 <= minutes <= 90
    first = read(name)[0]["source"]
    assert re.search(rf"^\| \*\*Time\*\* \| .*\b{minutes} minutes\b", first, re.M)
    assert re.search(rf"^\| \*\*Points\*\* \| {points}\b", first, re.M)


@assignment
def test_its_cells_are_marked_for_nbgrader(name):
    for grade_id, cell in by_id(read(name)).items():
        marks = graded(cell)
        kind = cell["cell_type"], marks["grade"], marks["solution"], marks["locked"]
        if grade_id.endswith("-test"):
            assert kind == ("code", True, False, True)
        elif grade_id == "written":
            assert kind == ("markdown", True, True, False)
        elif re.fullmatch(r"q\d", grade_id):
            assert kind == ("code", False, True, False)
            assert cell["source"].startswith(f"# Question {grade_id[1]}\n")
        else:
            assert kind == ("markdown" if grade_id.endswith("-text") else "code", False, False, True)
    assert len(by_id(read(name))) == sum(bool(graded(cell)) for cell in read(name)), "an id is used twice"


@assignment
def test_a_stub_has_a_signature_and_a_docstring_and_a_test_has_both_halves(name):
    released = by_id(read(name, "release"))
    cells = by_id(read(name))
    for question in questions(read(name)):
        stub = released[question]["source"]
        assert re.search(r"^def \w+\(", stub, re.M) and '"""' in stub
        assert "raise NotImplementedError" in stub
        seen, unseen = hidden(cells[f"{question}-test"]["source"])
        assert "exercises.check_" in seen and unseen.strip()


@assignment
def test_it_ends_with_an_open_challenge_that_prints_a_number_for_a_leaderboard(name):
    cells = read(name)
    headings = re.findall(r"^## (.+)$", prose(cells), re.M)
    assert headings[-1].startswith("Challenge · ")
    last = [cell for cell in cells if cell["cell_type"] == "code"][-1]
    printed = "".join("".join(output.get("text", "")) for output in last["outputs"])
    assert re.search(rf"^Leaderboard {name}: \d", printed, re.M)
    assert "validation" in prose(cells).split("## Challenge · ")[1]


@assignment
def test_its_prose_keeps_the_house_rules(name):
    words = prose(read(name))
    assert not re.findall(r"\b(simpl[ey]|simplest|obvious(ly)?|trivial(ly)?|of course|clearly|just)\b", words, re.I)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", words):
        assert (FOLDER / "release" / name / target).exists(), target
    for cell in read(name):
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error"
            if "image/png" in output.get("data", {}):
                assert len(output["metadata"]["image/png"]["alt"]) > 20


@assignment
def test_it_repeats_no_code_of_its_chapter(name):
    (chapter,) = (ROOT / "notebooks").glob(f"{name[:2]}_*.ipynb")
    cells = json.loads(chapter.read_text("utf-8"))["cells"]
    taught = [line.strip() for cell in cells if cell["cell_type"] == "code" for line in cell["source"]]
    taught = [line for line in taught if line and not line.startswith("#")]
    known = {tuple(taught[i : i + 4]) for i in range(len(taught) - 3)}
    for grade_id, cell in by_id(read(name)).items():
        lines = [line.strip() for line in cell["source"].splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        again = [lines[i : i + 4] for i in range(len(lines) - 3) if tuple(lines[i : i + 4]) in known]
        assert grade_id == "setup" or not again, again


def test_the_teachers_readme_lists_them_with_their_minutes_and_points():
    readme = (FOLDER / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(release/\1/\1\.ipynb\) .+ \| (\d+) \| (\d+), (\d+) \|$", readme, re.M)
    said = []
    for name in NAMES:
        first = read(name)[0]["source"]
        minutes = re.search(r"^\| \*\*Time\*\* \| (\d+) minutes", first, re.M)[1]
        points, by_hand = re.search(r"^\| \*\*Points\*\* \| (\d+), of which (\d+)", first, re.M).groups()
        said.append((name, minutes, points, by_hand))
    assert rows == said


# --- Student copies -------------------------------------------------------------------------------------------


@assignment
def test_the_student_copy_is_what_the_source_gives(name):
    nbformat, grading = pytest.importorskip("nbformat"), pytest.importorskip("aetutor.grading")
    pytest.importorskip("nbgrader")
    source = nbformat.read(FOLDER / "source" / name / f"{name}.ipynb", as_version=4)
    made = nbformat.writes(grading.release(source))
    kept = (FOLDER / "release" / name / f"{name}.ipynb").read_text("utf-8")
    assert made.rstrip("\n") == kept.rstrip("\n"), "run: make release"


@assignment
def test_the_student_copy_holds_no_solution_no_hidden_test_and_no_output(name):
    kept = (FOLDER / "release" / name / f"{name}.ipynb").read_text("utf-8")
    assert "BEGIN SOLUTION" not in kept and "HIDDEN TESTS" not in kept
    cells, released = by_id(read(name)), by_id(read(name, "release"))
    assert list(cells) == list(released)
    for question in questions(read(name)):
        for part in (cells[question]["source"].split("### BEGIN SOLUTION")[1:], [f"x{BEGIN}"]):
            lines = {line.strip() for text in part for line in text.split("### END SOLUTION")[0].splitlines()}
            assert not {line for line in lines if len(line) > 30} & set(map(str.strip, kept.splitlines()))
        unseen = hidden(cells[f"{question}-test"]["source"])[1]
        assert unseen.strip() not in released[f"{question}-test"]["source"]
        assert released[f"{question}-test"]["source"].strip() == hidden(cells[f"{question}-test"]["source"])[0].strip()
    assert cells["written"]["source"] not in kept
    for cell in read(name, "release"):
        assert not cell.get("outputs") and cell.get("execution_count") is None


# --- Right, blank and wrong answers ---------------------------------------------------------------------------


def wrong_answers(name: str) -> list[tuple[str, str, bool, str]]:
    """(question, mistake, found by hidden tests only, code) of each wrong answer."""
    path = ROOT / "tests" / "wrong" / f"{name}.py"
    parts = re.split(r"^# %% (.+)\n", path.read_text("utf-8"), flags=re.M)[1:] if path.exists() else []
    found = []
    for head, code in zip(parts[::2], parts[1::2], strict=True):
        question, mistake, *rest = head.split()
        assert rest in ([], ["hidden"]), head
        found.append((question, mistake, bool(rest), code))
    return found


def run(code: str, names: dict, label: str = "cell") -> None:
    # The set-up cell holds a magic, behind an `if` that is false here.
    code = TransformerManager().transform_cell(code)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(code, f"<{label}>", "exec"), names)


@pytest.fixture(scope="module")
def states():
    """name -> {question: the names that are defined before it, when all before it is answered right}; and the cells."""
    made = {}

    def before(name: str):
        if name not in made:
            cells, names, kept = read(name), {"__name__": "__main__", "get_ipython": None}, {}
            old, here = matplotlib.get_backend(), os.getcwd()
            matplotlib.use("Agg")
            for cell in cells:
                grade_id = graded(cell).get("grade_id", "")
                if cell["cell_type"] == "code" and not grade_id.endswith("-test"):
                    if re.fullmatch(r"q\d", grade_id):
                        kept[grade_id] = dict(names)
                    if not after_the_last_question(cells, cell):
                        run(cell["source"], names, grade_id or "cell")
                elif grade_id.endswith("-test"):
                    kept[grade_id] = dict(names)
            matplotlib.use(old)
            os.chdir(here)
            made[name] = by_id(cells), kept
        return made[name]

    return before


def after_the_last_question(cells: list[dict], cell: dict) -> bool:
    last = max(i for i, c in enumerate(cells) if graded(c).get("grade_id", "").endswith("-test"))
    return cells.index(cell) > last


CASES = [(name, *case) for name in NAMES for case in wrong_answers(name)]


@pytest.mark.slow
@assignment
def test_the_right_answers_pass(name, states):
    cells, kept = states(name)
    for question in questions(read(name)):
        seen, unseen = hidden(cells[f"{question}-test"]["source"])
        names = dict(kept[f"{question}-test"])
        run(seen, names, f"{question} visible")
        run(unseen, names, f"{question} hidden")


@pytest.mark.slow
@assignment
def test_a_blank_answer_is_told_that_it_is_blank(name, states):
    cells, kept = states(name)
    released = by_id(read(name, "release"))
    for question in questions(read(name)):
        names = dict(kept[question])
        run(released[question]["source"], names)
        with pytest.raises(Wrong) as caught:
            run(hidden(cells[f"{question}-test"]["source"])[0], names)
        assert caught.value.mistake == "unanswered"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "question", "mistake", "only_hidden", "code"),
    CASES,
    ids=[f"{name}-{question}-{mistake}-{number}" for number, (name, question, mistake, *_) in enumerate(CASES)],
)
def test_a_wrong_answer_is_caught_with_the_right_hint(name, question, mistake, only_hidden, code, states):
    cells, kept = states(name)
    names = dict(kept[question])
    run(code, names)
    seen, unseen = hidden(cells[f"{question}-test"]["source"])
    found_by = "visible"
    with pytest.raises(Wrong) as caught:
        run(seen, names)
        found_by = "hidden"
        run(unseen, names)
    assert (caught.value.mistake, found_by) == (mistake, "hidden" if only_hidden else "visible"), caught.value
    assert len(str(caught.value)) > 20


@assignment
def test_every_question_has_three_wrong_answers_and_one_that_only_hidden_tests_find(name):
    for question in questions(read(name)):
        mine = [case for case in wrong_answers(name) if case[0] == question]
        assert len(mine) >= 3, question
        assert len({case[3] for case in mine}) == len(mine)
        assert any(case[2] for case in mine), f"{question}: nothing shows that its hidden tests are needed"


# --- Graded as a class is ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_graded_for_real_the_source_has_all_points_in_any_editors_form_and_the_blank_copy_none(tmp_path):
    """One assignment goes all the way through sandbox, guard and gradebook; the others differ in their cells only."""
    nbformat, grading = pytest.importorskip("nbformat"), pytest.importorskip("aetutor.grading")
    test_grading = pytest.importorskip("test_grading")  # which needs nbgrader
    from test_grading_class import colab, vscode

    test_grading.need_sandbox()
    name = "03_sizes"  # the one that takes least time
    grading.set_up(tmp_path, assignments=FOLDER)
    path = tmp_path / "source" / name / f"{name}.ipynb"
    source = nbformat.read(path, as_version=4)
    handed_in = {
        "lab": path.read_bytes(),
        "colab": colab(source),
        "code": vscode(source),
        "blank": (tmp_path / "release" / name / f"{name}.ipynb").read_bytes(),
    }
    for student, notebook in handed_in.items():
        test_grading.write(tmp_path / "submitted" / student / name / f"{name}.ipynb", notebook)
    found = {result.student: result.status for result in grading.grade(tmp_path, jobs=2)}
    assert found == dict.fromkeys(handed_in, "graded")
    table = list(csv.DictReader((tmp_path / "report" / f"{name}.csv").read_text("utf-8-sig").splitlines()))
    scores = {row["student"]: float(row["score"]) for row in table}
    by_tests = sum(graded(cell)["points"] for cell in by_id(read(name)).values() if graded(cell)["grade"])
    by_tests -= graded(by_id(read(name))["written"])["points"]
    assert scores == {"lab": by_tests, "colab": by_tests, "code": by_tests, "blank": 0}
