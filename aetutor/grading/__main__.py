"""`python -m aetutor.grading COURSE`: grades what students handed in; `--setup` makes the course folder."""

import argparse
import signal
import sys
from collections import Counter
from pathlib import Path

from aetutor.grading.batch import fitting_jobs, grade
from aetutor.grading.copies import release
from aetutor.grading.course import GradingError, need_nbgrader, repository, set_up, write
from aetutor.grading.walls import Limits

EXAMPLES = """examples:
  python -m aetutor.grading --setup ~/course             a folder with the assignments, in nbgrader's layout
  python -m aetutor.grading ~/course                     grade all that is new in ~/course/submitted/STUDENT/ASSIGNMENT/
  python -m aetutor.grading ~/course 01_gradient --jobs 2 --cell-seconds 120
  python -m aetutor.grading --release                    notebooks/assignments/release, made from its source
"""
UNGUARDED = """WARNING: --unsafe runs students' code without a sandbox, with all rights that you have. It can read and
change your files, this course with its gradebook and hidden tests, and use your network. Time, memory and processes
are watched; disk, files and network are not guarded at all.
"""


def main(arguments: list[str] | None = None) -> int:
    """The command line of grading.

    arguments  : list of str what follows `python -m aetutor.grading`; by default what the shell gave
    returns    : int         exit status: 0 if all that was handed in is graded, 1 if the tool failed for some or for
                             all, 2 for a wrong option, 130 after Ctrl-C
    raises     : nothing
    source     : this course
    taught in  : notebooks/assignments/README.md
    """
    form = _form()
    asked = form.parse_intermixed_args(arguments)
    if asked.course is None and not asked.release:
        form.error("name the course folder: python -m aetutor.grading COURSE")
    try:
        if asked.release:
            return _release(asked)
        if asked.setup:
            return _set_up(asked)
        return _grade(asked, form)
    except (GradingError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What is graded stays graded; the same line goes on from there.", file=sys.stderr)
        return 130


def _form() -> argparse.ArgumentParser:
    form = argparse.ArgumentParser(
        prog="python -m aetutor.grading", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Repairs, runs and scores what students handed in, each notebook in a sandbox of its own.",
    )  # fmt: skip
    limits = Limits()
    add = form.add_argument
    add("course", nargs="?", metavar="COURSE", help="the course folder")
    add("assignment", nargs="*", metavar="ASSIGNMENT", help="assignments to grade (default: all)")
    add("--setup", action="store_true", help="make the folder COURSE, or add what it lacks; overwrites nothing")
    add("--release", action="store_true", help="make the students' copies of the repository's assignments")
    add("--assignments", metavar="FOLDER", help="where source/ and release/ are (default: the repository's)")
    add("--jobs", type=int, help="submissions at a time (default: half the cores, as memory allows)")
    for name, kind, text in (
        ("cell_seconds", float, "time for one cell"),
        ("total_seconds", float, "time for one notebook"),
        ("memory_gb", float, "memory of one notebook"),
        ("processes", int, "processes and threads of one notebook"),
        ("disk_mb", int, "disk space of one notebook"),
        ("output_mb", float, "output of one cell"),
    ):
        add(f"--{name.replace('_', '-')}", type=kind, help=f"{text} (default: {getattr(limits, name)})",
            default=getattr(limits, name))  # fmt: skip
    add("--regrade", action="store_true", help="grade again what has not changed since it was graded")
    add("--unsafe", action="store_true", help="without a sandbox: students' code may do all that you may do")
    return form


def _grade(asked, form) -> int:
    names = ("cell_seconds", "total_seconds", "memory_gb", "processes", "disk_mb", "output_mb")
    try:
        limits = Limits(**{name: getattr(asked, name) for name in names})
    except ValueError as error:
        form.error(str(error))
    if asked.jobs is not None and asked.jobs < 1:
        form.error(f"--jobs is {asked.jobs}; expected a whole number above 0")
    if asked.unsafe:
        print(UNGUARDED, file=sys.stderr)
    need_nbgrader()
    for name in (signal.SIGTERM, signal.SIGINT):  # `kill` leaves nothing running either; a shell's & ignores SIGINT
        signal.signal(name, signal.default_int_handler)
    jobs = asked.jobs or fitting_jobs(limits)
    print(f"{jobs} at a time; {limits.cell_seconds:g} s a cell, {limits.memory_gb:g} GB a notebook", flush=True)
    results = grade(
        asked.course, asked.assignment, limits=limits, jobs=jobs, regrade=asked.regrade, unsafe=asked.unsafe,
        progress=lambda line: print(line, flush=True),
    )  # fmt: skip
    counts = Counter(result.status for result in results)
    words = {"graded": "graded", "kept": "unchanged", "unreadable": "could not be read", "failed": "NOT GRADED"}
    said = [f"{counts[status]} {text}" for status, text in words.items() if counts[status]]
    print(f"{', '.join(said) or 'Nothing was submitted'}. Scores: {Path(asked.course) / 'report' / 'grades.csv'}")
    return 1 if counts["failed"] else 0


def _set_up(asked) -> int:
    added = set_up(asked.course, assignments=asked.assignments)
    for name in added:
        print(f"added {name}")
    print(f"{asked.course} is ready. Submissions go to submitted/STUDENT/ASSIGNMENT/; then: make grade COURSE=...")
    return 0


def _release(asked) -> int:
    need_nbgrader()
    import nbformat

    place = repository(asked.assignments)
    for path in sorted((place / "source").glob("*/*.ipynb")):
        if path.stem != path.parent.name:
            continue
        copy = release(nbformat.reads(path.read_text(encoding="utf-8"), as_version=4))
        target = place / "release" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, (nbformat.writes(copy) + "\n").encode())
        print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
