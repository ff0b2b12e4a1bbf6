"""Grading of a course in three phases: run all submissions, then write the gradebook, then feedback and report."""

import contextlib
import difflib
import glob
import json
import logging
import os
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aetutor
from aetutor.grading import gradebook, report
from aetutor.grading.course import Course, GradingError, digest, need_nbgrader, write
from aetutor.grading.feedback import Feedback
from aetutor.grading.frame import Frame
from aetutor.grading.runner import execute, files_beside
from aetutor.grading.submission import Unreadable, choose, fingerprint
from aetutor.grading.walls import Limits, need_sandbox

try:
    import fcntl
except ImportError:  # not on Windows, where two at once are not kept apart
    fcntl = None

LOCK = ".grading.lock"
STAMP = "graded.json"
REPAIRS = "repairs.txt"


@dataclass
class Graded:
    """What came of one submission; `status` is graded, kept, unreadable or failed.

    student, assignment : str whose it is; no student where the source notebook of an assignment is broken
    status     : str         graded, kept (unchanged since it was graded), unreadable, or failed: our error
    reason     : str         why it is unreadable or failed
    notes      : list of str what was repaired, and which cells had to be stopped
    seconds    : float       what running it took
    returns    : Graded
    raises     : nothing
    source     : this course
    taught in  : notebooks/assignments/README.md
    """

    student: str
    assignment: str
    status: str
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class _Work:
    """An assignment while it is graded."""

    name: str
    source: object
    frame: Frame
    fingerprint: str
    extras: dict[str, Path]


def grade(
    course,
    assignments: Iterable[str] = (),
    *,
    limits: Limits | None = None,
    jobs: int | None = None,
    regrade: bool = False,
    unsafe: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Graded]:
    """Grades what was submitted: runs it in sandboxes, writes gradebook, feedback and report.

    course     : path        a course folder in nbgrader's layout
    assignments : names      by default all
    limits     : Limits      what one submission may use
    jobs       : int         submissions at a time; by default one for two cores, as memory allows
    regrade    : bool        whether what has been graded, and not changed since, is graded again
    unsafe     : bool        whether students' code runs without a sandbox, with all rights of who calls this
    progress   : callable    is handed a line of text as each submission is done
    returns    : list of Graded
    raises     : GradingError if the course, the source, the sandbox or the gradebook is not as it must be
    raises     : ValueError  if jobs is no whole number above 0
    source     : this course; scores and feedback are nbgrader's
    taught in  : notebooks/assignments/README.md
    """
    limits = limits or Limits()
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ValueError(f"jobs is {jobs!r}; expected a whole number above 0")
    need_nbgrader()
    place = Course(course)
    assignments = list(assignments)
    works, broken = _works(place, assignments, progress)
    if not unsafe:
        need_sandbox()
    with _alone(place), gradebook.quiet():
        gradebook.check(place)
        for said in _misplaced(place):
            progress(said)
        results = _run_all(place, works, limits, jobs or fitting_jobs(limits), regrade, unsafe, progress)
        for work in works:
            gradebook.register(place, work.name, work.source)
        _each(results, "the gradebook", progress, lambda result: _record(result, place))
        feedback = Feedback(place)
        _each(results, "the feedback", progress, lambda result: _feedback(result, place, feedback))
        _tables(place, works, results)
    return broken + results


