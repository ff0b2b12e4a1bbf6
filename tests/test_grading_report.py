"""The table for a learning management system, and the page on a class: numbers against oracles, nothing that runs."""

import csv
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_output
from scipy import stats
from test_grading import role

from aetutor.grading import report
from aetutor.grading.gradebook import GONE, Question, Row

ASKED = [Question("q1", 2, False), Question("q2", 3, False), Question("essay", 5, True)]


def rows(count, *, seed=0):
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        able = random.random()
        scores = {q.name: float(q.points * (random.random() < able)) for q in ASKED}
        found.append(Row(f"s{number:02d}", "graded", sum(scores.values()), 10.0, scores))
    return found


def read(table):
    return list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))


def test_the_table_has_a_row_for_everybody_and_a_column_for_every_question():
    nobody = Row("zoe", "nothing submitted", None, 10.0, dict.fromkeys(("q1", "q2", "essay")))
    late = Row(
        "ada", "needs manual grading", 4.5, 10.0, {"q1": 2.0, "q2": 2.5, "essay": None}, True, ["put back", "x, y"]
    )
    first, second = read(report.table([("small", ASKED, [late, nobody])]))
    assert first == {
        "student": "ada", "assignment": "small", "status": "needs manual grading", "score": "4.5", "max score": "10",
        "late": "yes", "q1": "2", "q2": "2.5", "essay": "", "remarks": "put back; x, y",
    }  # fmt: skip
    assert (second["score"], second["q1"], second["late"]) == ("", "", "no")


def test_the_table_of_all_assignments_has_the_questions_of_each():
    other = [Question("r1", 1, False)]
    table = read(report.table([("a", ASKED, rows(2)), ("b", other, [Row("s00", "graded", 1.0, 1.0, {"r1": 1.0})])]))
    assert [row["assignment"] for row in table] == ["a", "a", "b"] and table[2]["r1"] == "1" and table[2]["q1"] == ""


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", "=cmd|' /C calc'!A0"])
def test_no_cell_starts_like_a_formula(name):
    table = report.table([("small", ASKED, [Row(name, "graded", 1.0, 10.0, {}, remarks=["=2"])])])
    (row,) = read(table)
    assert row["student"].startswith("'") and row["remarks"] == "'=2"


def test_names_with_commas_quotes_and_lines_stay_in_their_cell():
    (row,) = read(report.table([("small", ASKED, [Row('O\'Hara, "Ed"\nJr', "graded", 1.0, 10.0, {})])]))
    assert row["student"] == 'O\'Hara, "Ed" Jr'


def test_discrimination_is_the_correlation_with_the_rest():
    scores = np.array([[row.questions[q.name] for q in ASKED] for row in rows(40)])
    found = report.discrimination(scores)
    for number, value in enumerate(found):
        rest = scores.sum(1) - scores[:, number]
        assert value == pytest.approx(np.corrcoef(scores[:, number], rest)[0, 1])
        assert value == pytest.approx(stats.pointbiserialr(scores[:, number] > 0, rest)[0])


def test_discrimination_is_unknown_where_nobody_differs():
    scores = np.array([[1.0, 0.0, 3.0], [1.0, 2.0, 3.0], [1.0, 1.0, 3.0]])
    assert report.discrimination(scores) == [None, None, None]  # the rest of the second is constant
    assert report.discrimination(np.array([[1.0, 2.0]])) == [None, None]
    assert report.discrimination(np.array([[1.0], [2.0]])) == [None]


def test_scores_that_are_not_there_yet_do_not_count():
    scores = np.array([[1.0, 0.0, np.nan], [0.0, 2.0, np.nan], [1.0, 1.0, np.nan], [0.0, 1.0, np.nan]])
    found = report.discrimination(scores)
    assert found[2] is None and found[0] == pytest.approx(np.corrcoef(scores[:, 0], scores[:, 1])[0, 1])


@pytest.mark.parametrize(
    ("mean", "correlation", "count", "said"),
    [
        (0.2, 0.5, 10, ["hard"]),
        (0.97, 0.5, 10, ["easy"]),
        (0.5, 0.1, 10, ["does not tell strong from weak"]),
        (0.2, -0.3, 30, ["hard", "does not tell strong from weak"]),
        (0.2, -0.3, 9, []),
        (0.5, None, 30, []),
        (0.30, 0.2, 30, []),
        (0.95, 0.2, 30, []),
    ],
)
def test_remarks_are_made_where_the_class_is_large_enough(mean, correlation, count, said):
    assert report.remarks(mean, correlation, count) == said


def failed(name, text, kind="Wrong"):
    return new_code_cell(
        "", metadata=role(name, points=1), outputs=[new_output("error", ename=kind, evalue=text, traceback=[])]
    )


