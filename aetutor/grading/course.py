"""A course folder in nbgrader's layout: where everything lies, and how files get there whole."""

import difflib
import hashlib
import importlib.util
import os
import secrets
import shlex
import shutil
from pathlib import Path

CONFIG = '''"""nbgrader's settings for this course: every nbgrader command works in this folder."""

import os

c = get_config()  # noqa: F821
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
c.CourseDirectory.course_id = {course!r}
c.CourseDirectory.db_url = "sqlite:///" + os.path.join(c.CourseDirectory.root, "gradebook.db")

# `nbgrader autograde` runs students' code without a sandbox; `make grade` gives each one of its own.

# An archive of submissions from a learning management system, put into downloaded/ASSIGNMENT/archive/, is sorted into
# submitted/ by `nbgrader zip_collect ASSIGNMENT --force`. The pattern reads Moodle's names, in folders or not,
#   Ada Lovelace_12345_assignsubmission_file_/01_gradient.ipynb
# and Canvas's, one file a student, with LATE where it was:
#   lovelaceada_LATE_12345_67890_01_gradient-1.ipynb
# Two students of one name, or names that are hidden, need the number in the student's name: write
# (?P<student_id>[^/]+?_(?:LATE_)?\\d+) in place of (?P<student_id>[^/]+?)_(?:LATE_)?\\d+.
c.FileNameCollectorPlugin.named_regexp = (
    r".*/(?P<student_id>[^/]+?)_(?:LATE_)?\\d+"
    r"_(?:assignsubmission_file_?/?(?:[^/]+/)*|\\d+_)(?P<file_id>[^/]+)\\.ipynb$"
)
'''


class GradingError(RuntimeError):
    """What keeps a course from being graded; the message says what to do.

    returns    : GradingError
    raises     : nothing
    source     : this course
    taught in  : notebooks/assignments/README.md
    """


class Course:
    """The folders of a course, as nbgrader lays them out."""

    def __init__(self, root):
        self.root = Path(root).expanduser().absolute()
        if not self.root.is_dir():
            raise GradingError(
                f"{self.root} is no folder. Make one first: make course COURSE={shlex.quote(str(self.root))}"
            )
        if not (self.root / "source").is_dir():
            raise GradingError(
                f"{self.root} holds no folder `source`, so it is no course folder. "
                f"Make it one: make course COURSE={shlex.quote(str(self.root))}"
            )
        self.source, self.submitted = self.root / "source", self.root / "submitted"
        self.autograded, self.feedback = self.root / "autograded", self.root / "feedback"
        self.report = self.root / "report"
        self.db, self.id = self._configured()

    def _configured(self) -> tuple[str, str]:
        """(address of the gradebook, course id), as nbgrader's settings in this folder have them."""
        from traitlets.config import PyFileConfigLoader

        settings = {}
        if (self.root / "nbgrader_config.py").is_file():
            try:
                settings = PyFileConfigLoader("nbgrader_config.py", str(self.root)).load_config().CourseDirectory
            except Exception as error:  # whatever a teacher's file does
                raise GradingError(f"{self.root / 'nbgrader_config.py'} cannot be read: {error}") from error
        found = settings.get("db_url"), settings.get("course_id")
        db = found[0] if isinstance(found[0], str) else f"sqlite:///{self.root / 'gradebook.db'}"
        return db, found[1] if isinstance(found[1], str) and found[1] else "default_course"

    def notebook(self, assignment: str) -> Path:
        return self.source / assignment / f"{assignment}.ipynb"

    def assignments(self, asked=()) -> list[str]:
        known = sorted(
            path.name for path in self.source.iterdir() if path.is_dir() and self.notebook(path.name).is_file()
        )
        asked = [name.rstrip("/") for name in asked]  # a shell completes the name of a folder so
        for name in asked:
            if name not in known:
                meant = "".join(f" (did you mean {other}?)" for other in difflib.get_close_matches(name, known, 1))
                raise GradingError(
                    f"there is no assignment {name!r} in {self.source}{meant}; "
                    f"there are: {', '.join(known) or 'none yet'}"
                )
        if not known:
            raise GradingError(
                f"{self.source} holds no assignment; expected source/NAME/NAME.ipynb. "
                f"`make course COURSE={shlex.quote(str(self.root))}` copies the course's own there"
            )
        return [name for name in known if not asked or name in asked]

    def students(self, assignment: str) -> list[str]:
        """Who has handed in something, be it unreadable."""
        if not self.submitted.is_dir():
            return []
        folders = (path for path in self.submitted.iterdir() if not path.name.startswith("."))
        return sorted(path.name for path in folders if os.path.lexists(path / assignment))

    def extras(self, assignment: str) -> dict[str, Path]:
        """Files that the teacher put beside the source notebook: the submission sees them too."""
        files = sorted(path for path in (self.source / assignment).iterdir() if path.is_file())
        return {path.name: path for path in files if path.suffix != ".ipynb" and not path.name.startswith(".")}


def set_up(course, *, assignments=None) -> list[str]:
    """Makes a course folder, or adds to one what is missing; nothing that is there is overwritten.

    course     : path        the folder to make
    assignments : path       a folder with source/ and release/; by default the repository's notebooks/assignments
    returns    : list of str what was added, relative to the folder
    raises     : GradingError if there are no assignments to copy, or the folder cannot be written
    source     : this course
    taught in  : notebooks/assignments/README.md
    """
    origin = repository(assignments)
    root = Path(course).expanduser().absolute()
    added = []
    try:
        root.mkdir(parents=True, exist_ok=True)
        for kind in ("source", "release"):
            for path in sorted((origin / kind).rglob("*")):
                inside = path.relative_to(origin)
                if path.is_file() and not any(part.startswith(".") for part in inside.parts):
                    if not os.path.lexists(root / inside):
                        (root / inside).parent.mkdir(parents=True, exist_ok=True)
                        write(root / inside, path.read_bytes())
                        added.append(str(inside))
        for name in ("submitted",):
            if not (root / name).is_dir():
                (root / name).mkdir()
                added.append(name + "/")
        if not os.path.lexists(root / "nbgrader_config.py"):
            write(root / "nbgrader_config.py", CONFIG.format(course=root.name).encode())
            added.append("nbgrader_config.py")
    except OSError as error:
        raise GradingError(f"the course folder {root} cannot be made: {error}") from error
    return added


def repository(assignments=None) -> Path:
    """The folder that holds source/ and release/ of the course's assignments."""
    found = Path(assignments) if assignments else Path(__file__).resolve().parents[2] / "notebooks" / "assignments"
    if not (found / "source").is_dir():
        if assignments:
            raise GradingError(f"--assignments is {str(assignments)!r}, which holds no folder `source`")
        raise GradingError(
            "this installation has no assignments, since only the repository holds them; "
            "clone it and name the folder: --assignments aetutor/notebooks/assignments"
        )
    return found


def need_nbgrader() -> None:
    """One clear error where the extra is not installed."""
    if importlib.util.find_spec("nbgrader") is None:
        raise GradingError('grading needs nbgrader, which is not installed: pip install "aetutor[teach]"')


def write(path: Path, content: bytes) -> None:
    """All of the content or none: a full disk or a lost power leaves what was there before."""
    beside = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
