"""From a teacher's notebook to the students' copy, made with nbgrader's own preprocessors."""

import copy

from aetutor.grading.course import GradingError, need_nbgrader

PREPARE = ("LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums")
HIDE = ("ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums", "CheckCellMetadata")


def release(notebook):
    """The students' copy: solutions are stubs, hidden tests and outputs gone, tests and text locked.

    notebook   : NotebookNode the teacher's, executed or not; it is left as it is
    returns    : NotebookNode the same to the last byte whenever it is made; cell ids are kept
    raises     : GradingError if a region is not closed, or nbgrader's metadata is broken, or nbgrader is missing
    source     : nbgrader's GenerateAssignment, without its database
    taught in  : notebooks/assignments/README.md
    """
    return _through(notebook, PREPARE + HIDE)


def template(source):
    """The teacher's notebook with solutions cleared and hidden tests in: what a submission is graded in."""
    return _through(source, PREPARE)


def _through(source, names):
    need_nbgrader()
    import nbformat
    from nbgrader import preprocessors

    notebook = copy.deepcopy(source)
    if (notebook.get("nbformat"), notebook.get("nbformat_minor", 0)) < (4, 5):
        raise GradingError("a source notebook needs format 4.5 or newer, for its cell ids; save it in JupyterLab")
    resources = {"nbgrader": {}}
    try:
        for name in names:
            notebook, resources = getattr(preprocessors, name)().preprocess(notebook, resources)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # when it ran, which a release must not depend on
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.validate(notebook)
    except Exception as error:  # nbgrader raises RuntimeError, ValidationError, KeyError and others
        raise GradingError(f"the source notebook cannot be released: {str(error).splitlines()[0]}") from error
    return notebook
