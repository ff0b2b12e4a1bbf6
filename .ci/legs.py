"""Run the notebooks where readers run them: with Colab's versions, in Binder's memory, on the oldest versions admitted.

Usage: python legs.py colab|binder|oldest [NOTEBOOK...]      (make test-colab, make test-binder, make test-oldest)

colab   In a virtual environment with Colab's versions. Each notebook lies alone in an empty folder, and its set-up cell
        installs the course, by git, from this working tree. Nothing that is there already may be replaced: that is when
        Colab asks for a restart. Widgets have to be live there, each with its still beside it. Of the assignments'
        student copies, which are to be solved first, the set-up cell runs.
binder  On one processor core, by a kernel that is killed above Binder's memory.
oldest  Unit tests and notebooks in a virtual environment with the lowest versions that pyproject.toml admits.

Virtual environments are kept in build/, and used again while what they are made from is the same.
"""

import argparse
import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
from execute_notebooks import WIDGET_VIEW, NotebookFailed, failure
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
COLAB = ROOT / ".ci" / "colab"
CELL_TIMEOUT = 900  # seconds; it ends what hangs. How fast a chapter is, other tests say, on two cores of their own
BINDER_BYTES = 2e9  # Binder allows 2 GiB for the kernel and the notebook server, which takes the difference
OLDEST_GROUPS = ("lab", "test")
OLDEST_TEACH = ("teach",)
# Where the floor names fewer numbers than the release that it means.
RELEASES = {"opencv-python-headless": "4.10.0.82"}


class LegFailed(Exception):
    """What keeps a whole leg from running, in words for the person who has to mend it."""


# --- Virtual environments -------------------------------------------------------------------------------------


def find_python(asked: str | None, versions: Iterable[str]) -> Path:
    """The Python to make a virtual environment with: the one asked for, or the first here of these versions."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [asked] if asked else []
    if not asked:
        for version in versions:  # a pyenv command on PATH may be for another version, so what it says is checked
            places += [f"python{version}", *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")), reverse=True)]
    for place in [*places, *([] if asked else [sys.executable])]:
        if (found := shutil.which(place)) and (version := python_version(found)):
            if asked or version in versions:
                return Path(found)
    wanted = " or ".join(versions)
    found = f"{asked!r} is not a Python that runs here" if asked else f"no Python {wanted} was found"
    raise LegFailed(f"{found}; name one with --python, such as --python /usr/bin/python{next(iter(versions))}")


def python_version(python: str | Path) -> str | None:
    """ "3.12", or None where it does not run."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    with contextlib.suppress(OSError):
        answer = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
        return answer.stdout.strip() or None if answer.returncode == 0 else None
    return None


def tool(*command: str | Path) -> str:
    """What a command prints. raises : LegFailed with the end of what it said, if it fails"""
    words = [str(part) for part in command]
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        said = "\n".join((answer.stdout + answer.stderr).strip().splitlines()[-25:])
        raise LegFailed(f"this command failed with status {answer.returncode}: {' '.join(words)}\n{said}")
    return answer.stdout


def virtual_environment(name: str, python: Path, requirements: list[str], *, beside: Path | None = None) -> Path:
    """build/NAME with these requirements, as pip takes them; made anew unless all of it is there. Returns its Python.

    With `beside`, another environment's Python, its packages are seen too, behind those that are installed here.
    """
    folder = BUILD / name
    made_from = "\n".join([str(folder), str(python), tool(python, "-VV"), str(beside or ""), *requirements])
    digest = hashlib.sha256(made_from.encode()).hexdigest()
    stamp, inside = folder / ".made-from", folder / "bin" / "python"
    if stamp.exists() and stamp.read_text() == digest and python_version(inside):
        return inside
    print(f"== Python {python_version(python)}: installing into {folder.relative_to(ROOT)} (minutes)", flush=True)
    tool(python, "-m", "venv", "--clear", folder)  # whatever an interrupted call has left goes
    if beside:
        where = "import site; print(site.getsitepackages()[0])"
        packages, theirs = (tool(each, "-c", where).strip() for each in (inside, beside))
        # addsitedir, since a path alone would not take in what is installed there to be edited.
        Path(packages, "beside.pth").write_text(f"import site; site.addsitedir({theirs!r})\n")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(requirements))
        file.flush()
        tool(inside, "-m", "pip", "install", "--quiet", *pip_arguments(), "--requirement", file.name)
    stamp.write_text(digest)  # last, so that an install that was interrupted is done again
    return inside


