"""Requests to a kernel and what comes back over its sockets, all of it taken with care."""

import hashlib
import hmac
import json
import secrets
import time

from aetutor.grading.course import GradingError
from aetutor.grading.plan import Plan
from aetutor.grading.sandbox import Sandbox

VERDICT = "application/x-aetutor-verdict"  # as in kernel.py, which cannot be imported where there is no ipykernel
START = 90  # seconds for a kernel to start
GRACE = 3  # seconds for an interrupt to work
OVERDUE = "this cell took longer than"


class Culprit(Exception):
    """A cell after which the kernel cannot be used any more: a message for the student, and whose fault it is."""

    def __init__(self, message: str, cell: int | None = None):
        super().__init__(message)
        self.cell = cell


class Conversation:
    """Requests and replies over the kernel's sockets; everything that comes back is taken with care."""

    def __init__(self, sandbox: Sandbox, plan: Plan, *, answers: list[str], deadline: float, halted):
        import zmq
        from jupyter_client.session import Session
        from nbclient import NotebookClient

        self._sandbox, self._plan, self._deadline, self._halted = sandbox, plan, deadline, halted
        self._limits, self._answers = sandbox.limits, answers
        self._session = Session(key=sandbox.key.encode(), signature_scheme="hmac-sha256", username="grader")
        self._context = zmq.Context()
        # One message of a gigabyte would fill our memory, not the sandbox's.
        self._context.maxmsgsize = int(4e6 * self._limits.output_mb) + 16_000_000
        self._context.linger = 0
        self._sockets = {}
        for name, kind in (("shell", zmq.DEALER), ("control", zmq.DEALER), ("iopub", zmq.SUB)):
            self._sockets[name] = self._context.socket(kind)
        self._sockets["iopub"].subscribe(b"")
        self._sockets["iopub"].rcvhwm = 100
        self._outputs = NotebookClient(plan.notebook, store_widget_state=False)
        self._poller = zmq.Poller()
        self._asked: dict[str, int] = {}  # message -> cell

    def __enter__(self):
        import zmq

        try:
            for name, socket in self._sockets.items():
                socket.connect(self._sandbox.path(name))
            for name in ("shell", "iopub"):
                self._poller.register(self._sockets[name], zmq.POLLIN)
            self._greet()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for socket in self._sockets.values():
            socket.close(0)
        self._context.term()

    def _greet(self) -> None:
        """Waits until the kernel answers, and its outputs arrive."""
        end = time.monotonic() + START
        heard = set()
        asked = None
        while heard < {"shell", "iopub"}:
            if self._halted():
                raise KeyboardInterrupt
            if not self._sandbox.alive or time.monotonic() > end:
                said = self._sandbox.last_words.splitlines()
                words = said[-1] if said else self._sandbox.violation or "no word from it"
                raise GradingError(f"the kernel did not start: {words}")
            if asked is None or time.monotonic() - asked > 1:
                self._send("shell", "kernel_info_request", {})
                asked = time.monotonic()
            for name, message in self._messages(100):
                if name == "iopub" or message["header"]["msg_type"] == "kernel_info_reply":
                    heard.add(name)

    def _send(self, socket: str, kind: str, content: dict, metadata: dict | None = None) -> str:
        message = self._session.msg(kind, content, metadata=metadata)
        self._session.send(self._sockets[socket], message)
        return message["header"]["msg_id"]

    def _messages(self, milliseconds: int):
        """(socket, message), what has come; broken ones are left out."""
        import zmq

        for socket, _ in self._poller.poll(milliseconds):
            name = "shell" if socket is self._sockets["shell"] else "iopub"
            for _ in range(200):  # then it is time to look at the clock again
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                size = sum(map(len, frames)) + 200
                try:
                    _, parts = self._session.feed_identities(frames)
                    if size > self._limits.output_mb * 1e6 + 1e6:  # too much to read; whose it is matters only
                        message = {"header": {}, "content": {}, "parent_header": json.loads(bytes(parts[2]))}
                    else:
                        message = self._session.deserialize(parts)
                    assert isinstance(message["content"], dict) and isinstance(message["parent_header"], dict)
                except Exception:  # whatever a student's code sends through the kernel's sockets
                    continue
                message["size"] = size
                yield name, message

    def run(self, index: int, *, seconds: float) -> str:
        """One cell, with its outputs; why it was interrupted, or "". Raises Culprit if the kernel cannot be used on."""
        cell, limits = self._plan.cells[index], self._limits
        test = index in self._plan.tests
        token = secrets.token_hex(16)
        order = {"token": token, "answers": self._answers} if test else {"bind": self._plan.bound.get(index, [])}
        content = {"code": cell.source, "silent": False, "store_history": True, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": False}
        self._sandbox.begins(index)
        asked = self._send("shell", "execute_request", content, {"aetutor": order})
        self._asked[asked] = index
        replies, proofs, size, idle, reason = [], [], {}, False, ""
        end, replied = time.monotonic() + seconds, 0.0
        kill_at = follow_up = None
        followed = False
        self._outputs.clear_before_next_output = False
        while True:
            for name, message in self._messages(50):
                parent = message["parent_header"].get("msg_id")
                if name == "shell":
                    if parent == asked and message["header"].get("msg_type") == "execute_reply":
                        replies.append(message["content"])
                        replied = replied or time.monotonic()
                    followed = followed or (parent == follow_up and parent is not None)
                    continue
                # Threads of an earlier cell print under its name.
                owner = self._asked.get(parent, index) if isinstance(parent, str) else index
                size[owner] = size.get(owner, 0) + message["size"]
                if size[owner] > limits.output_mb * 1e6:
                    if owner != index:
                        raise self._culprit("this cell went on printing after it was done, and was stopped", cell=owner)
                    reason = reason or f"this cell put out more than {limits.output_mb:g} MB and was stopped"
                elif parent == asked:
                    idle = self._take(index, message, proofs) or idle
            now = time.monotonic()
            if self._halted():
                raise KeyboardInterrupt
            if not self._sandbox.alive:
                if self._sandbox.violation:
                    raise Culprit(f"this cell {self._sandbox.violation}", self._sandbox.guilty)
                raise Culprit("this cell ended the kernel: it crashed or quit")
            if now > self._deadline:
                self._sandbox.kill()
                raise Culprit(f"the whole notebook took longer than {limits.total_seconds:g} s; it was in this cell")
            if not replies:
                if now > end:
                    reason = reason or f"{OVERDUE} {seconds:g} s and was stopped"
                if reason and kill_at is None:
                    self._send("control", "interrupt_request", {})
                    kill_at = now + GRACE
            elif not idle and now - replied > GRACE:  # zmq has cut the line after a message that was too long
                raise self._culprit(reason or "this cell put out more at once than can be read")
            elif idle:
                if reason or not test or followed:
                    break
                if follow_up is None:  # a second, forged reply would come before the answer to this
                    follow_up = self._send("shell", "kernel_info_request", {})
                    kill_at = now + 2 * GRACE
            if kill_at and now > kill_at and (not replies or follow_up):
                raise self._culprit(reason or "the kernel no longer answers after this cell")
        self._judge(index, replies, proofs, token, reason)
        return reason

    def _culprit(self, reason: str, *, cell: int | None = None) -> Culprit:
        self._sandbox.kill()
        return Culprit(reason, cell)

    def _take(self, index: int, message: dict, proofs: list) -> bool:
        """One output; True when the kernel is done with the cell."""
        from nbclient.exceptions import CellControlSignal
        from nbformat.v4 import new_output

        cell, content, kind = self._plan.cells[index], message["content"], message["header"].get("msg_type")
        if kind == "display_data" and isinstance(content.get("data"), dict) and VERDICT in content["data"]:
            proofs.append(content["data"][VERDICT])
            return False
        try:
            if kind == "stream" and not self._outputs.clear_before_next_output:
                name, text = str(content["name"]), clean(str(content["text"]))
                last = cell.outputs[-1] if cell.outputs else {}
                if last.get("output_type") == "stream" and last.name == name:
                    last.text += text
                else:
                    cell.outputs.append(
                        new_output("stream", name="stderr" if name == "stderr" else "stdout", text=text)
                    )
            elif kind == "status" and content.get("execution_state") == "idle":
                return True
            elif kind in ("display_data", "update_display_data", "execute_result", "error", "clear_output", "stream"):
                message["content"] = json.loads(clean(json.dumps(content)))
                self._outputs.process_message({**message, "msg_type": kind}, cell, index)
        except (Exception, CellControlSignal):  # a message that a student's code made up
            return False
        return False

    def _judge(self, index: int, replies: list, proofs: list, token: str, reason: str) -> None:
        plan, cell = self._plan, self._plan.cells[index]
        status = replies[0].get("status") if len(replies) == 1 else "error"
        failed = any(output.output_type == "error" for output in cell.outputs)
        if reason:
            plan.fail(index, "Stopped", reason)
        elif status != "ok" and not failed:
            name, text = (str(replies[0].get(key) or "") for key in ("ename", "evalue"))
            plan.fail(
                index, clean(name) or "NotVerified", clean(text) or "this cell ended in an error that was not shown"
            )
        elif status == "ok" and index in plan.tests and not failed:
            proof = hmac.new(self._sandbox.secret.encode(), digestmod="sha256")
            proof.update(token.encode() + hashlib.sha256(cell.source.encode()).digest())
            if proofs == [proof.hexdigest()]:
                plan.passed.add(index)
            else:
                plan.fail(index, "NotVerified", "this test's result does not come from running the test")
        if any(part.get("source") == "ask_exit" for part in replies[0].get("payload") or [] if isinstance(part, dict)):
            raise self._culprit("this cell ended the kernel: it quit")
        if replies[0].get("ename") in ("MemoryError", "_ArrayMemoryError"):
            if self._sandbox.memory() > self._limits.memory_gb / 2:  # what fills it would cost the cells below
                raise Culprit(f"this cell used more than {self._limits.memory_gb:g} GB of memory")


def clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
