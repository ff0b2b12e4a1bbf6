"""The kernel that students' code runs in: limits first, then libraries, then a guard round the test cells.

Started by the sandbox as `python -m aetutor.grading.kernel FOLDER`, FOLDER with connection.json, settings.json.
"""

import contextlib
import hashlib
import hmac
import importlib
import json
import os
import resource
import sys
import types
from pathlib import Path

from ipykernel.iostream import OutStream
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

from aetutor.grading.guard import Guard

VERDICT = "application/x-aetutor-verdict"


def guarded():
    """(an IPython kernel that runs a test cell only with libraries as installed, and proves it; what to hand it).

    Guard and seal are kept in a closure, so that no attribute of the kernel leads to them.
    """
    kept = {}

    class GuardedKernel(IPythonKernel):
        async def do_execute(
            self,
            code,
            silent,
            store_history=True,
            user_expressions=None,
            allow_stdin=False,
            *,
            cell_meta=None,
            cell_id=None,
        ):
            parent = self.get_parent("shell")
            metadata = cell_meta if cell_meta is not None else parent.get("metadata", {})
            order = metadata.pop("aetutor", None) or {}
            arguments = code, silent, store_history, user_expressions, allow_stdin
            if "token" not in order:
                reply = await super().do_execute(*arguments)
                kept["guard"].bind(order.get("bind", ()))
                return reply
            guard, stamp = kept["guard"], kept["seal"]
            if problem := guard.changed():
                return _refused(self, problem)
            with _own_names(self.shell, guard.names_for_a_test(order["answers"])):
                reply = await super().do_execute(*arguments)
            if problem := guard.changed():
                return _refused(self, problem)
            if reply.get("status") == "ok":
                proof = stamp.copy()
                proof.update(order["token"].encode() + hashlib.sha256(code.encode()).digest())
                content = {"data": {VERDICT: proof.hexdigest()}, "metadata": {}, "transient": {}}
                self.session.send(self.iopub_socket, "display_data", content, parent=parent)
            return reply

    return GuardedKernel, kept.update


def _refused(kernel, problem: str) -> dict:
    text = (
        f"{problem} was replaced by this notebook; test cells run only with Python and the libraries as installed. "
        "Undo it, or give your own version another name."
    )
    content = {"ename": "Replaced", "evalue": text, "traceback": [f"Replaced: {text}"]}
    kernel.session.send(kernel.iopub_socket, "error", content, parent=kernel.get_parent("shell"))
    rest = {"execution_count": kernel.execution_count, "user_expressions": {}, "payload": []}
    return {"status": "error", **rest, **content}


@contextlib.contextmanager
def _own_names(shell, names: dict):
    module, namespace = shell.user_module, shell.user_ns
    own = types.ModuleType(module.__name__)
    vars(own).update(names)
    shell.user_module, shell.user_ns = own, vars(own)
    try:
        yield
    finally:
        shell.user_module, shell.user_ns = module, namespace
        new = {name: value for name, value in vars(own).items() if names.get(name, own) is not value}
        namespace.update(new)


class ShortStream(OutStream):
    """Prints in messages of limited length, which the grader can count, and cannot be closed by accident."""

    longest = 1_000_000  # characters
    _waiting = 0

    def write(self, string):
        for start in range(0, len(string), self.longest):
            piece = string[start : start + self.longest]
            super().write(piece)
            self._waiting += len(piece)
            if self._waiting >= self.longest:
                self._waiting = 0
                self.flush()  # waits until it is sent
        return len(string) if string else super().write(string)

    def close(self):
        self.flush()


def _limit(limits: dict) -> None:
    os.nice(5)  # so that the watchdog gets its turn
    for name, most in (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_DATA", limits["data"]),
        ("RLIMIT_FSIZE", limits["file"]),
        ("RLIMIT_NPROC", limits["processes"]),
    ):
        if most is not None:
            resource.setrlimit(getattr(resource, name), (most, most))


def main(folder: str) -> None:
    """Runs the kernel until it is shut down."""
    place = Path(folder)
    settings = json.loads((place / "settings.json").read_text())
    (place / "settings.json").unlink()
    _limit(settings["limits"])
    seal = hmac.new(settings.pop("secret").encode(), digestmod="sha256")
    sys.path.append(os.getcwd())  # last: a student's numpy.py must not stand for numpy
    for name in settings["modules"]:
        with contextlib.suppress(Exception):  # a teacher's notebook may try what is not installed
            importlib.import_module(name)
    kind, hand_over = guarded()
    app = IPKernelApp.instance(kernel_class=kind, connection_file=str(place / "connection.json"))
    app.outstream_class = f"{__name__}.ShortStream"
    app.initialize(["--HistoryManager.enabled=False"])
    (place / "connection.json").unlink()
    hand_over(guard=Guard(app.kernel, settings["modules"]), seal=seal)
    del seal, hand_over
    app.start()


if __name__ == "__main__":  # as a module of its own name, so that there is one copy of it
    from aetutor.grading import kernel

    kernel.main(sys.argv[1])
