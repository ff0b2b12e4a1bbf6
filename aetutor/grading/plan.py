"""The cells of a repaired submission by their roles, and what their outputs say."""

import ast
import contextlib
import re

LIBRARIES = {
    "numpy": ("numpy", "numpy.linalg", "numpy.testing", "numpy.random"),
    "torch": ("torch", "torch.nn.functional", "torch.testing", "torch.linalg", "torch.distributions"),
}


class Plan:
    """The cells of a notebook by their roles, and their outputs."""

    def __init__(self, notebook):
        self.notebook, self.cells = notebook, notebook.cells
        self.code = [i for i, cell in enumerate(self.cells) if cell.cell_type == "code" and cell.source.strip()]
        roles = {i: self.cells[i].metadata.get("nbgrader", {}) for i in self.code}
        self.tests = {i for i, role in roles.items() if role.get("grade") and not role.get("solution")}
        self.locked = {i for i, role in roles.items() if role and not role.get("solution")} - self.tests
        self.last_test = max(self.tests, default=-1)
        self.passed: set[int] = set()
        ours = [self.cells[i].source for i in sorted(self.tests | self.locked)]
        self.modules = _modules(ours, "\n".join(self.cells[i].source for i in self.code))
        self.bound = {i: sorted(bound_by(self.cells[i].source)) for i in self.locked}

    def name(self, index: int) -> str:
        return repr(self.cells[index].metadata.get("nbgrader", {}).get("grade_id") or f"number {index + 1}")

    def clear(self) -> None:
        self.passed.clear()
        for i in self.code:
            self.cells[i].outputs, self.cells[i].execution_count = [], None

    def fail(self, index: int, name: str, text: str) -> None:
        from nbformat.v4 import new_output

        shown = [f"\x1b[31m{name}\x1b[0m: {text}"]
        self.cells[index].outputs.append(new_output("error", ename=name, evalue=text, traceback=shown))

    def settle(self) -> None:
        """What nbgrader reads as a verdict is made to be one: in test cells an error, or none."""
        for count, index in enumerate(self.code, 1):
            cell = self.cells[index]
            cell.execution_count = count
            if index not in self.tests:
                continue
            outputs = []
            for output in cell.outputs:
                if output.output_type == "stream" and output.name == "stderr":  # a warning costs no points
                    output.name = "stdout"
                if output.output_type == "execute_result":  # a number that is shown is no partial credit
                    output.output_type = "display_data"
                    output.pop("execution_count", None)
                outputs.append(output)
            cell.outputs = outputs
            if index not in self.passed and not any(o.output_type == "error" for o in outputs):
                self.fail(index, "NotVerified", "this test did not run to its end")


def _modules(ours: list[str], everything: str) -> list[str]:
    """What is imported before students' code, so that the guard knows it: what our cells import, and the libraries."""
    found = []
    for source in ours:
        with contextlib.suppress(SyntaxError):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Import):
                    found += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    for library, parts in LIBRARIES.items():
        if re.search(rf"\b{library}\b", everything):
            found += parts
    return list(dict.fromkeys(found))


def bound_by(source: str) -> set[str]:
    """The names that a cell binds at its top level; none where it cannot be read."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            found |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return found
