"""Re-execute notebooks in place, each in a fresh kernel, and save what a reader should see.

Usage: python execute_notebooks.py FILE...

A notebook on disk is replaced only after it ran from top to bottom and passed `problems`; otherwise it stays as it was.
"""

import argparse
import ast
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
MAX_BYTES = 1_500_000  # DESIGN: about 1.5 MB a notebook
CELL_TIMEOUT = 300  # seconds, the same as nbval gets in the Makefile

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE_INFO = {  # without the version, which would change with every machine
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
TIMING_KEYS = ("execution", "ExecuteTime")

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# tqdm's two forms: "60%|███   | 3/5 [00:04<00:03, 1.4s/it]" and, where the total is unknown, "3it [00:04, 1.4s/it]"
PROGRESS = re.compile(r".*?(\d+% ?\||\[(\d+:)?\d+:\d\d, [^\]]*\]$)")


class NotebookFailed(Exception):
    """A notebook that did not run, in words for the person who has to mend it."""


def is_progress(text: str) -> bool:
    """Whether all of text is progress bars (tqdm redraws one line by carriage return)."""
    lines = [line.strip() for line in re.split(r"[\r\n]", ANSI.sub("", text))]
    return all(PROGRESS.match(line) for line in lines if line)


def clean_outputs(outputs: list) -> list:
    """Outputs as they look without a live kernel: no dead widgets, no progress bars, each stream in one piece."""
    kept = []
    for output in outputs:
        if output.output_type in ("display_data", "execute_result") and WIDGET_VIEW in output.data:
            del output.data[WIDGET_VIEW]
            if set(output.data) <= {"text/plain"}:  # "HBox(children=(...", which tells a reader nothing
                continue
        if output.output_type == "display_data" and set(output.data) == {"text/plain"}:
            if is_progress(output.data["text/plain"]):  # what a bar has left
                continue
        if output.output_type == "stream":
            if output.name == "stderr" and is_progress(output.text):
                continue
            if kept and kept[-1].output_type == "stream" and kept[-1].name == output.name:
                kept[-1].text += output.text
                continue
        kept.append(output)
    return kept


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take out, in place, what differs from run to run or needs a live kernel. Cell ids stay. Returns the notebook."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.kernelspec = nbformat.from_dict(KERNELSPEC)
    notebook.metadata.language_info = nbformat.from_dict(LANGUAGE_INFO)
    for cell in notebook.cells:
        for key in TIMING_KEYS:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = clean_outputs(cell.outputs)
    return notebook


def problems(notebook: nbformat.NotebookNode) -> list[str]:
    """What must not be saved, one sentence each: counts other than 1…N, errors that were not meant, too many bytes."""
    found = []
    code = [(number, cell) for number, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]
    for expected, (number, cell) in enumerate(code, 1):
        if cell.execution_count != expected:
            found.append(f"cell {number} has the count {cell.execution_count}, not {expected}; is it empty?")
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if errors and "raises-exception" not in cell.metadata.get("tags", []):
            found.append(f"cell {number} shows {errors[0].ename} without the tag raises-exception")
    size = len(nbformat.writes(notebook).encode())
    if size > MAX_BYTES:
        found.append(f"it is {size / 1e6:.2f} MB, more than {MAX_BYTES / 1e6:.1f} MB; draw fewer or smaller figures")
    return found


class ThisPython(KernelSpecManager):
    """Every kernel is the Python that runs this script, whatever a machine has registered as "python3"."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            # A kernel warns that talk with it over the loopback interface is not encrypted; here that is no news.
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"],
            display_name="Python 3",
            language="python",
        )


def peak_memory(client: NotebookClient) -> float | None:
    """The kernel's largest memory so far, in bytes; None where the system does not say (Windows)."""
    # Linux hands ru_maxrss down from the parent, so that a big parent would count as the kernel's; VmHWM is its own.
    status = "__import__('pathlib').Path('/proc/self/status').read_text()"
    asked = {
        "VmHWM": rf"int(__import__('re').search(r'VmHWM:\s*(\d+) kB', {status})[1])",
        "maxrss": "__import__('resource').getrusage(__import__('resource').RUSAGE_SELF).ru_maxrss",
    }
    message = client.kc.execute("", silent=True, store_history=False, user_expressions=asked)
    while True:
        reply = run_sync(client.kc.get_shell_msg)(timeout=10)
        if reply["parent_header"].get("msg_id") == message:
            break
    answers = [reply["content"].get("user_expressions", {}).get(name, {}) for name in asked]
    found = [ast.literal_eval(answer["data"]["text/plain"]) for answer in answers if answer.get("status") == "ok"]
    return found[0] * (1 if sys.platform == "darwin" else 1024) if found else None


def failure(cell: nbformat.NotebookNode, number: int, error: Exception) -> str:
    """The cell's number and source, and its error, for the terminal."""
    words = ANSI.sub("", str(error))
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            words = ANSI.sub("", "\n".join(output.traceback)) or f"{output.ename}: {output.evalue}"
    source = "\n".join(f"    {line}" for line in cell.source.splitlines())
    return f"cell {number} failed\n{source}\n{words}"


def execute(notebook: nbformat.NotebookNode, folder: Path) -> float | None:
    """Run all cells in a fresh kernel whose current folder is `folder`. Returns peak memory in bytes, or None."""
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=CELL_TIMEOUT,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    # A plotting backend chosen for the terminal would leave the notebook without figures.
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    client.reset_execution_trackers()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []
    with client.setup_kernel(cleanup_kc=True, env=environment):
        for index, cell in enumerate(notebook.cells):
            try:
                client.execute_cell(cell, index)
            except (CellExecutionError, CellControlSignal, DeadKernelError) as error:
                raise NotebookFailed(failure(cell, index + 1, error)) from error
        return peak_memory(client)


def save(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write path whole or not at all."""
    mode = path.stat().st_mode
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            nbformat.write(notebook, file)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def refresh(path: Path) -> str:
    """Execute, tidy, check and save one notebook. Returns what it cost, in words.

    raises : NotebookFailed  if a cell fails or the result must not be saved; the file is then as it was
    """
    started = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    peak = execute(notebook, path.parent.resolve())
    found = problems(normalise(notebook))
    if found:
        raise NotebookFailed("\n".join(found))
    save(notebook, path)
    cost = f"{time.perf_counter() - started:6.1f} s"
    return cost if peak is None else f"{cost}  {peak / 1e9:.2f} GB at most"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="FILE")
    paths = parser.parse_args(arguments).notebooks
    failed = []
    for number, path in enumerate(paths, 1):
        print(f"[{number}/{len(paths)}] {path}", end="  ", flush=True)
        try:
            print(refresh(path), flush=True)
        except (NotebookFailed, OSError, nbformat.reader.NotJSONError) as error:
            failed.append(str(path))
            print("FAILED, and left on disk as it was", flush=True)
            print(f"{path}: {error}", file=sys.stderr, flush=True)
    if failed:
        print(f"{len(failed)} of {len(paths)} notebooks failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
