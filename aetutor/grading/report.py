"""What a teacher reads afterwards: a table for the learning management system, and one page on the class."""

import base64
import csv
import html
import io
import re
from collections import Counter

import numpy as np

from aetutor.grading.gradebook import GONE, Question, Row

UNBEGUN = "is not written yet"  # what the checks of aetutor.exercises say to a question that was left as it was
STOPPED = "stopped: it took longer than its time"
HARD, EASY, WEAK, ENOUGH = 0.30, 0.95, 0.2, 10
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 sans-serif; margin: 0 auto; max-width: 50rem; padding: 0.8rem; color: #222; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.1rem; margin: 1.2rem 0 0.3rem; }}
img {{ max-width: 100%; height: auto; display: block; margin: 0.5rem 0; }}
div.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: 0.2rem 0.5rem; border-bottom: 1px solid #ccc; }}
td.number, th.number {{ text-align: right; }} td {{ overflow-wrap: anywhere; }}
@media print {{ body {{ font-size: 10px; max-width: none; padding: 0; }} img {{ max-width: 11cm; }}
 h2 {{ break-after: avoid; }} tr, img {{ break-inside: avoid; }} }}
</style></head><body>
{body}
</body></html>
"""


# --- The table for an LMS ---------------------------------------------------------------------------------------


def table(assignments: list[tuple[str, list[Question], list[Row]]]) -> bytes:
    """CSV, UTF-8 with a mark so that spreadsheets read it right."""
    names = list(dict.fromkeys(question.name for _, asked, _ in assignments for question in asked))
    file = io.StringIO()
    out = csv.writer(file, lineterminator="\r\n")
    head = ["student", "assignment", "status", "score", "max score", "late"]
    out.writerow([*head, *map(_harmless, names), "remarks"])
    for assignment, _, rows in assignments:
        for row in rows:
            late = "yes" if row.late else "no"
            scores = [_number(row.questions.get(name)) for name in names]
            start = [_harmless(row.student), _harmless(assignment), _harmless(row.status)]
            said = _harmless("; ".join(row.remarks))
            out.writerow([*start, _number(row.score), _number(row.most), late, *scores, said])
    return ("\ufeff" + file.getvalue()).encode("utf-8", "replace")


def _harmless(text: str) -> str:
    """A spreadsheet runs what starts like a formula; an apostrophe makes it text."""
    text = " ".join(text.replace("\x00", "").split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")) else text


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


# --- Numbers on a class -----------------------------------------------------------------------------------------


def discrimination(scores: np.ndarray) -> list[float | None]:
    """For each question, the correlation of its score with the sum of the others; None where one is constant.

    scores : (students, questions), nan where there is no score yet
    """
    found = []
    for number in range(scores.shape[1]):
        known = ~np.isnan(scores[:, number])
        mine, rest = scores[known, number], np.nansum(np.delete(scores[known], number, 1), 1)
        constant = scores.shape[1] < 2 or len(mine) < 2 or np.ptp(mine) < 1e-9 or np.ptp(rest) < 1e-9
        found.append(None if constant else float(np.corrcoef(mine, rest)[0, 1]))
    return found


def remarks(mean: float, correlation: float | None, count: int) -> list[str]:
    """What stands out about a question, where the class is large enough to say."""
    if count < ENOUGH:
        return []
    found = []
    if mean < HARD:
        found.append("hard")
    if mean > EASY:
        found.append("easy")
    if correlation is not None and correlation < WEAK:
        found.append("does not tell strong from weak")
    return found


def hints(notebooks) -> list[tuple[str, str, int]]:
    """(question, first line of the message, number of submissions), the commonest first."""
    counts = Counter((name, text) for name, text in _said(notebooks) if UNBEGUN not in text)
    return [(name, text, count) for (name, text), count in counts.most_common(12)]


def not_begun(notebooks) -> dict[str, int]:
    """question -> number of submissions that left it as it was."""
    return Counter(name for name, text in _said(notebooks) if UNBEGUN in text)


def _said(notebooks):
    """(question, first line of the message) for each test that failed, one a submission."""
    for notebook in notebooks:
        for cell in notebook.cells:
            role = cell.metadata.get("nbgrader", {})
            if role.get("grade") and not role.get("solution"):
                errors = [output for output in cell.outputs if output.output_type == "error"]
                # The grader's own word on why it stopped a cell says more than what the cell made of it.
                ours = [output for output in errors if output.get("ename") == "Stopped"]
                for text in sorted({_first_line(output) for output in ours or errors})[:1]:
                    yield role["grade_id"], text


def _first_line(output) -> str:
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", str(output.get("evalue") or "")).strip()
    name = str(output.get("ename") or "error")
    first = text.splitlines()[0] if text else ""
    first = first if name in ("Wrong", "Stopped", "NotRun", "Replaced", "NotVerified") and first else f"{name}: {first}"
    first = first.rstrip(": ")[:200]
    return STOPPED if first == "KeyboardInterrupt" or first.startswith("this cell took longer than") else first


# --- The page ---------------------------------------------------------------------------------------------------


def page(assignment: str, asked: list[Question], *, rows: list[Row], hints, blank: dict[str, int] | None = None) -> str:
    """One page on an assignment that needs no other file; `blank`: how many left a question as it was."""
    gone = sum(row.status == GONE for row in rows)
    rows = [row for row in rows if row.status != GONE]
    handed_in = [row for row in rows if row.score is not None]
    counted = [row for row in handed_in if row.status in ("graded", "needs manual grading")]
    open_ = sum(row.status == "needs manual grading" for row in rows)
    parts = [f"<h1>{html.escape(assignment)}: {len(handed_in)} submissions</h1>"]
    facts = [f"{len(counted)} were run"]
    for text, number in (
        ("could not be read or graded", sum(row.status.startswith("could not") for row in rows)),
        ("wait for a score by hand; until then, a written answer counts 0", open_),
        ("handed in nothing", sum(row.status == "nothing submitted" for row in rows)),
        ("came late", sum(row.late for row in rows)),
        ("no longer in submitted, not counted here", gone),
    ):
        facts += [f"{number} {text}"] if number else []
    parts.append(f"<p>{html.escape('; '.join(facts))}.</p>")
    if counted:
        parts += _figures(asked, counted, blank or {})
    else:
        parts.append("<p>There is no score to draw yet.</p>")
    if hints:
        parts.append("<h2>What failed tests said most often</h2>")
        parts.append(_html_table(("question", "first line of the message", "submissions"), hints, numbers=(2,)))
    if repaired := [(row.student, "; ".join(row.remarks)) for row in rows if row.remarks]:
        parts.append("<h2>Submissions that were repaired, had cells stopped, or need a look</h2>")
        parts.append(_html_table(("student", "what was done or found"), repaired))
    if lost := [(row.student, row.status) for row in rows if row.status.startswith("could not")]:
        parts.append("<h2>Submissions that could not be graded</h2>")
        parts.append(_html_table(("student", "why"), lost))
    return PAGE.format(title=html.escape(f"{assignment}: report"), body="\n".join(parts))


def _figures(asked: list[Question], rows: list[Row], blank: dict[str, int]) -> list[str]:
    from aetutor import plots

    most = sum(question.points for question in asked) or 1.0
    shares = np.array([row.score for row in rows]) / most
    bins = np.clip((shares * 10).astype(int), 0, 9)
    counts = {f"{10 * k}–{10 * k + 10} %": float((bins == k).sum()) for k in range(9, -1, -1)}
    title = f"Scores of {len(rows)} submissions: median {100 * np.median(shares):.0f} % of {most:g} points"
    parts = ["<h2>Scores</h2>", _image(plots.bars(counts, title=title, x="submissions"))]
    scores = np.array([[_or_nan(row.questions.get(question.name)) for question in asked] for row in rows])  # (N, Q)
    tells = discrimination(scores)
    means = [
        float(np.nanmean(column)) / (question.points or 1.0) if not np.isnan(column).all() else None
        for question, column in zip(asked, scores.T, strict=True)
    ]
    scored = (~np.isnan(scores)).sum(0).tolist()
    # A question that waits for scores by hand has none yet, or only those of blank answers.
    bars = {
        question.name: 100 * mean
        for question, mean, count in zip(asked, means, scored, strict=True)
        if mean is not None and count == len(rows)
    }
    parts.append("<h2>Questions</h2>")
    if bars:
        worst = min(bars, key=bars.get)
        title = f"Mean score of each question: lowest {bars[worst]:.0f} %, {worst}"
        parts.append(_image(plots.bars(bars, title=title, x="mean score, % of the question's points")))
    lines = []
    for question, mean, tell, count in zip(asked, means, tells, scored, strict=True):
        number = "–" if tell is None or count < ENOUGH else f"{tell:.2f}"
        notes = "" if mean is None else ", ".join(remarks(mean, tell, count))
        if count < len(rows):
            mean, notes = None, f"{len(rows) - count} wait for a score"
        kind = "by hand" if question.written else "by tests"
        shown = "–" if mean is None else f"{100 * mean:.0f} %"
        left = "–" if question.written else str(blank.get(question.name, 0))
        lines.append((question.name, f"{question.points:g}", kind, shown, left, number, notes))
    head = ("question", "points", "graded", "mean", "not begun", "discrimination", "remark")
    parts.append(_html_table(head, lines, numbers=(1, 3, 4, 5)))
    small = f" It is given for {ENOUGH} submissions or more." if len(rows) < ENOUGH else ""
    parts.append(
        "<p>Discrimination is the correlation, over submissions, between the score of a question and the sum of the "
        "scores of all others: near 1, who does well elsewhere does well here; below "
        f"{WEAK:g}, the question may be unclear, or its test wrong. A dash stands where everybody has the same score, "
        f"or nobody has one yet.{small} Hard: mean below {100 * HARD:.0f} %; easy: above {100 * EASY:.0f} %.</p>"
    )
    return parts


def _or_nan(score: float | None) -> float:
    return float("nan") if score is None else score


def _image(picture) -> str:
    data = base64.b64encode(picture.png()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(picture.alt, quote=True)}">'


def _html_table(head, lines, numbers=()) -> str:
    def row(tag, cells):
        marks = (' class="number"' if i in numbers else "" for i in range(len(cells)))
        shown = (f"<{tag}{m}>{html.escape(str(c))}</{tag}>" for m, c in zip(marks, cells, strict=True))
        return f"<tr>{''.join(shown)}</tr>"

    body = "".join(row("td", line) for line in lines)
    return f'<div class="wide"><table><thead>{row("th", head)}</thead><tbody>{body}</tbody></table></div>'
