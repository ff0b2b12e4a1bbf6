"""Runs a repaired submission, cell by cell, in kernels that may die: one bad cell costs only what hangs on it."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from aetutor.grading.conversation import OVERDUE, Conversation, Culprit
from aetutor.grading.plan import Plan
from aetutor.grading.sandbox import Sandbox
from aetutor.grading.walls import Limits

RESTARTS = 3
AFTERWARDS = 10  # seconds for a cell without points, below one that took too long


@dataclass
class Run:
    """What came of one submission: cells that were stopped, with the reason, and what it took."""

    stopped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    kernels: int = 0
    overdue: int | None = None  # the first cell that took too long: what it defined, cells below may call

    def stop(self, index: int, *, name: str, reason: str) -> None:
        self.stopped[name] = reason
        if reason.startswith(OVERDUE) and (self.overdue is None or index < self.overdue):
            self.overdue = index

    @property
    def notes(self) -> list[str]:
        return [f"cell {name}: {reason}" for name, reason in self.stopped.items()]


def execute(
    notebook, *, limits: Limits, answers=(), files=None, hidden=(), unsafe: bool = False, halted=lambda: False
) -> Run:
    """Fills the outputs of a repaired notebook in, in place. `answers` are the names that questions ask for."""
    started = time.monotonic()
    run, plan = Run(), Plan(notebook)
    culprits: dict[int, str] = {}
    deadline = started + limits.total_seconds
    last, over = None, ""
    for _ in range(RESTARTS + 1):
        plan.clear()
        guard = {"modules": plan.modules}
        with Sandbox(limits, guard=guard, files=files or {}, hidden=hidden, unsafe=unsafe) as sandbox:
            run.kernels += 1
            with Conversation(sandbox, plan, answers=sorted(answers), deadline=deadline, halted=halted) as talk:
                last = _through(plan, talk, culprits, run, limits)
        if last is None:
            break
        over = "the time for this submission was used up" if time.monotonic() >= deadline else "an earlier cell failed"
        if last >= plan.last_test or time.monotonic() >= deadline:
            break
    if last is not None:
        for index in plan.code:
            if index > last and index not in culprits:
                plan.fail(index, "NotRun", f"this cell was not run: {over}")
    plan.settle()
    run.seconds = time.monotonic() - started
    return run


def _through(plan: Plan, talk: Conversation, culprits: dict[int, str], run: Run, limits: Limits) -> int | None:
    """Runs every cell but the culprits; where it came to an end with a new one, or None."""
    for index in plan.code:
        if index in culprits:
            plan.fail(index, "Stopped", culprits[index])
            continue
        # One endless loop is waited for once in full, not in every cell that calls it; tests keep all their time.
        hurry = run.overdue is not None and index >= run.overdue and index not in plan.tests
        seconds = min(AFTERWARDS, limits.cell_seconds) if hurry else limits.cell_seconds
        try:
            if reason := talk.run(index, seconds=seconds):
                run.stop(index, name=plan.name(index), reason=reason)
        except Culprit as error:
            blamed = index if error.cell is None else error.cell  # an earlier cell may have left something running
            culprits[blamed] = str(error)
            run.stop(blamed, name=plan.name(blamed), reason=str(error))
            plan.fail(blamed, "Stopped", str(error))
            return index
    return None


def files_beside(folder: Path) -> dict[str, Path]:
    """A student's other files, such as a module or a picture, that the notebook may need."""
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []:
        if path.is_symlink() or not path.is_file() or path.name.startswith(".") or path.suffix.lower() == ".ipynb":
            continue
        if path.name != "timestamp.txt" and path.stat().st_size <= 20 * 2**20 and len(found) < 50:
            found[path.name] = path
    return found
