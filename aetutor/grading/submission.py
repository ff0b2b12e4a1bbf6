"""What a student handed in: which file is meant, and its cells, whatever program saved it."""

import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aetutor.grading.course import digest

LARGEST = 20 * 2**20  # bytes


class Unreadable(Exception):
    """A submission that cannot be graded; the message says why, in words for teacher and student.

    returns    : Unreadable
    raises     : nothing
    source     : this course
    taught in  : notebooks/assignments/README.md
    """


@dataclass
class Cell:
    """A cell, stripped of what editors add."""

    kind: str  # code, markdown or raw
    source: str
    grade_id: str | None = None
    id: str | None = None
    attachments: dict | None = None


@dataclass
class File:
    """The file chosen of a submission."""

    name: str
    cells: list[Cell]
    notes: list[str]


def fingerprint(folder: Path) -> str:
    """Changes whenever a notebook in the folder does."""
    parts = [f"{name}:{kind}:{digest(content)}" for name, kind, content in sorted(_candidates(folder))]
    return digest("\n".join(parts).encode("utf-8", "surrogateescape"))


def choose(folder: Path, assignment: str, *, answered: Callable[[list[Cell]], int]) -> File:
    """The notebook that is meant. `answered` counts a notebook's answers; below 0, it is none of this assignment."""
    if folder.is_symlink() or folder.parent.is_symlink():
        raise Unreadable("the folder is a link to somewhere else; links are not followed")
    if not folder.is_dir():
        raise Unreadable("a file stands where the submission's folder is expected")
    readable, refused = [], {}
    for name, kind, content in sorted(_candidates(folder)):
        try:
            if kind != "file":
                raise Unreadable(kind)
            cells, notes = parse(content)
            count = answered(cells)
            if count < 0:
                raise Unreadable("it has no cell of this assignment")
            readable.append((count, name, cells, notes))
        except Unreadable as error:
            refused[name] = str(error)
    exact = f"{assignment}.ipynb"
    if not readable:
        if not refused:
            raise Unreadable("the folder holds no notebook (.ipynb)")
        first = exact if exact in refused else next(iter(refused))
        raise Unreadable(f"{first}: {refused[first]}")
    # The exact name wins, unless it was left blank while another was answered.
    best = max(readable, key=lambda found: (found[0] > 0, found[1] == exact, found[0]))
    _, name, cells, notes = best
    notes = list(notes)
    if name != exact:
        why = f" ({refused[exact]})" if exact in refused else ""
        notes.insert(0, f"the file is called {name!r} instead of {exact!r}{why}; it was taken")
    others = [found[1] for found in readable if found[1] != name]
    if others:
        notes.insert(0, f"several notebooks: {name!r} was taken, not {', '.join(map(repr, others))}")
    return File(name, cells, notes)


def _candidates(folder: Path):
    """(name, "file" or what is wrong with it, content) of what looks like a notebook."""
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return
    for entry in entries:
        if not entry.name.lower().endswith(".ipynb"):
            continue
        try:
            # A pipe would block for ever without O_NONBLOCK, a link would lead out without O_NOFOLLOW.
            handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            why = "it is a link, and links are not followed" if entry.is_symlink() else f"unreadable: {error.strerror}"
            yield entry.name, why, b""
            continue
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            os.close(handle)
            yield entry.name, "it is a folder" if stat.S_ISDIR(mode) else "it is no regular file", b""
            continue
        with open(handle, "rb") as file:
            try:
                content = file.read(LARGEST + 1)
            except OSError as error:
                yield entry.name, f"unreadable: {error.strerror}", b""
                continue
        large = len(content) > LARGEST
        yield entry.name, f"it is larger than {LARGEST >> 20} MB" if large else "file", content


# --- From bytes to cells ----------------------------------------------------------------------------------------


def parse(content: bytes) -> tuple[list[Cell], list[str]]:
    """The cells of a notebook file, and what had to be mended to read it."""
    notes = []
    if not content.strip():
        raise Unreadable("the file is empty")
    text = _decoded(content, notes)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise Unreadable(f"it is not a notebook: no valid JSON{where}") from None
    if not isinstance(data, dict):
        raise Unreadable("it is JSON, but no notebook")
    cells = data.get("cells")
    if cells is None and isinstance(data.get("worksheets"), list):  # nbformat 3 and earlier
        cells = [c for sheet in data["worksheets"] if isinstance(sheet, dict) for c in sheet.get("cells") or []]
        notes.append("notebook format 3 was brought up to date")
    if not isinstance(cells, list):
        raise Unreadable("it is JSON, but no notebook: it has no list of cells")
    found = [_cell(cell) for cell in cells]
    if lost := found.count(None):
        notes.append(f"{lost} broken cell{'s' * (lost > 1)} left out")
    return [cell for cell in found if cell], notes


def _decoded(content: bytes, notes: list[str]) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        notes.append("the file was saved as UTF-16")
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        notes.append("the file is no valid UTF-8; it was read as Latin-1")
        return content.decode("latin-1")


def _cell(cell) -> Cell | None:
    if not isinstance(cell, dict):
        return None
    kind = cell.get("cell_type")
    source = _text(cell.get("source", cell.get("input", "")))
    if kind == "heading":  # nbformat 3
        level = cell.get("level") if isinstance(cell.get("level"), int) else 1
        kind, source = "markdown", f"{'#' * max(1, min(6, level))} {source}"
    if kind not in ("code", "markdown", "raw") or source is None:
        return None
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
    nbgrader = metadata.get("nbgrader") if isinstance(metadata.get("nbgrader"), dict) else {}
    grade_id = nbgrader.get("grade_id")
    attachments = cell.get("attachments")
    return Cell(
        kind,
        source,
        grade_id if isinstance(grade_id, str) else None,
        cell["id"] if isinstance(cell.get("id"), str) and re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"]) else None,
        attachments if _sound(attachments) else None,
    )


def _text(source) -> str | None:
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    return source.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be saved


def _sound(attachments) -> bool:
    """Whether it is {name: {mimetype: text}}."""
    return (
        isinstance(attachments, dict)
        and len(attachments) > 0
        and all(isinstance(v, dict) and all(isinstance(d, str) for d in v.values()) for v in attachments.values())
    )