def test_hints_are_counted_once_a_submission():
    class Notebook:
        def __init__(self, *cells):
            self.cells = cells

    one = Notebook(failed("q1", "Too few.\nsecond line"), failed("q2", "", "NotImplementedError"))
    two = Notebook(failed("q1", "\x1b[31mToo few.\x1b[0m"), failed("q2", "name 'x' is not defined", "NameError"))
    assert report.hints([one, two]) == [
        ("q1", "Too few.", 2), ("q2", "NotImplementedError", 1), ("q2", "NameError: name 'x' is not defined", 1),
    ]  # fmt: skip


def outcome(*cells):
    return SimpleNamespace(cells=cells)


def test_what_was_not_begun_is_counted_apart_from_the_hints():
    blank = outcome(failed("q1", "total is not written yet: put your code in place of the last line."))
    wrong = outcome(failed("q1", "Too few."))
    assert report.hints([blank, blank, wrong]) == [("q1", "Too few.", 1)]
    assert report.not_begun([blank, blank, wrong]) == {"q1": 2}
    found = report.page("small", ASKED, rows=rows(3), hints=[], blank={"q1": 2})
    assert '<th class="number">not begun</th>' in found
    assert re.search(r"<td>q1</td>.*?by tests</td><td[^>]*>\d+ %</td><td[^>]*>2</td>", found)
    assert re.search(r"<td>essay</td>.*?by hand</td><td[^>]*>\d+ %</td><td[^>]*>–</td>", found)


def test_a_test_that_was_stopped_says_why():
    late, loud = failed("q1", "", "KeyboardInterrupt"), failed("q1", "", "KeyboardInterrupt")
    for cell, text in ((late, "this cell took longer than 60 s and was stopped"), (loud, "this cell put out more")):
        cell.outputs.append(new_output("error", ename="Stopped", evalue=text, traceback=[]))
    alone = failed("q1", "", "KeyboardInterrupt")
    said = {text: count for _, text, count in report.hints([outcome(late), outcome(loud), outcome(alone)])}
    assert said == {"stopped: it took longer than its time": 2, "this cell put out more": 1}


def test_who_is_no_longer_in_submitted_counts_in_nothing():
    gone = Row("zed", GONE, 0.0, 10.0, dict.fromkeys(("q1", "q2", "essay"), 0.0), True, ["left"])
    found = page([*rows(12), gone])
    assert found.replace("; 1 no longer in submitted, not counted here", "") == page(rows(12))
    assert read(report.table([("small", ASKED, [gone])]))[0]["status"] == "no longer in submitted"


def page(found, hints=()):
    return report.page("small", ASKED, rows=found, hints=list(hints))


def test_the_page_needs_no_other_file_and_describes_its_pictures():
    found = page(rows(25))
    assert (
        found.count("<img") == 2
        and len(re.findall(r'<img src="data:image/png;base64,[^"]+" alt="[^"]{40,}"', found)) == 2
    )
    assert (
        not re.search(r"https?://|<script|<link", found) and "width=device-width" in found and "@media print" in found
    )
    assert "Discrimination is the correlation" in found


def test_the_pages_numbers_are_those_of_the_class():
    class_ = rows(25)
    found = page(class_)
    median = np.median([row.score for row in class_]) / 10
    mean = np.mean([row.questions["q1"] for row in class_]) / 2
    assert f"median {100 * median:.0f} % of 10 points" in found and "<td>q1</td>" in found
    assert f">{100 * mean:.0f} %<" in found


def test_a_small_class_gets_no_discrimination():
    assert f"It is given for {report.ENOUGH} submissions or more." in page(rows(9))
    assert re.search(r"<td>q1</td>.*?by tests</td><td[^>]*>\d+ %</td><td[^>]*>0</td><td[^>]*>–</td>", page(rows(9)))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_class_of_none_one_or_two_has_a_page(count):
    assert "<h1>" in page(rows(count))


def test_nothing_that_a_student_wrote_is_run_by_the_page():
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    mine = Row(evil, "graded", 1.0, 10.0, {"q1": 1.0}, remarks=[evil])
    lost = Row("ada", f"could not be read: {evil}")
    found = page([mine, lost], [("q1", evil, 1)])
    assert "<script" not in found and "<img src=x" not in found and found.count("&lt;script&gt;") == 4


def test_who_handed_in_nothing_and_who_waits_is_counted():
    waiting = Row("a", "needs manual grading", 2.0, 10.0, {"q1": 2.0, "essay": None})
    text = page([waiting, Row("b", "nothing submitted"), Row("c", "could not be read: the file is empty", 0.0, 10.0)])
    assert "1 wait for a score by hand" in text and "1 handed in nothing" in text and "1 could not be read" in text
