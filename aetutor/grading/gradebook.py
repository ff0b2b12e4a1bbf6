"""nbgrader's gradebook, written by nbgrader's own preprocessors, one submission after the other."""

import contextlib
import copy
import logging
import os
import sys
import warnings
from dataclasses import dataclass, field

from aetutor.grading.course import Course, GradingError, digest

GONE = "no longer in submitted"
DAMAGED = (
    "gradebook.db is damaged: restore a copy, or move it away; the next make grade makes a new one, "
    "without the scores that were entered by hand"
)


class Unusable(GradingError):
    """The gradebook as a whole cannot be read or written."""


@dataclass
class Question:
    """A graded cell: its name, what it is worth, and whether a person grades it."""

    name: str
    points: float
    written: bool


@dataclass
class Row:
    """One student's line of a table."""

    student: str
    status: str
    score: float | None = None
    most: float = 0.0
    questions: dict[str, float | None] = field(default_factory=dict)
    late: bool = False
    remarks: list[str] = field(default_factory=list)


def questions(notebook) -> list[Question]:
    roles = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
    return [
        Question(role["grade_id"], float(role["points"]), bool(role.get("solution") or role.get("task")))
        for role in roles
        if role.get("grade") or role.get("task")
    ]


def written(notebook) -> dict[str, str]:
    """grade_id -> what a teacher reads, as a fingerprint."""
    found = {}
    for cell in notebook.cells:
        role = cell.metadata.get("nbgrader", {})
        if role.get("grade") and role.get("solution"):
            found[role["grade_id"]] = digest(cell.source.encode("utf-8", "replace"))
    return found


@contextlib.contextmanager
def _open(course: Course):
    """nbgrader's gradebook; where the database itself fails, one line that says what to do."""
    with said(course):
        from nbgrader.api import Gradebook

        with Gradebook(course.db, course.id) as book:
            yield book


@contextlib.contextmanager
def said(course: Course):
    """Errors of the database, in one line that says what to do."""
    from nbgrader.api import InvalidEntry
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, InvalidEntry) as error:  # nbgrader makes the second out of some of the first
        text = str(error)
        if isinstance(error, InvalidEntry) and "sqlite3." not in text:
            raise
        path = course.db.removeprefix("sqlite:///")
        if "is locked" in text:
            words = "gradebook.db is in use (by another make grade, or formgrader?)"
        elif "malformed" in text or "not a database" in text:
            words = DAMAGED
        elif any(part in text for part in ("readonly", "unable to open", "disk is full", "disk I/O")):
            words = f"cannot write to {path}: {_first_line(error)}"
        else:
            words = f"the gradebook {path} cannot be used: {_first_line(error)}"
        raise Unusable(words) from error


def check(course: Course) -> None:
    """A gradebook that is damaged is told of before an hour of grading, not after it; nothing is written."""
    from sqlalchemy import create_engine, text

    path = course.db.removeprefix("sqlite:///")
    if os.path.isfile(path) and os.path.getsize(path):
        engine = create_engine(course.db)
        try:
            with said(course), engine.connect() as connection:
                if connection.execute(text("PRAGMA quick_check(1)")).scalar() != "ok":
                    raise Unusable(DAMAGED)
        finally:
            engine.dispose()


def _first_line(error: Exception) -> str:
    return (str(getattr(error, "orig", None) or error).splitlines() or ["?"])[0][:200]


def register(course: Course, assignment: str, source) -> None:
    """Tells the gradebook of the assignment's cells, as `nbgrader generate_assignment` does."""
    from nbgrader import preprocessors

    notebook = copy.deepcopy(source)
    passed = resources(course, assignment, "")
    try:
        with _programs_found(), _open(course) as book:
            book.update_or_create_assignment(assignment)
        for name in (
            "LockCells",
            "ClearSolutions",
            "ClearOutput",
            "CheckCellMetadata",
            "ComputeChecksums",
            "SaveCells",
        ):
            with said(course):
                notebook, passed = getattr(preprocessors, name)().preprocess(notebook, passed)
    except Unusable:
        raise
    except RuntimeError as error:
        raise GradingError(
            f"{assignment}: the gradebook does not take the source notebook: {error}. Cells cannot be added or removed "
            "once there are submissions; put them back, or remove gradebook.db and grade all over again"
        ) from error


