"""Repair of submissions: answers are found wherever they are, and everything else is the teacher's."""

import copy
import json
import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from test_grading import ANSWERS, answered, role, source

from aetutor import grading
from aetutor.grading import submission
from aetutor.grading.frame import Frame

SOURCE = source()
FRAME = Frame(SOURCE)


def data(notebook) -> dict:
    return json.loads(nbformat.writes(notebook))


def mended(notebook):
    """(repaired notebook, notes) of a notebook, a dictionary or bytes."""
    if isinstance(notebook, dict):
        notebook = json.dumps(notebook).encode()
    return grading.repair(notebook if isinstance(notebook, bytes) else nbformat.writes(notebook).encode(), SOURCE)


def ids(notebook):
    return [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]


def cell(notebook, name):
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)


def index(notebook, name):
    return ids(notebook).index(name)


def answers(notebook):
    return {name: cell(notebook, name).source for name in ANSWERS}


WHOLE = [c.metadata.nbgrader.grade_id for c in SOURCE.cells if "nbgrader" in c.metadata]


def test_an_honest_submission_is_taken_as_it_is_with_hidden_tests_put_in():
    notebook, notes = mended(answered())
    assert notes == [] and answers(notebook) == ANSWERS
    assert [name for name in ids(notebook) if name] == WHOLE
    assert "hidden: an empty list" in cell(notebook, "q1-test").source
    nbformat.validate(notebook)


def test_points_flags_and_checksums_are_the_sources():
    notebook = answered()
    for name in ("q1-test", "written"):
        cell(notebook, name).metadata.nbgrader |= {"points": 1000, "locked": False, "checksum": "x"}
    notebook, _ = mended(notebook)
    for one in FRAME.template.cells:
        if "nbgrader" in one.metadata:
            assert cell(notebook, one.metadata.nbgrader.grade_id).metadata == one.metadata


def test_a_written_answer_left_blank_has_the_checksum_by_which_nbgrader_knows_it():
    from nbgrader.utils import determine_grade

    blank, _ = mended(grading.release(SOURCE))
    emptied = answered(written="  \n")
    assert determine_grade(cell(blank, "written")) == (0, 4)
    assert determine_grade(cell(mended(emptied)[0], "written")) == (0, 4)
    assert determine_grade(cell(mended(answered())[0], "written")) == (None, 4)


@pytest.mark.parametrize("name", WHOLE)
def test_a_deleted_cell_is_put_back_in_its_place(name):
    notebook = answered()
    notebook.cells.remove(cell(notebook, name))
    notebook, notes = mended(notebook)
    assert [n for n in ids(notebook) if n] == WHOLE
    assert len(notes) == 1 and repr(name) in notes[0] and "deleted" in notes[0]


@pytest.mark.parametrize("name", WHOLE)
def test_a_cell_that_stands_there_twice_is_taken_once(name):
    notebook = answered()
    notebook.cells.append(copy.deepcopy(cell(notebook, name)) | {"id": "copy"})
    notebook, notes = mended(notebook)
    assert [n for n in ids(notebook) if n] == WHOLE and answers(notebook) == ANSWERS
    assert any("2 times" in note for note in notes)


def test_of_two_versions_of_an_answer_the_last_that_is_no_stub_counts():
    notebook = answered(q1="# Question 1\ndef total(numbers):\n    return 0")
    place = index(notebook, "q1")
    stub = copy.deepcopy(cell(grading.release(SOURCE), "q1")) | {"id": "stub"}
    better = copy.deepcopy(cell(answered(), "q1")) | {"id": "better"}
    notebook.cells[place + 1 : place + 1] = [better, stub]
    notebook, notes = mended(notebook)
    assert cell(notebook, "q1").source == ANSWERS["q1"] and "the last one was taken" in notes[0]
    assert sum("NotImplementedError" in c.source for c in notebook.cells) == 0  # the stub would undo the answer


def test_the_first_half_of_a_cell_that_was_split_still_runs_before_the_second():
    notebook = answered(q1="offset = 0")
    place = index(notebook, "q1")
    second = copy.deepcopy(notebook.cells[place]) | {"id": "half", "source": ANSWERS["q1"]}
    notebook.cells.insert(place + 1, second)
    notebook, _ = mended(notebook)
    sources = [c.source for c in notebook.cells]
    assert sources.index("offset = 0") < sources.index(ANSWERS["q1"])
    assert ids(notebook)[sources.index("offset = 0")] is None