def fitting_jobs(limits: Limits) -> int:
    """One job for two cores, at least one, and no more than fit into the memory that is free."""
    import psutil

    memory = int(psutil.virtual_memory().available / (limits.memory_gb * 1e9))
    return max(1, min(len(os.sched_getaffinity(0)) // 2, memory))


@contextlib.contextmanager
def _alone(place: Course):
    """Two that grade one course at once would write over each other; the lock ends with the process."""
    path = place.root / LOCK
    try:
        file = open(path, "a+", encoding="utf-8")
    except OSError as error:
        raise GradingError(f"cannot write to {place.root}: {error.strerror or error}") from error
    with file:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            number = file.read(20).strip() or "unknown"
            raise GradingError(f"another make grade is at work in this folder (process {number})") from None
        except OSError:  # a file system that has no locks
            pass
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _misplaced(place: Course) -> list[str]:
    """What lies in submitted/ where it is not graded, and why."""
    known, found = place.assignments(), []

    def look(folder: Path) -> list[Path]:
        try:
            return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        except OSError as error:
            tell(folder, f"it cannot be read: {error.strerror or error}")
            return []

    def tell(path: Path, why: str) -> None:
        text = f"not graded: {path.relative_to(place.root)} ({why})"
        found.append("".join(letter if letter.isprintable() else "?" for letter in text))

    for student in look(place.submitted) if place.submitted.is_dir() else []:
        if not student.is_dir():
            tell(student, "a file; expected folders submitted/STUDENT/ASSIGNMENT/")
            continue
        for path in look(student):
            if path.name in known:
                continue
            if path.is_dir():
                near = difflib.get_close_matches(path.name.lower(), known, 1)
                tell(path, f"no assignment of that name{f'; did you mean {near[0]}?' if near else ''}")
            else:
                tell(path, f"a file; expected it in a folder submitted/{student.name}/ASSIGNMENT/")
    return found


def _works(place: Course, asked: list[str], progress) -> tuple[list[_Work], list[Graded]]:
    """The assignments that were named, or that somebody has ever handed in; and those whose source is broken."""
    works, broken, errors = [], [], []
    for name in place.assignments(asked):
        try:
            work = _work(place, name)
        except (GradingError, OSError) as error:
            errors.append(GradingError(f"{name}: {error}") if isinstance(error, OSError) else error)
            if asked:
                raise errors[0] from error
            broken.append(Graded("", name, "failed", " ".join(str(error).split())))
            continue
        if asked or place.students(name) or any(place.autograded.glob(f"*/{glob.escape(name)}")):
            works.append(work)
    if errors and len(errors) == len(place.assignments(asked)):
        raise errors[0]
    for result in broken:
        progress(line(result))
    return works, broken


def _work(place: Course, name: str) -> _Work:
    import nbformat

    path = place.notebook(name)
    try:
        content = path.read_bytes()
        source = nbformat.reads(content.decode("utf-8"), as_version=4)
    except Exception as error:  # nbformat raises many kinds
        raise GradingError(f"the source notebook {path} cannot be read: {error}") from error
    try:
        frame = Frame(source)
    except GradingError as error:
        raise GradingError(f"{path}: {error}") from error
    if not gradebook.questions(frame.template):
        raise GradingError(f"{path} has no graded cell; mark its tests with nbgrader in JupyterLab")
    extras = place.extras(name)
    parts = [digest(content), *(f"{n}:{digest(p.read_bytes())}" for n, p in extras.items())]
    return _Work(name, source, frame, digest("\n".join(parts).encode()), extras)


# --- Phase 1: run -----------------------------------------------------------------------------------------------


def _run_all(place, works, limits, jobs, regrade, unsafe, progress) -> list[Graded]:
    stop = threading.Event()
    todo = [(work, student) for work in works for student in place.students(work.name)]
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)  # nbclient reports each cell's error; so do we
    results: list[Graded] = []
    # Threads are enough: all the work is done in the sandboxes, and one that fails fails alone.
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_one, place, w, s, limits, regrade, unsafe, stop.is_set) for w, s in todo}
        total = len(waiting)
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    results.append(future.result())
                    progress(f"[{len(results)}/{total}] {line(results[-1])}")
        except BaseException:
            stop.set()  # every sandbox is taken down before the pool lets go
            for future in waiting:
                future.cancel()
            raise
    return sorted(results, key=lambda result: (result.assignment, result.student))


def line(result: Graded) -> str:
    """One line on one submission, and one below it for each thing that was repaired or stopped."""
    words = {
        "graded": f"run in {result.seconds:.1f} s",
        "kept": "unchanged since it was graded",
        "unreadable": f"could not be read: {result.reason}",
        "failed": f"COULD NOT BE GRADED: {result.reason}",
    }[result.status]
    notes = result.notes if result.status == "graded" else ()  # what is kept was told when it was graded
    who = f"{result.assignment} / {result.student}" if result.student else result.assignment
    return "\n    ".join([f"{who}: {words}", *notes])