def pip_arguments() -> list[str]:
    """What `make PIP_ARGS=…` hands on, for instance another package index."""
    return os.environ.get("PIP_ARGS", "").split()


def installed(python: Path) -> dict[str, str]:
    """{name: version} of the packages that this Python has."""
    asked = "import importlib.metadata as m, json; print(json.dumps([(d.name, d.version) for d in m.distributions()]))"
    # The first of a name is the one that is imported.
    return {canonicalize_name(name): version for name, version in reversed(json.loads(tool(python, "-c", asked)))}


def replaced(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What was there before and is not there in the same version after, in words."""
    return [
        f"{name} {version} → {after.get(name, 'removed')}"
        for name, version in sorted(before.items())
        if after.get(name) != version
    ]


def would_install(python: Path, what: str | Path) -> dict[str, str]:
    """{name: version} that pip would install for `what`, beside or in place of what this Python has."""
    said = tool(python, "-m", "pip", "install", "--dry-run", "--quiet", *pip_arguments(), "--report", "-", what)
    items = json.loads(said[said.index("{") :])["install"]
    return {canonicalize_name(item["metadata"]["name"]): item["metadata"]["version"] for item in items}


# --- Notebooks ------------------------------------------------------------------------------------------------


@dataclass
class Place:
    """Where notebooks run.

    python      : Path        the kernel's
    environment : {str: str}  added to ours
    arguments   : [str]       added to the kernel's command
    limit       : float       bytes of memory above which it is killed
    """

    python: Path = Path(sys.executable)
    environment: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    limit: float = float("inf")


class Kernel(KernelSpecManager):
    """Every kernel is the Python of a place, whatever a machine has registered as "python3"."""

    def __init__(self, place: Place):
        super().__init__()
        self._place = place

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [str(self._place.python), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
        return KernelSpec(argv=[*command, *self._place.arguments], display_name="Python 3", language="python")


def memory(tree: list[psutil.Process], *, quick: bool = False) -> int:
    """Bytes that processes hold. What they share with each other counts once; files that are mapped count in full,
    also where neighbours on this machine map the same ones, since on Binder there are none. `quick` may say too much.
    """
    total, files = 0, 0
    for process in tree:
        with contextlib.suppress(psutil.Error, OSError):
            if quick or not Path("/proc/self/smaps_rollup").exists():
                total += process.memory_info().rss
                continue
            # A process that is about to end has none of these lines.
            kept = dict.fromkeys(("Pss_Anon", "Pss_Shmem", "RssFile"), 0)
            for name in ("smaps_rollup", "status"):
                text = Path(f"/proc/{process.pid}/{name}").read_text()
                kept |= {key: int(size) * 1024 for key, size in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M)}
            total += kept["Pss_Anon"] + kept["Pss_Shmem"]
            files = max(files, kept["RssFile"])
    return total + files


class Watch(threading.Thread):
    """Follows the memory of a process and its children; kills them above the limit.

    .peak is the most that was seen, in bytes; .verdict says why they were killed, else None.
    """

    EVERY = 0.05  # seconds; what a kernel fills in that time, about 0.1 GB, can pass unseen

    def __init__(self, pid: int, limit: float = float("inf")):
        super().__init__(daemon=True)
        self.peak, self.verdict = 0, None
        self._root, self._limit, self._end = psutil.Process(pid), limit, threading.Event()

    def run(self) -> None:
        while not self._end.wait(self.EVERY):
            try:
                tree = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:  # it has ended
                return
            if memory(tree, quick=True) > self.peak:  # else it cannot be a new peak; to count exactly takes longer
                self.peak = max(self.peak, memory(tree))
            if self.peak > self._limit:
                self.verdict = f"killed at {self.peak / 1e9:.2f} GB of memory; {self._limit / 1e9:g} GB are allowed"
                for process in tree[::-1]:
                    with contextlib.suppress(psutil.Error):
                        process.kill()
                return

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error) -> None:
        self._end.set()
        self.join()


@dataclass
class Ran:
    """A notebook that ran: with its outputs, and what it cost. `live` holds the ids of the widgets that it made."""

    notebook: nbformat.NotebookNode
    seconds: float
    peak: float
    live: set[str]

    def __str__(self) -> str:
        return f"{self.seconds:6.1f} s  {self.peak / 1e9:.2f} GB at most"


def run(path: Path, place: Place, *, cells: int | None = None, after_setup: Callable[[], None] | None = None) -> Ran:
    """Run a notebook, alone in an empty folder, in a fresh kernel.

    cells       : int         only this many, from the top
    after_setup : () -> None  called once the first code cell, which sets up, has run; what it raises ends the run
    raises      : NotebookFailed  with the cell's number, its source and the error
    """
    started = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    setup = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), None)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=Kernel(place))
    with tempfile.TemporaryDirectory(prefix="aetutor-") as folder:
        shutil.copy(path, folder)
        client = NotebookClient(
            notebook, km=manager, timeout=CELL_TIMEOUT, record_timing=False, resources={"metadata": {"path": folder}}
        )
        client.reset_execution_trackers()
        # A plotting backend chosen for the terminal would leave the notebook without figures.
        kept = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "PYTHONPATH")}
        kept["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else old kernels warn about their debugger amid our lines
        with client.setup_kernel(cleanup_kc=True, env=kept | place.environment):
            with Watch(manager.provisioner.pid, place.limit) as watch:
                for index, cell in enumerate(notebook.cells[:cells]):
                    if cell.cell_type == "code":
                        cell.execution_count, cell.outputs = None, []
                    try:
                        client.execute_cell(cell, index)
                        if index == setup and after_setup:
                            after_setup()
                    except (CellExecutionError, CellControlSignal, DeadKernelError, LegFailed) as error:
                        raise NotebookFailed(failure(cell, index + 1, watch.verdict or error)) from error
    return Ran(notebook, time.perf_counter() - started, watch.peak, set(client.widget_state))


def chapters() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def assignments(kind: str) -> list[Path]:
    """Those with solutions (kind "source"), or the students' copies ("release")."""
    return sorted((ROOT / "notebooks" / "assignments" / kind).glob("*/*.ipynb"))


def report(leg: str, paths: list[Path], each: Callable[[Path], object]) -> bool:
    """Print a line for each notebook and one for all; say whether all passed. `each` runs one, for the line's end."""
    started, failed = time.perf_counter(), []
    if not paths:
        raise LegFailed("no notebook was found in notebooks/")  # green would say that what nobody ran is well
    for number, path in enumerate(paths, 1):
        path = path.resolve()
        name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        line = f"{leg} [{number}/{len(paths)}] {name}  "  # in one piece at its end: another leg may run beside this one
        try:
            print(f"{line}{each(path)}", flush=True)
        except (NotebookFailed, OSError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
            failed.append(str(name))
            print(f"{line}FAILED\n{leg}: {name}: {error}", flush=True)
    minutes = f"{(time.perf_counter() - started) / 60:.1f} minutes"
    passed = f"{len(paths) - len(failed)} of {len(paths)} notebooks passed in {minutes}"
    print(f"== {leg}: {passed}" + "".join(f"\n   FAILED: {name}" for name in failed), flush=True)
    return not failed


# --- Colab ----------------------------------------------------------------------------------------------------


def snapshot(folder: Path) -> Path:
    """A git repository in `folder` whose one commit is this working tree; the repository around us stays untouched."""
    tool("git", "init", "--quiet", "--initial-branch=main", folder)
    git = ("git", f"--git-dir={folder / '.git'}", f"--work-tree={ROOT}")
    (folder / ".git" / "info" / "exclude").write_text(".venv/\nbuild/\n.git\n")  # where no .gitignore says so
    tool(*git, "add", "--all")
    author = ("-c", "user.name=aetutor", "-c", "user.email=nobody@example.invalid", "-c", "commit.gpgSign=false")
    tool(*git, *author, "commit", "--quiet", "--no-verify", "--message", "the working tree")
    return folder


def instead_of(address: str, folder: Path) -> dict[str, str]:
    """What to add to the environment for git to take `folder` where it is asked for `address`."""
    count = int(os.environ.get("GIT_CONFIG_COUNT", 0))
    return {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": f"url.{folder.as_uri()}.insteadOf",
        f"GIT_CONFIG_VALUE_{count}": address,
    }


def widget_problems(ran: Ran) -> list[str]:
    """What is wrong with a notebook's widgets, each with its cell."""
    found = []
    for number, cell in enumerate(ran.notebook.cells, 1):
        if cell.cell_type != "code":
            continue
        shown = [output.data for output in cell.outputs if WIDGET_VIEW in output.get("data", {})]
        dead = [data for data in shown if data[WIDGET_VIEW]["model_id"] not in ran.live]
        if dead:
            found.append(failure(cell, number, "it shows a widget that the kernel does not know"))
        ours = re.search(r"^widgets\.\w+\(", cell.source, re.M)  # shown as it stands, not the part of something
        if ours and not any("image/png" in data for data in shown):
            found.append(failure(cell, number, "it ends in a widget, but shows none with a still picture beside it"))
    return found


def colab_pins() -> list[str]:
    """What Colab has already, as "name==version"."""
    lines = (COLAB / "pins.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def colab_place(python: Path, environment: dict[str, str] | None = None) -> Place:
    """As on Colab, the module google.colab is there, imported before the first cell."""
    there = {"PYTHONPATH": str(COLAB), "COLAB_RELEASE_TAG": "stand-in", **(environment or {})}
    return Place(python, there, ["--IPKernelApp.exec_lines=import google.colab"])


def colab(paths: list[Path], python: str | None) -> bool:
    python = virtual_environment("colab", find_python(python, ("3.12", "3.13")), colab_pins())
    uninstall = (python, "-m", "pip", "uninstall", "--quiet", "--yes", "aetutor")
    tool(*uninstall)
    before = installed(python)
    address = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]

    with tempfile.TemporaryDirectory(prefix="aetutor-") as folder:
        tree = snapshot(Path(folder) / "tree")
        tool("git", "-C", tree, "checkout", "--quiet", "--", ".")
        tool(python, "-m", "pip", "wheel", "--quiet", *pip_arguments(), "--no-deps", "--wheel-dir", folder, tree)
        (wheel,) = Path(folder).glob("aetutor-*.whl")
        check_wheel(python, wheel, before)
        place = colab_place(python, instead_of(address, tree))

        def set_up() -> None:
            if found := replaced(before, installed(python)):
                raise LegFailed(
                    f"the set-up cell replaced what Colab has, which asks for a restart: {', '.join(found)}"
                )
            code = "import importlib.util as u; print(u.find_spec('aetutor').origin)"
            origin = Path(tool(python, "-P", "-c", code).strip())
            if not origin.is_relative_to(BUILD / "colab"):
                raise LegFailed(f"the set-up cell did not install the course; Python finds it in {origin.parent}")

        def each(path: Path) -> Ran:
            tool(*uninstall)
            if path in assignments("release"):  # the rest has to be solved first
                cells = nbformat.read(path, as_version=4).cells
                first = next(number for number, cell in enumerate(cells, 1) if cell.cell_type == "code")
                return run(path, place, cells=first, after_setup=set_up)
            ran = run(path, place, after_setup=set_up)
            if found := widget_problems(ran):
                raise NotebookFailed("\n".join(found))
            return ran

        return report("colab", paths or [*chapters(), *assignments("release")], each)


def check_wheel(python: Path, wheel: Path, before: dict[str, str]) -> None:
    """Print what installing the wheel adds. raises : LegFailed if it would replace what is there"""
    coming = would_install(python, wheel)
    if found := replaced({name: version for name, version in before.items() if name in coming}, coming):
        raise LegFailed(
            f"Colab would be asked to restart, since installing the course replaces {', '.join(found)}. "
            "Lower the floor in pyproject.toml, or write what Colab has by now into .ci/colab/pins.txt."
        )
    versions = ", ".join(f"{name} {before[name]}" for name in ("torch", "numpy", "ipykernel", "ipython", "ipywidgets"))
    print(f"== Colab: Python {python_version(python)}, {versions}")
    print(f"== Installing {wheel.name} adds {', '.join(sorted(coming))} and replaces nothing", flush=True)


# --- Binder ---------------------------------------------------------------------------------------------------


def binder(paths: list[Path], python: str | None) -> bool:
    if hasattr(os, "sched_setaffinity"):
        core = max(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {core})  # ours, and so every kernel's
        print(f"== Binder: core {core} alone, {BINDER_BYTES / 1e9:g} GB of memory for a kernel", flush=True)
    else:
        print(f"== Binder: one thread, {BINDER_BYTES / 1e9:g} GB (this system pins no process to a core)", flush=True)
    place = Place(Path(python or sys.executable), {"OMP_NUM_THREADS": "1"}, limit=BINDER_BYTES)
    return report("binder", paths or [*chapters(), *assignments("source")], lambda path: run(path, place))


# --- Oldest versions ------------------------------------------------------------------------------------------


def lowest(requirements: Iterable[str]) -> list[str]:
    """Requirements with each floor made a pin; where one name has several floors, the highest."""
    floors: dict[str, Version] = {}
    for requirement in map(Requirement, requirements):
        (bound,) = requirement.specifier
        if bound.operator != ">=":
            raise LegFailed(f"pyproject.toml asks for {requirement}, which is not a floor, so its lowest is unknown")
        version = Version(RELEASES.get(requirement.name, bound.version))
        floors[requirement.name] = max(version, floors.get(requirement.name, version))
    return [f"{name}=={version}" for name, version in floors.items()]


def oldest(paths: list[Path], python: str | None, *, tests: bool = True) -> bool:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = project["optional-dependencies"]
    first = project["requires-python"].removeprefix(">=")
    python = find_python(python, (first, "3.12"))  # 3.12 is the newest that the oldest torch knows

    def pins(*names: str) -> list[str]:
        return lowest([*project["dependencies"], *(line for name in names for line in groups[name])])

    base = pins(*OLDEST_GROUPS)
    inside = virtual_environment("oldest", python, [*base, f"--editable {ROOT}"])
    good = True
    if tests:
        # nbgrader needs newer partners than the course does, so the tests that use it run in an environment of theirs:
        # the lowest nbgrader, the partners that pip finds for it, and all else as in the first.
        files = sorted((ROOT / "tests").glob("test_*.py"))
        with_nbgrader = [file for file in files if "nbgrader" in file.read_text("utf-8")]
        good = unit_tests("oldest", inside, [file for file in files if file not in with_nbgrader])
        more = [pin for pin in pins(*OLDEST_GROUPS, *OLDEST_TEACH) if pin not in base]
        graders = virtual_environment("oldest-teach", python, more, beside=inside)
        shared = inside.parent.parent / "share" / "jupyter"  # the templates of what the first one holds
        good &= unit_tests("oldest, with nbgrader", graders, with_nbgrader, JUPYTER_PATH=str(shared))
    place = Place(inside)
    return report("oldest", paths or [*chapters(), *assignments("source")], lambda path: run(path, place)) and good


def unit_tests(leg: str, python: Path, files: list[Path], **more: str) -> bool:
    """Run test files with this Python, as `make test` does; say whether all passed."""
    print(f"== {leg}: unit tests ({len(files)} files)", flush=True)
    environment = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"} | more
    words = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not browser"]
    words += ["--numprocesses=2", "--dist=loadfile", *map(str, files)]  # two at a time, as in the Makefile
    told = {"stdout": subprocess.PIPE, "text": True, "errors": "replace"}
    with subprocess.Popen(words, cwd=ROOT, env=environment, **told) as tests:
        try:
            for line in tests.stdout:  # whole lines, for the same reason as in `report`
                print(f"{leg}: {line}", end="", flush=True)
        except BaseException:  # stopped: they do not outlive us
            tests.kill()
            raise
    return tests.returncode == 0


# --- Command line ---------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("leg", choices=("colab", "binder", "oldest"))
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK", help="these instead of all")
    parser.add_argument("--python", help="the Python that makes the leg's virtual environment")
    parser.add_argument("--no-tests", action="store_true", help="oldest: notebooks without the unit tests")
    given = parser.parse_intermixed_args(arguments)  # options may stand anywhere
    options = {"tests": not given.no_tests} if given.leg == "oldest" else {}
    # A shell starts what it runs in the background with SIGINT ignored; and kernels should not outlive us.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.default_int_handler)
    try:
        return 0 if globals()[given.leg](given.notebooks, given.python, **options) else 1
    except LegFailed as error:
        print(f"{given.leg}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # an older nbclient leaves the cell unawaited
        print(f"\n{given.leg}: stopped; the same command starts again, with what is installed", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
