"""What is done after each cell of a notebook: a word on what is missing, and memory that is free goes back."""

import os
import sys

from aetutor.runtime.machine import trim


def follow() -> None:
    """From now on, after each cell, a NameError is explained and memory is trimmed. Outside IPython: nothing."""
    if "NBGRADER_EXECUTION" in os.environ:
        return  # nobody reads along, and the guard of grading rightly asks who hangs into the kernel
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    for each in (_explain, _trim):
        if each not in shell.events.callbacks["post_run_cell"]:
            # An event, not `set_custom_exc`: there is room for one of those, and Colab has taken it.
            shell.events.register("post_run_cell", each)


def _trim(result) -> None:
    trim()  # what a cell has freed would else lie there while the next one fills


def _explain(result) -> None:
    error = result.error_in_exec
    if type(error) is not NameError or not error.name or not _by_the_reader(error):
        return
    from IPython.display import display  # IPython is here, since it called

    text = (
        f"`{error.name}` is made in a cell that has not run since the kernel started, or is misspelt. "
        "Choose Run ▸ Run All Above Selected Cell (on Colab: Runtime ▸ Run before), then run this cell again."
    )
    display({"text/markdown": text, "text/plain": text}, raw=True)


def _by_the_reader(error: NameError) -> bool:
    """Whether the line at fault stands in the notebook; a library's mistake has another reason."""
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    return last.tb_frame.f_globals.get("__name__") == "__main__"