def test_a_changed_test_is_ours_again_and_said_to_be():
    notebook = answered()
    cell(notebook, "q2-test").source = "assert True"
    notebook, notes = mended(notebook)
    assert cell(notebook, "q2-test").source == cell(FRAME.template, "q2-test").source
    assert notes == ["test cell 'q2-test' was changed; ours was taken"]


def test_order_is_put_back():
    notebook = answered()
    notebook.cells.reverse()
    notebook, notes = mended(notebook)
    assert [n for n in ids(notebook) if n] == WHOLE and "the order of the cells was put back" in notes


def test_extra_cells_stay_behind_the_answer_that_they_followed_and_lose_nbgraders_metadata():
    notebook = answered()
    gift = role("gift", points=100)
    notebook.cells.insert(index(notebook, "q2"), new_code_cell("def helper(): pass", metadata=gift))
    notebook.cells.insert(0, new_markdown_cell("My name"))
    notebook, _ = mended(notebook)
    sources = [c.source for c in notebook.cells]
    place = sources.index("def helper(): pass")
    assert ids(notebook)[place - 1 : place + 2] == ["q2-text", None, "q2"] and notebook.cells[place].metadata == {}
    assert sources[0] == "My name"


def test_cell_ids_are_unique_and_ours_are_kept():
    notebook = data(answered())
    for one in notebook["cells"]:
        one["id"] = "same"
    notebook["cells"].append({"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "id": "q1"})
    notebook, _ = mended(notebook)
    assert len({c.id for c in notebook.cells}) == len(notebook.cells)
    assert [c.id for c in notebook.cells if "nbgrader" in c.metadata] == WHOLE


@pytest.mark.parametrize("joined", [True, False])
def test_without_any_metadata_everything_is_found_by_what_it_holds(joined):
    notebook = data(answered())
    for one in notebook["cells"]:
        one["metadata"] = {}
        one["source"] = "".join(one["source"]) if joined else one["source"]  # nbformat writes lists of lines
    notebook, notes = mended(notebook)
    assert answers(notebook) == ANSWERS and len(notes) == 1 and "metadata is gone" in notes[0]
    assert len(notebook.cells) == len(SOURCE.cells)


def test_an_answer_is_known_by_its_first_line_or_else_by_the_function_it_defines():
    first = answered(
        q1="# question 1: mine\ntotal = lambda numbers: sum(numbers)", q2="def root(x):\n    return x ** 0.5"
    )
    for name in ("q1", "q2"):
        cell(first, name).metadata = {}
    notebook, _ = mended(first)
    assert "lambda" in cell(notebook, "q1").source and "x ** 0.5" in cell(notebook, "q2").source


def test_an_answer_that_was_pasted_into_a_cell_of_its_own_is_found():
    notebook = grading.release(SOURCE)
    notebook.cells.append(new_code_cell(ANSWERS["q2"]))
    assert cell(mended(notebook)[0], "q2").source == ANSWERS["q2"]


def test_a_cell_that_became_text_is_code_again():
    notebook = data(answered())
    one = next(c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == "q3")
    one["cell_type"] = "markdown"
    notebook, notes = mended(notebook)
    assert cell(notebook, "q3").cell_type == "code" and cell(notebook, "q3").source == ANSWERS["q3"]
    assert notes == ["answer cell 'q3' had become a markdown cell; it was changed back"]


def test_a_picture_in_a_written_answer_is_kept():
    notebook = answered(written="![mine](attachment:a.png)")
    cell(notebook, "written").attachments = {"a.png": {"image/png": "aGk="}}
    assert cell(mended(notebook)[0], "written").attachments == {"a.png": {"image/png": "aGk="}}


def test_kernel_and_language_are_the_sources_and_other_metadata_goes():
    notebook = data(answered())
    notebook["metadata"] = {"kernelspec": {"name": "evil", "display_name": "x"}, "widgets": {"a": 1}, "colab": {}}
    assert mended(notebook)[0].metadata == {"kernelspec": SOURCE.metadata.kernelspec}


def test_format_3_is_read():
    cells = []
    for one in data(answered())["cells"]:
        text = {"input" if one["cell_type"] == "code" else "source": one["source"]}
        cells.append({"cell_type": one["cell_type"], "metadata": one["metadata"], **text})
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}
    notebook, notes = mended(old)
    assert answers(notebook) == ANSWERS and "format 3" in notes[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"\xff\xfe\x00", "no valid JSON"),
        (b"[" * 10**5, "no valid JSON"),
        (b"[]", "no notebook"),
        (b'{"cells": {}}', "no list of cells"),
        (b"\x89PNG\r\n", "no valid JSON"),
    ],
)
def test_what_is_no_notebook_is_refused_in_words(content, words):
    with pytest.raises(grading.Unreadable, match=words):
        grading.repair(content, SOURCE)


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_any_encoding_is_read(coding):
    notebook = json.dumps(data(answered(written="Größer")), ensure_ascii=False)
    assert cell(mended(notebook.encode(coding))[0], "written").source == "Größer"


