"""Repair of a submission against the source: answers from the student, everything else from the teacher."""

import copy
import itertools
import re
from collections.abc import Iterable

from aetutor.grading.copies import release, template
from aetutor.grading.plan import bound_by
from aetutor.grading.submission import Cell, parse


def repair(submission, notebook):
    """A submission in the teacher's frame: locked cells, order, points and hidden tests are the teacher's.

    submission : bytes       a notebook file as handed in; of any editor, with nbgrader's metadata or without
    notebook   : NotebookNode the teacher's, solutions and hidden tests in it
    returns    : (NotebookNode, list of str) what can be executed and graded, and what was repaired
    raises     : Unreadable  if it is no notebook
    source     : this course; cells are matched by nbgrader's grade_id, else by what they hold
    taught in  : notebooks/assignments/README.md
    """
    cells, notes = parse(submission)
    mended, more = Frame(notebook).mend(cells)
    return mended, notes + more


class Frame:
    """What the source fixes, made once for all submissions."""

    def __init__(self, source):
        self.template, self.release = template(source), release(source)
        self.fixed = {_grade_id(cell): cell for cell in self.template.cells if _grade_id(cell)}
        self.stubs = {_grade_id(cell): _plain(cell.source) for cell in self.release.cells if _grade_id(cell)}
        # What questions ask for, which may be called like something of Python's own.
        asked = [cell.source for name, cell in self.fixed.items() if cell.cell_type == "code" and self.is_answer(name)]
        self.names = set().union(*map(bound_by, asked))
        self.loose = {_plain(cell.source) for cell in self.release.cells if not _grade_id(cell)}

    def is_answer(self, grade_id: str) -> bool:
        return bool(self.fixed[grade_id].metadata.nbgrader.get("solution"))

    def answered(self, cells: list[Cell]) -> int:
        """How many questions have an answer; −1 where no cell is of this assignment."""
        found = self._match(cells)
        if not found:
            return -1
        return sum(self.is_answer(name) and not self._blank(cells[index], name) for index, name in found.items())

    def mend(self, cells: list[Cell]):
        """The notebook to be graded, and what was repaired."""
        notes: list[str] = []
        matched = self._match(cells)
        by_name = {name: [i for i, n in matched.items() if n == name] for name in self.fixed}
        if matched and not any(cells[i].grade_id == name for i, name in matched.items()):
            notes.append("nbgrader's metadata is gone; cells were found by their first line, function or heading")
        answers, dropped = {}, set()
        for name, found in by_name.items():
            self._settle(name, found, cells, answers, dropped, notes)
        order = [answers.get(name, found[0]) for name, found in by_name.items() if found]
        if order != sorted(order):
            notes.append("the order of the cells was put back")
        return self._assembled(cells, matched, answers, dropped), notes

    # --- Which cell is which ------------------------------------------------------------------------------------

    def _match(self, cells: list[Cell]) -> dict[int, str]:
        """Index of a student's cell -> grade_id of the source's."""
        found = {i: cell.grade_id for i, cell in enumerate(cells) if cell.grade_id in self.fixed}

        def wanted(name: str, empty: bool) -> bool:
            have = [i for i, n in found.items() if n == name]
            return not have or (empty and self.is_answer(name) and all(self._blank(cells[i], name) for i in have))

        for same, empty in (
            (self._same_text, False),
            (self._same_question_and_function, True),  # an answer that was pasted beside its emptied cell
            (self._same_question, False),
            (self._same_function, False),
            (self._same_heading, False),
            (self._same_stub, False),
        ):
            names = [name for name in self.fixed if wanted(name, empty)]
            for i, cell in enumerate(cells):
                name = next((n for n in names if i not in found and same(cell, n)), None)
                if name:
                    found[i] = name
                    if not self.is_answer(name):
                        names.remove(name)  # two locked cells may read the same
        self._written_in_place(cells, found, wanted)
        return found

    def _written_in_place(self, cells, found, wanted) -> None:
        """A written answer without metadata and heading is known by the locked cell that it follows."""
        names = list(self.fixed)
        for before, name in itertools.pairwise(names):
            if self.fixed[name].cell_type == "markdown" and self.is_answer(name) and wanted(name, False):
                for i in sorted(i + 1 for i, n in found.items() if n == before):
                    if i < len(cells) and i not in found and cells[i].kind == "markdown":
                        if _plain(cells[i].source) not in self.loose:
                            found[i] = name
                            break

    def _same_text(self, cell: Cell, name: str) -> bool:
        ours = (_plain(self.fixed[name].source), self.stubs[name])
        return not self.is_answer(name) and cell.kind == self.fixed[name].cell_type and _plain(cell.source) in ours

    def _same_stub(self, cell: Cell, name: str) -> bool:
        ours = self.fixed[name].cell_type == cell.kind and self.is_answer(name)
        return ours and bool(self.stubs[name]) and _plain(cell.source) == self.stubs[name]

    def _code_answer(self, cell: Cell, name: str) -> bool:
        return cell.kind == self.fixed[name].cell_type == "code" and self.is_answer(name)

    def _same_question_and_function(self, cell: Cell, name: str) -> bool:
        # A cell that is somebody else's by its metadata is not asked: `found` holds it already.
        return self._same_question(cell, name) and self._same_function(cell, name) and not self._blank(cell, name)

    def _same_question(self, cell: Cell, name: str) -> bool:
        mine = _question(self.fixed[name].source)
        return self._code_answer(cell, name) and mine is not None and _question(cell.source) == mine

    def _same_function(self, cell: Cell, name: str) -> bool:
        return self._code_answer(cell, name) and bool(_defined(cell.source) & _defined(self.fixed[name].source))

    def _same_heading(self, cell: Cell, name: str) -> bool:
        mine = _heading(self.fixed[name].source)
        return cell.kind == self.fixed[name].cell_type == "markdown" and bool(mine) and _heading(cell.source) == mine

    def _blank(self, cell: Cell, name: str) -> bool:
        return _plain(cell.source) in ("", self.stubs[name])

    # --- What is taken of it ------------------------------------------------------------------------------------

    def _settle(self, name, found, cells, answers, dropped, notes) -> None:
        """Chooses the answer among the cells found for one of ours, and notes what was wrong."""
        if not self.is_answer(name):
            dropped.update(found)  # ours is taken
            kind = "test cell" if self.fixed[name].metadata.nbgrader.get("grade") else "locked cell"
            ours = (self.stubs[name], _plain(self.fixed[name].source))
            if not found:
                notes.append(f"{kind} {name!r} was deleted; put back")
            elif len(found) > 1:
                notes.append(f"{kind} {name!r} stood there {len(found)} times; ours was taken, once")
            elif _plain(cells[found[0]].source) not in ours or cells[found[0]].kind != self.fixed[name].cell_type:
                notes.append(f"{kind} {name!r} was changed; ours was taken")
            return
        real = [i for i in found if not self._blank(cells[i], name)]
        dropped.update(set(found) - set(real))
        if not found:
            notes.append(f"answer cell {name!r} was deleted; put back without an answer")
        if len(real) > 1:
            notes.append(f"answer cell {name!r} stood there {len(real)} times; the last one was taken")
        elif len(found) > 1:
            notes.append(f"answer cell {name!r} stood there {len(found)} times; the one with an answer was taken")
        if real:
            answers[name] = real[-1]
            cell = cells[real[-1]]
            if cell.kind != self.fixed[name].cell_type:
                notes.append(f"answer cell {name!r} had become a {cell.kind} cell; it was changed back")
            if cell.grade_id and cell.grade_id != name:
                notes.append(f"answer cell {name!r} was called {cell.grade_id!r}; it was known by what it holds")

    def _assembled(self, cells, matched, answers, dropped):
        """Our cells in our order, and each extra cell of the student's behind the one of ours that it followed."""
        import nbformat

        taken = set(answers.values())
        behind: dict[str | None, list[int]] = {}
        last = None
        for i in range(len(cells)):
            if i in taken or (i in matched and i in dropped):
                last = matched[i]
            else:  # an extra cell, or an earlier version of an answer
                behind.setdefault(last, []).append(i)
        used = {cell.id for cell in self.template.cells if "id" in cell}
        result = copy.deepcopy(self.template)
        result.cells = [_extra(cells[i], i, used) for i in behind.get(None, [])]
        for name, ours in self.fixed.items():
            cell = copy.deepcopy(ours)
            if name in answers:
                theirs = cells[answers[name]]
                cell.source = theirs.source
                if theirs.attachments and cell.cell_type == "markdown":
                    cell.attachments = nbformat.from_dict(theirs.attachments)
            result.cells.append(cell)
            result.cells += [_extra(cells[i], i, used) for i in behind.get(name, [])]
        kept = ("kernelspec", "language_info")
        result.metadata = nbformat.from_dict({k: v for k, v in self.template.metadata.items() if k in kept})
        return result


def _extra(cell: Cell, number: int, used: set[str]):
    import nbformat

    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    new = make.get(cell.kind, nbformat.v4.new_raw_cell)(cell.source)
    new.id = cell.id if cell.id and cell.id not in used else _unused(f"extra-{number + 1}", used)
    used.add(new.id)
    if cell.attachments and cell.kind != "code":
        new.attachments = nbformat.from_dict(cell.attachments)
    return new


def _unused(name: str, used: Iterable[str]) -> str:
    return next(n for n in (name, *(f"{name}-{k}" for k in range(2, 10**6))) if n not in used)


def _grade_id(cell) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _plain(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def _question(source: str) -> str | None:
    found = re.match(r"\s*#+\s*question\s+(\w+)", source, re.IGNORECASE)
    return found and found[1].lower()


def _defined(source: str) -> set[str]:
    return set(re.findall(r"^(?:async\s+def|def|class)\s+(\w+)", source, re.MULTILINE))


def _heading(source: str) -> str | None:
    found = re.match(r"\s*#{1,6}\s+(.+)", source)
    return found and found[1].strip().lower()