@contextlib.contextmanager
def quiet():
    """nbgrader's own use of its database warns of nothing that a teacher could mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"nbgrader\.|sqlalchemy\.")
        yield


@contextlib.contextmanager
def _programs_found():
    """A new gradebook needs the program alembic, which is beside Python where no environment is activated."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def record(
    course: Course,
    assignment: str,
    student: str,
    *,
    notebook,
    timestamp: str | None,
    known: dict[str, str],
    changed: list[str],
) -> tuple[list[str], list[str]]:
    """Scores of one submission: (written answers that changed since they were scored by hand, remarks).

    What a teacher entered stays; it waits for a new score where the answer is another than `known`, or was in
    `changed` and has not been scored since.
    """
    from nbgrader.preprocessors import AssignLatePenalties, SaveAutoGrades

    with _open(course) as book:
        book.update_or_create_student(student)
        more = {"timestamp": timestamp} if timestamp else {}
        book.update_or_create_submission(assignment, student, **more)
        grades = book.find_submission_notebook(assignment, assignment, student).grades
        waiting = {grade.cell.name for grade in grades if grade.needs_manual_grade} & set(changed)
    passed = resources(course, assignment, student)
    log = logging.getLogger("aetutor.grading.nbgrader")
    log.setLevel(logging.CRITICAL)
    for step in (SaveAutoGrades(log=log), AssignLatePenalties(log=log)):
        with said(course):
            notebook, passed = step.preprocess(notebook, passed)
    now, found, remarks = written(notebook), [], []
    with _open(course) as book:
        for grade in book.find_submission_notebook(assignment, assignment, student).grades:
            if grade.manual_score is not None:  # nbgrader asks for every one of them again
                name = grade.cell.name
                grade.needs_manual_grade = name in now and (name in waiting or known.get(name, now[name]) != now[name])
                if grade.needs_manual_grade:
                    found.append(name)
                    remarks.append(
                        f"{name}: the written answer has changed since it was scored by hand; "
                        f"{grade.manual_score:g} points still count"
                    )
                elif name not in now and grade.auto_score is not None and grade.auto_score != grade.manual_score:
                    remarks.append(f"{name}: {grade.manual_score:g} points by hand, {grade.auto_score:g} by its test")
        book.db.commit()
    return found, remarks


def rows(course: Course, assignment: str, asked: list[Question], failed: dict[str, str]) -> list[Row]:
    """Every student known to the gradebook or to submitted/, in order."""
    from nbgrader.api import MissingEntry

    found, here = {}, set(course.students(assignment))
    with _open(course) as book:
        for student in [s.id for s in book.students]:
            most = sum(question.points for question in asked)
            row = found[student] = Row(student, "nothing submitted", most=most)
            row.questions = dict.fromkeys((question.name for question in asked), None)
            try:
                submission = book.find_submission(assignment, student)
                notebook = book.find_submission_notebook(assignment, assignment, student)
            except MissingEntry:
                continue
            row.score = float(notebook.score) - float(notebook.late_submission_penalty or 0)
            row.late = submission.total_seconds_late > 0
            for grade in notebook.grades:
                scored = grade.auto_score is not None or grade.manual_score is not None
                if scored and grade.cell.name in row.questions:
                    row.questions[grade.cell.name] = grade.score
            row.status = "needs manual grading" if notebook.needs_manual_grade else "graded"
            if student not in here:
                row.status = GONE
    for student, why in failed.items():
        row = found.setdefault(student, Row(student, ""))
        row.status = why
    return [found[student] for student in sorted(found)]


def resources(course: Course, assignment: str, student: str) -> dict:
    names = {"notebook": assignment, "assignment": assignment, "student": student, "db_url": course.db}
    return {"nbgrader": names, "metadata": {"name": assignment}, "unique_key": assignment, "output_files_dir": ""}