def test_broken_cells_are_left_out_and_lone_surrogates_replaced():
    notebook = data(answered())
    notebook["cells"] += [
        None,
        {"cell_type": "code"},
        {"cell_type": "alien", "source": "x"},
        {"cell_type": "code", "source": 3},
    ]
    notebook["cells"].append({"cell_type": "code", "source": "x = '\\ud800'", "metadata": None})
    text = json.dumps(notebook).replace("It is because", "\\ud800 It is because")
    notebook, notes = mended(text.encode())
    assert notes == ["3 broken cells left out"]
    nbformat.writes(notebook).encode()


# --- Which file is meant ----------------------------------------------------------------------------------------


def chosen(folder):
    return submission.choose(folder, "small", answered=FRAME.answered)


def put(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        content = content if isinstance(content, bytes) else nbformat.writes(content).encode()
        (folder / f"{name}.ipynb").write_bytes(content)
    return folder


def test_a_file_of_another_name_is_taken_and_said_to_be(tmp_path):
    file = chosen(put(tmp_path / "small", **{"Copy of small (1)": answered()}))
    assert file.name == "Copy of small (1).ipynb" and "instead of 'small.ipynb'" in file.notes[0]


def test_of_several_the_exact_name_wins_and_otherwise_the_one_with_most_answers(tmp_path):
    half = answered(q1="", q2="")
    assert chosen(put(tmp_path / "a" / "small", small=half, other=answered())).name == "small.ipynb"
    assert chosen(put(tmp_path / "b" / "small", one=half, two=answered(), three=b"")).name == "two.ipynb"
    blank = grading.release(SOURCE)
    assert chosen(put(tmp_path / "c" / "small", small=blank, mine=answered())).name == "mine.ipynb"
    file = chosen(put(tmp_path / "d" / "small", small=b"", mine=answered()))
    assert file.name == "mine.ipynb" and "the file is empty" in file.notes[0]


@pytest.mark.parametrize("kind", ["nothing", "link", "pipe", "folder", "large", "linked folder", "file"])
def test_what_is_no_file_is_refused_in_words(tmp_path, kind, monkeypatch):
    folder = tmp_path / "small"
    path = folder / "small.ipynb"
    if kind not in ("linked folder", "file"):
        folder.mkdir()
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        monkeypatch.setattr(submission, "LARGEST", 1000)
        path.write_text("x" * 1001)
    elif kind == "linked folder":
        folder.symlink_to(tmp_path)
    elif kind == "file":
        folder.write_text("x")
    words = {"nothing": "no notebook", "link": "a link", "pipe": "no regular", "folder": "a folder", "large": "larger",
             "linked folder": "a link", "file": "a file stands"}  # fmt: skip
    with pytest.raises(grading.Unreadable, match=words[kind]):
        chosen(folder)


def test_a_fingerprint_changes_with_what_is_handed_in(tmp_path):
    folder = put(tmp_path / "small", small=answered())
    first = submission.fingerprint(folder)
    assert submission.fingerprint(folder) == first
    put(folder, small=answered(q1="1"))
    assert submission.fingerprint(folder) != first


def test_parameters_of_the_frame_are_the_releases():
    assert set(FRAME.fixed) == set(WHOLE) == set(FRAME.stubs) and len(FRAME.loose) == 2
