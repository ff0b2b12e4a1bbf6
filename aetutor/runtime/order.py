"""What a reader is told whose cells run out of order: after a restart of the kernel, or from the middle."""

import os
import sys


def explain_missing_names() -> None:
    """From now on, a NameError in a notebook is followed by what to do about it. Outside IPython: nothing."""
    if "NBGRADER_EXECUTION" in os.environ:
        return  # nobody reads along, and the guard of grading rightly asks who hangs into the kernel
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and _explain not in shell.events.callbacks["post_run_cell"]:
        # An event, not `set_custom_exc`: there is room for one of those, and Colab has taken it.
        shell.events.register("post_run_cell", _explain)


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
