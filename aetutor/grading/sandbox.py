"""A kernel in a sandbox (bubblewrap): it sees Python and the course's data, and nothing else of the machine."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

from aetutor.grading.walls import CHANNEL, Limits, bubblewrap, environment, identity

ROOMY = 1 << 30  # bytes of address space beyond the limit: what libraries reserve and do not use (torch: 0.4 GB)
EVERY = 0.1  # seconds between two looks of the watchdog
NAMES_IN_CHANNEL = 16  # five sockets, and what is written at the start


class Sandbox:
    """One kernel with its sockets, its watchdog and its end. A context manager: nothing is left of it afterwards."""

    def __init__(self, limits: Limits, *, guard: dict, files: dict[str, Path], hidden=(), unsafe: bool = False):
        self.limits, self.unsafe = limits, unsafe
        self.violation: str | None = None
        self.guilty: int | None = None  # the cell that started what broke a limit, where it is not the running one
        self._begun: list[tuple[float, int]] = []  # (seconds since the machine was started, which cell)
        self.process = None
        self._end, self._threads = threading.Event(), []
        place = tempfile.gettempdir()
        # A socket's path has room for 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="aetutor-", dir=place if len(place) < 60 else "/tmp"))
        self.key, self.secret = secrets.token_hex(32), secrets.token_hex(32)
        self._guard, self._files, self._hidden = guard, files, tuple(hidden)
        self._last_words: deque[bytes] = deque(maxlen=20)

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def path(self, name: str) -> str:
        """The address of one of the kernel's sockets."""
        return f"ipc://{self.folder}/kernel-{PORTS[name]}"

    def _start(self) -> None:
        channel = str(self.folder) if self.unsafe else CHANNEL
        ports = {f"{name}_port": port for name, port in PORTS.items()}
        connection = {"transport": "ipc", "ip": f"{channel}/kernel", "key": self.key, "signature_scheme": "hmac-sha256"}
        limits = {
            "data": int(self.limits.memory_gb * 1e9) + ROOMY,
            "file": int(self.limits.disk_mb * 1e6),
            "processes": None if self.unsafe else int(self.limits.processes),
        }
        settings = self._guard | {"limits": limits, "secret": self.secret}
        (self.folder / "connection.json").write_text(json.dumps(connection | ports))
        (self.folder / "settings.json").write_text(json.dumps(settings))
        run = [sys.executable, "-P", "-m", "aetutor.grading.kernel", channel]
        if self.unsafe:
            home = self.folder / "home"
            home.mkdir()
            for name, path in self._files.items():
                shutil.copy(path, home / name)
            how = {"env": environment(str(home), str(home)), "cwd": home, "start_new_session": True}
        else:
            run = [*bubblewrap(self.limits, self.folder, self._files, self._hidden), *run]
            how = {"env": {"PATH": os.environ.get("PATH", os.defpath)}}
            if (user := identity()) is not None:
                how |= {"user": user, "group": user, "extra_groups": []}
                for path in (self.folder, *self.folder.iterdir()):
                    os.chown(path, user, user)
        none = subprocess.DEVNULL
        self.process = subprocess.Popen(run, stdin=none, stdout=none, stderr=subprocess.PIPE, **how)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._watch)]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        """Keeps the last that was written to the real stderr: why a kernel does not start."""
        with contextlib.suppress(OSError, ValueError):
            while piece := os.read(self.process.stderr.fileno(), 4096):
                self._last_words.append(piece)

    @property
    def last_words(self) -> str:
        return b"".join(self._last_words).decode("utf-8", "replace")[-2000:].strip()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    # --- Limits -------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._end.wait(EVERY) and self.alive:
            with contextlib.suppress(OSError):  # it may have ended meanwhile
                self.violation = self._broken_limit()
            if self.violation:
                self.kill()
                return

    def _broken_limit(self) -> str | None:
        import psutil

        tree = self._tree()
        memory = threads = 0
        for process in tree:
            with contextlib.suppress(psutil.Error):
                memory += process.memory_info().rss
                threads += process.num_threads()
        most = self.limits.processes + 16  # those that the kernel refuses to start are the better error
        if threads > most:
            self.guilty = self._starter(tree, lambda process: process.num_threads())
            return f"used more than {self.limits.processes} processes and threads"
        unnamed = sum(_unnamed(process.pid) for process in tree)
        if memory + unnamed > self.limits.memory_gb * 1e9:
            memory = sum(_share(process) for process in tree) + unnamed
            if memory > self.limits.memory_gb * 1e9:
                self.guilty = self._starter(tree, lambda process: process.memory_info().rss)
                return f"used more than {self.limits.memory_gb:g} GB of memory"
        if not self.unsafe and len(os.listdir(self.folder)) > NAMES_IN_CHANNEL:
            return "wrote files where only the kernel's sockets belong"
        return None

    def begins(self, cell: int) -> None:
        """Is told of each cell, so that what it leaves running is known for its."""
        self._begun.append((time.clock_gettime(time.CLOCK_BOOTTIME), cell))

    def _starter(self, tree, weight) -> int | None:
        """The cell whose processes weigh most; None for the kernel's own."""
        import psutil

        weights: dict[int | None, float] = {}
        for process in tree:
            with contextlib.suppress(psutil.Error, OSError, ValueError):
                born = _born(process.pid)
                cell = next((index for when, index in reversed(self._begun) if when <= born), None)
                weights[cell] = weights.get(cell, 0) + weight(process)
        return max(weights, key=weights.get, default=None)

    def _tree(self) -> list:
        import psutil

        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []

    def memory(self) -> float:
        """GB that the kernel and its processes hold."""
        return sum(map(_share, self._tree())) / 1e9

    def kill(self) -> None:
        """Ends every process of the sandbox: with the first process of a pid namespace, all others die."""
        if self.process is None:
            return
        import psutil

        for process in self._tree()[::-1]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)

    def close(self) -> None:
        self._end.set()
        self.kill()
        if self.process is not None:
            if self.unsafe:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.process.pid, 9)
            for thread in self._threads:
                thread.join(5)
            self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():  # folders too deep for Python's recursion
            subprocess.run(["rm", "-rf", "--", str(self.folder)], check=False, stderr=subprocess.DEVNULL)


PORTS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}


def _born(pid: int) -> float:
    """Seconds from the machine's start to the process's, rounded up; psutil's are off by up to one."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        ticks = int(file.read().rpartition(b")")[2].split()[19])
    return (ticks + 1) / os.sysconf("SC_CLK_TCK")


def _share(process) -> int:
    """Bytes of memory, those shared with other processes divided among them."""
    import psutil

    try:
        with open(f"/proc/{process.pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def _unnamed(pid: int) -> int:
    """Bytes in memory files that have no name in any folder (memfd) and are mapped nowhere."""
    total, seen = 0, set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(entry.path).startswith("/memfd:"):
                    state = os.stat(entry.path)
                    if state.st_ino not in seen:
                        seen.add(state.st_ino)
                        total += state.st_blocks * 512
    return total