def _one(place: Course, work: _Work, student: str, limits, regrade, unsafe, halted) -> Graded:
    """Never raises but for Ctrl-C: an error of ours, with one submission, is that submission's alone."""
    result = Graded(student, work.name, "failed")
    try:
        return _graded(place, work, student, result, limits, regrade, unsafe, halted)
    except OSError as error:
        result.reason = f"{error.strerror or error} ({error.filename or 'while saving'})"
    except GradingError as error:
        result.reason = str(error)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        result.reason = (
            f"an error of ours, {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        )
    return result


def _graded(place, work, student, result, limits, regrade, unsafe, halted) -> Graded:
    folder = place.submitted / student / work.name
    target = place.autograded / student / work.name
    mark = {"submission": fingerprint(folder), "source": work.fingerprint}
    before = stamp(target)
    if not regrade and _still_good(before, target, work.name, mark):
        return Graded(student, work.name, "kept" if before["status"] == "graded" else before["status"],
                      before["reason"], before["notes"], before["seconds"])  # fmt: skip
    try:
        file = choose(folder, work.name, answered=work.frame.answered)
        notebook, notes = work.frame.mend(file.cells)
        files = files_beside(folder) | work.extras
        hidden = {place.root, Path(aetutor.__file__).resolve().parents[1] / "notebooks"}
        run = execute(
            notebook, limits=limits, answers=work.frame.names, files=files, hidden=hidden, unsafe=unsafe, halted=halted
        )
        result.status, result.seconds = "graded", run.seconds
        result.notes = file.notes + notes + run.notes
    except Unreadable as error:
        notebook = _refused(work.frame, str(error))
        result.status, result.reason = "unreadable", str(error)
    content = _notebook_bytes(notebook)
    target.mkdir(parents=True, exist_ok=True)
    (target / STAMP).unlink(missing_ok=True)  # until all is written, it is not graded
    write(target / f"{work.name}.ipynb", content)
    repairs = [*result.notes, *([f"could not be read: {result.reason}"] if result.reason else [])]
    write(target / REPAIRS, "".join(f"{note}\n" for note in repairs).encode("utf-8", "replace"))
    mark |= {"notebook": digest(content), "version": aetutor.__version__, "limits": asdict(limits), "unsafe": unsafe}
    mark |= {"status": result.status, "reason": result.reason, "notes": result.notes, "seconds": result.seconds}
    mark |= {"recorded": before.get("recorded", {}), "changed": before.get("changed", [])}
    write(target / STAMP, json.dumps(mark, indent=1).encode())
    return result


def stamp(target: Path) -> dict:
    """What was noted when a submission was graded; empty where it was not, or not to the end."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((target / STAMP).read_bytes())
        if isinstance(found, dict):
            return found
    return {}


def _still_good(before: dict, target: Path, name: str, mark: dict) -> bool:
    if any(before.get(key) != value for key, value in mark.items()):
        return False
    with contextlib.suppress(OSError):
        return digest((target / f"{name}.ipynb").read_bytes()) == before.get("notebook")
    return False


def _refused(frame: Frame, why: str):
    """The empty assignment, every test failed with the reason, so that a page of feedback can say it."""
    import copy

    from aetutor.grading.runner import Plan

    notebook = copy.deepcopy(frame.template)
    plan = Plan(notebook)
    for index in plan.tests:
        plan.fail(index, "NotRun", f"nothing was run, since the submission could not be read: {why}")
    plan.settle()
    return notebook


def _notebook_bytes(notebook) -> bytes:
    import nbformat
    from nbgrader.preprocessors import LimitOutput

    notebook, _ = LimitOutput().preprocess(notebook, {})
    return (nbformat.writes(notebook) + "\n").encode("utf-8", "replace")


# --- Phases 2 and 3: gradebook, feedback, report ----------------------------------------------------------------


def _each(results: list[Graded], doing: str, progress, step) -> None:
    """One step for every submission that has come so far; what fails with one does not stop the others."""
    for result in results:
        if result.status == "failed":
            continue
        try:
            step(result)
        except gradebook.Unusable:  # for this one, so for all
            raise
        except Exception as error:
            result.status, result.reason = "failed", f"{doing} could not be written: {type(error).__name__}: {error}"
            progress(line(result))


def _read(place: Course, result: Graded):
    import nbformat

    path = place.autograded / result.student / result.assignment / f"{result.assignment}.ipynb"
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


def _record(result: Graded, place: Course) -> None:
    target = place.autograded / result.student / result.assignment
    mark = stamp(target)
    notebook = _read(place, result)
    when = place.submitted / result.student / result.assignment / "timestamp.txt"
    timestamp = None
    if when.is_file() and not when.is_symlink():
        from nbgrader.utils import parse_utc

        timestamp = when.read_text(encoding="utf-8", errors="replace").strip()[:100]
        try:
            parse_utc(timestamp)
        except (ValueError, OverflowError):
            result.notes.append(f"timestamp.txt holds {timestamp!r}, which is no time; it was left out")
            timestamp = None
    mark["changed"], remarks = gradebook.record(
        place, result.assignment, result.student, notebook=notebook, timestamp=timestamp,
        known=mark.get("recorded", {}), changed=mark.get("changed", []),
    )  # fmt: skip
    result.notes += remarks
    mark["recorded"] = gradebook.written(notebook)
    write(target / STAMP, json.dumps(mark, indent=1).encode())


def _feedback(result: Graded, place: Course, feedback) -> None:
    target = place.feedback / result.student / result.assignment
    with gradebook.said(place):
        page = feedback.page(result.assignment, result.student, notebook=_read(place, result))
    target.mkdir(parents=True, exist_ok=True)
    write(target / f"{result.assignment}.html", page)


def _tables(place: Course, works, results: list[Graded]) -> None:
    try:
        _reported(place, works, results)
    except OSError as error:
        raise GradingError(f"cannot write to {place.report}: {error.strerror or error}") from error


def _reported(place: Course, works, results: list[Graded]) -> None:
    place.report.mkdir(exist_ok=True)
    everything = []
    for work in works:
        mine = {r.student: r for r in results if r.assignment == work.name}
        words = {"unreadable": "could not be read", "failed": "could not be graded"}
        failed = {s: f"{words[r.status]}: {r.reason}" for s, r in mine.items() if r.status in words}
        asked = gradebook.questions(work.frame.template)
        rows = gradebook.rows(place, work.name, asked, failed)
        for row in rows:
            row.remarks = mine[row.student].notes if row.student in mine else []
        everything.append((work.name, asked, rows))
        done = [_read(place, r) for r in mine.values() if r.status in ("graded", "kept")]
        page = report.page(work.name, asked, rows=rows, hints=report.hints(done), blank=report.not_begun(done))
        write(place.report / f"{work.name}.csv", report.table([(work.name, asked, rows)]))
        write(place.report / f"{work.name}.html", page.encode("utf-8", "replace"))
    write(place.report / "grades.csv", report.table(everything))
