"""The walls of a sandbox: what students' code can see, as arguments of bubblewrap; and whether it works here."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import aetutor
from aetutor.grading.course import GradingError

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = ("/etc/ld.so.cache", "/etc/fonts", "/etc/alternatives", "/etc/localtime")
PASSED_ON = ("AETUTOR_SEED", "TZ")
CHANNEL = "/channel"  # where the kernel's sockets are, seen from inside
INSIDE = "/tmp/work"  # the kernel's working folder, seen from inside


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    cell_seconds : float     for one cell, then it is interrupted
    total_seconds : float    for the whole notebook, restarts included
    memory_gb  : float       of the kernel and its processes together, 10⁹ bytes
    processes  : int         processes and threads together
    disk_mb    : int         in /tmp, and as much again in /dev/shm; 10⁶ bytes
    output_mb  : float       of one cell; 10⁶ bytes
    returns    : Limits
    raises     : ValueError  if one is not a number above 0
    source     : this course
    taught in  : notebooks/assignments/README.md
    """

    cell_seconds: float = 60
    total_seconds: float = 900
    memory_gb: float = 3
    processes: int = 64
    disk_mb: int = 256
    output_mb: float = 8

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ValueError(f"{field.name} is {value!r}; expected a number above 0")


def environment(home: str, temporary: str) -> dict[str, str]:
    shown = {
        "HOME": home,
        "TMPDIR": temporary,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "LANG": "C.UTF-8",
        "USER": "student",
        "OMP_NUM_THREADS": "1",  # whatever the grader's: submissions side by side would wait for each other
        "OPENBLAS_NUM_THREADS": "1",
        "IPYTHONDIR": f"{home}/.ipython",
        "PYTHONDONTWRITEBYTECODE": "1",
        "NBGRADER_EXECUTION": "autograde",
    }
    shown |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    if "AETUTOR_DATA" in os.environ:
        shown["AETUTOR_DATA"] = str(Path(os.environ["AETUTOR_DATA"]).expanduser().absolute())
    places = [str(path) for path in _python() if path.name in ("site-packages", "dist-packages")]
    package = Path(aetutor.__file__).parent
    if package.parent.name not in ("site-packages", "dist-packages"):  # a checkout
        places.append(str(package.parent))
    return shown | ({"PYTHONPATH": os.pathsep.join(places)} if places else {})


@functools.cache
def _python() -> tuple[Path, ...]:
    """What Python needs to run this package."""
    prefixes = {Path(p).absolute() for p in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)}
    prefixes |= {Path(sys.executable).resolve().parents[1]}
    found = sorted(path for path in prefixes if not path.is_relative_to("/usr") or path == Path("/usr/local"))
    found = [path for path in found if path != Path("/")]
    for entry in map(Path, sys.path):  # such as pip's --user
        packages = entry.name in ("site-packages", "dist-packages") and entry.is_dir()
        if packages and not any(entry.is_relative_to(path) for path in (*found, Path("/usr"))):
            found.append(entry)
    return tuple(found)


def bubblewrap(limits: Limits, folder: Path, files: dict[str, Path], hidden=()) -> list[str]:
    size = str(int(limits.disk_mb * 1e6))
    home = "/tmp/home"
    wall = [_bwrap(), "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    wall += ["--uid", "1000", "--gid", "1000", "--hostname", "grader"]
    if "--disable-userns" in _abilities():
        wall += ["--unshare-user", "--disable-userns"]
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            wall += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            wall += ["--ro-bind", str(path), str(path)]
    for path in SETTINGS:
        wall += ["--ro-bind-try", path, path]
    wall += [
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--size",
        size,
        "--tmpfs",
        "/dev/shm",
        "--size",
        size,
        "--tmpfs",
        "/tmp",
    ]
    package = Path(aetutor.__file__).parent
    shown = [*_python(), package]
    data = package.parent / "data"
    if (data / "MNIST").is_dir():  # a checkout; an installed package holds its data inside
        shown.append(data)
    if "AETUTOR_DATA" in os.environ:
        shown.append(Path(os.environ["AETUTOR_DATA"]).expanduser().absolute())
    for path in shown:
        wall += ["--ro-bind-try", str(path), str(path)]
    for path in hidden:  # where the course lies inside of what is shown
        if Path(path).is_dir() and any(Path(path).is_relative_to(seen) for seen in (*shown, Path("/usr"))):
            wall += ["--tmpfs", str(path), "--remount-ro", str(path)]
    wall += ["--dir", home, "--dir", INSIDE]
    for path in _fonts():
        wall += ["--ro-bind", str(path), f"{home}/.cache/matplotlib/{path.name}"]
    for name, path in files.items():
        wall += ["--ro-bind", str(path), f"{INSIDE}/{name}"]
    wall += ["--bind", str(folder), CHANNEL, "--chdir", INSIDE]
    for name, value in environment(home, "/tmp").items():
        wall += ["--setenv", name, value]
    return [*wall, "--remount-ro", "/dev", "--remount-ro", "/", "--"]


@functools.cache
def _fonts() -> tuple[Path, ...]:
    """matplotlib's list of fonts, which takes seconds to make anew."""
    try:
        import matplotlib

        return tuple(sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json")))
    except (ImportError, OSError):
        return ()


@functools.cache
def _bwrap() -> str:
    found = shutil.which("bwrap")
    if not found:
        raise GradingError(
            "students' code must run in a sandbox, and bubblewrap (the program bwrap) is not installed. "
            "Install it (Debian, Ubuntu: apt install bubblewrap), or grade on Linux. "
            "--unsafe runs the code unguarded, with all that you may do yourself"
        )
    return found


@functools.cache
def _abilities() -> str:
    return subprocess.run([_bwrap(), "--help"], capture_output=True, text=True, check=False).stdout


@functools.cache
def identity() -> int | None:
    """As root, a user without rights, if that one can run Python; then nothing of root's own can be reached."""
    nobody = 65534
    return nobody if os.geteuid() == 0 and not _refused(nobody) else None


@functools.cache
def _refused(identity: int | None = None) -> str:
    """Why no sandbox can be made here; empty where it can."""
    how = {} if identity is None else {"user": identity, "group": identity, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="aetutor-"))
    try:
        if identity is not None:
            os.chown(folder, identity, identity)
        run = [*bubblewrap(Limits(), folder, {}), sys.executable, "-P", "-c", "import aetutor, ipykernel, zmq"]
        tried = subprocess.run(
            run, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL, **how
        )
        if tried.returncode == 0:
            return ""
        return (tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"])[-1]
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def need_sandbox() -> None:
    """Refuses where students' code would run unguarded."""
    _bwrap()
    if why := _refused():
        raise GradingError(
            f"bubblewrap cannot make a sandbox here: {why}. In a container, it needs the right to make user namespaces "
            "(Docker: --security-opt seccomp=unconfined --security-opt systempaths=unconfined; Ubuntu 24.04: an "
            "AppArmor profile for bwrap). --unsafe runs students' code unguarded, with all that you may do yourself"
        )
