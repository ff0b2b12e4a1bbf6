"""What the layout of the package promises: imports that point one way, docstrings that state what is tested, and a
start that costs nothing. The README's table of modules is held to the code here.
"""

import ast
import builtins
import importlib
import inspect
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "aetutor"

# The design of the course fixes these; a module that is new has its row in the README alone.
DESIGN = {
    "runtime": set(),
    "data": {"runtime"},
    "corruptions": {"runtime"},
    "models": set(),
    "losses": set(),
    "train": {"runtime", "losses"},
    "measure": {"runtime", "losses"},
    "plots": set(),
    "widgets": {"plots"},
    "claims": set(),
    "exercises": set(),
    "__main__": {"runtime", "data", "models", "train", "measure"},
}
CHAPTERS = {
    "00": "00_start_here",
    "01": "01_theory",
    "02": "02_dense_autoencoder",
    "03": "03_convolutional_autoencoder",
    "04": "04_denoising_and_generation",
}


def sources() -> dict[str, list[Path]]:
    """The files of each module; a module that has become a folder has several."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        found.setdefault(inside.parts[0].removesuffix(".py"), []).append(path)
    del found["__init__"]
    return found


SOURCES = sources()
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for paths in SOURCES.values() for path in paths}


def package_imports(tree: ast.AST, path: Path) -> set[str]:
    """Modules of this package that a file imports, anywhere in it."""
    found = set()
    here = ("aetutor", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(here[: len(here) + 1 - node.level]) if node.level else ""
            base = ".".join(part for part in (start, node.module) if part)
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("aetutor.")}
    return found - {path.relative_to(PACKAGE).parts[0].removesuffix(".py"), "__version__"}


IMPORTS = {
    module: set().union(*(package_imports(TREES[path], path) for path in paths)) for module, paths in SOURCES.items()
}


@pytest.fixture(scope="module")
def table() -> dict[str, set[str]]:
    """The README's table: module -> what it may import, in the order of its rows."""
    lines = iter((ROOT / "README.md").read_text(encoding="utf-8").splitlines())
    cells = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    for row in cells:
        if row == ["module", "holds", "may import"]:
            break
    else:
        pytest.fail("README.md has no table with the header | module | holds | may import |")
    assert set("".join(next(cells))) <= set("-: ")
    found = {}
    for row in cells:
        if len(row) != 3:
            break
        module = re.fullmatch(r"`(\w+)`", row[0])
        assert module, f"{row[0]} is no module name in backticks"
        assert module[1] not in found, f"{module[1]} has two rows"
        assert row[1], f"{module[1]}: the table does not say what it holds"
        names = [name.strip().strip("`") for name in row[2].split(",")]
        found[module[1]] = set() if names == ["–"] else set(names)
    return found


# --- Imports point one way ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from aetutor import data, runtime", {"data", "runtime"}),
        ("def f():\n    from aetutor.losses import squared_error", {"losses"}),
        ("import aetutor.plots as p, os", {"plots"}),
        ("from . import runtime", {"runtime"}),
        ("from .data import load", {"data"}),
        ("import torch\nfrom aetutor import __version__", set()),
    ],
)
def test_the_reader_of_imports_below_finds_every_way_of_writing_them(line, found):
    assert package_imports(ast.parse(line), PACKAGE / "train.py") == found


@pytest.mark.parametrize(
    "line", ["from aetutor.data.images import DataError", "from . import images", "from .images import _by"]
)
def test_a_module_that_is_a_folder_is_one_module(line):
    assert package_imports(ast.parse(line + "\nfrom .. import runtime"), PACKAGE / "data" / "files.py") == {"runtime"}
    assert {path.parent for path in SOURCES["data"]} == {PACKAGE / "data"} and len(SOURCES["data"]) > 1


def test_every_module_has_its_row_in_the_readme_and_every_row_its_module(table):
    assert set(SOURCES) - {"__main__"} <= set(table)
    assert set(table) <= set(SOURCES)


def test_the_readmes_table_is_the_designs(table):
    assert {module: allowed for module, allowed in table.items() if module in DESIGN} == {
        module: DESIGN[module] for module in table if module in DESIGN
    }


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_only_what_its_row_allows(module, table):
    allowed = table.get(module, DESIGN.get(module, set()))
    assert IMPORTS[module] <= allowed


def test_every_row_of_the_readme_stands_below_all_it_imports_so_there_is_no_circle(table):
    above = set()
    for module, allowed in table.items():
        assert allowed <= above, f"{module} may import {sorted(allowed - above)}, which stand below it"
        above.add(module)


def test_the_design_is_kept_whatever_the_readme_says():
    for module, imported in IMPORTS.items():
        assert module not in DESIGN or imported <= DESIGN[module], module


# --- Docstrings -----------------------------------------------------------------------------------------------


def documented() -> dict[str, object]:
    """All that is public: functions, classes, and their methods and properties, by dotted name."""
    found = {}
    for module in SOURCES:
        for name, value in vars(importlib.import_module(f"aetutor.{module}")).items():
            home = getattr(value, "__module__", None) or ""
            if name.startswith("_") or not (home + ".").startswith(f"aetutor.{module}."):
                continue
            if inspect.isclass(value):
                found[f"{module}.{name}"] = value
                for part, member in vars(value).items():
                    member = getattr(member, "__func__", member)  # a classmethod or staticmethod
                    ours = (getattr(member, "__module__", None) or home) == home  # matplotlib adds methods of its own
                    if not part.startswith("_") and ours and isinstance(member, FunctionType | property):
                        found[f"{module}.{name}.{part}"] = member
            elif inspect.isfunction(value):
                found[f"{module}.{name}"] = value
    return found


PUBLIC = documented()
FIELD = re.compile(r"^(taught in|\w+(?:, \w+)*) *: +(\S.*)$")
every = pytest.mark.parametrize("name", PUBLIC)


def fields(value) -> list[tuple[str, str]]:
    """(field, text) of a docstring, in order; a group such as `mu, logvar` gives one for each name."""
    lines = map(FIELD.match, inspect.cleandoc(value.__doc__ or "").splitlines())
    return [(name, line[2]) for line in lines if line for name in line[1].split(", ")]


def parameters(value) -> dict[str, object]:
    """name -> annotation of what a call takes; of a class, what makes one, or its fields."""
    if isinstance(value, property):
        return {}
    if inspect.isclass(value) and issubclass(value, tuple) and hasattr(value, "_fields"):
        return {name: value.__annotations__[name] for name in value._fields}
    if inspect.isclass(value) and "__init__" not in vars(value):
        return {}
    signature = inspect.signature(value.__init__ if inspect.isclass(value) else value)
    return {name: p.annotation for name, p in signature.parameters.items() if name not in ("self", "cls")}


def errors(value) -> list[str]:
    """The names of the errors that `raises` lines state."""
    texts = [text for name, text in fields(value) if name == "raises"]
    return [
        name for text in texts for name in re.match(r"((?:[A-Z]\w+(?:, | or )?)*)", text)[1].replace(",", "").split()
    ]


def test_there_is_something_to_read():
    assert len(PUBLIC) > 60
    for name in ("losses.gaussian_kl", "models.Autoencoder.encode", "train.History.best", "plots.pictures"):
        assert name in PUBLIC
    for name in ("data.load", "data.ImageSet.keep", "data.DataError"):  # of a module that is a folder
        assert name in PUBLIC


def test_every_public_object_is_read_once_and_has_one_name():
    assert len({id(value) for value in PUBLIC.values()}) == len(PUBLIC)


@pytest.mark.parametrize("module", [module for module, paths in SOURCES.items() if len(paths) > 1])
def test_a_module_that_is_a_folder_offers_just_what_its_all_lists(module):
    home = importlib.import_module(f"aetutor.{module}")
    parts = {path.stem for path in SOURCES[module]}
    offered = {name for name in vars(home) if not name.startswith("_")} - parts
    assert offered == set(home.__all__)


@every
def test_a_docstring_opens_with_a_sentence(name):
    first = inspect.cleandoc(PUBLIC[name].__doc__ or "").split("\n")[0]
    assert first and first[-1] in ".:" and not FIELD.match(first)


@every
def test_a_docstring_states_every_parameter_and_none_that_does_not_exist(name):
    value = PUBLIC[name]
    stated, taken = [field for field, _ in fields(value)], set(parameters(value))
    assert len([s for s in stated if s != "raises"]) == len({s for s in stated if s != "raises"}), "stated twice"
    stated = set(stated) - {"returns", "raises", "source", "taught in"}
    assert taken <= stated, f"not stated: {sorted(taken - stated)}"
    if not (inspect.isclass(value) and (issubclass(value, Exception) or not taken)):
        assert stated <= taken, f"stated, but not taken: {sorted(stated - taken)}"


@every
def test_a_docstring_states_what_is_returned_what_is_raised_the_source_and_the_lesson(name):
    stated = {field for field, _ in fields(PUBLIC[name])}
    assert {"returns", "raises", "source", "taught in"} <= stated


@every
def test_a_docstring_gives_the_shape_of_every_tensor(name):
    value = PUBLIC[name]
    annotations = parameters(value)
    if inspect.isfunction(value):
        annotations = annotations | {"returns": inspect.signature(value).return_annotation}
    stated = dict(fields(value))
    for field, annotation in annotations.items():
        text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
        if text == "Tensor":
            assert re.search(r"\([A-Zl]\w*\(?.*,.*\)", stated[field]), f"{field}: {stated[field]}"


@every
def test_a_raises_line_names_real_errors_and_the_modules_tests_raise_them(name):
    module = name.split(".")[0]
    home = importlib.import_module(f"aetutor.{module}")
    files = sorted((ROOT / "tests").glob(f"test_{module.strip('_')}*.py"))  # of a module that is a folder, several
    tests = "".join(path.read_text(encoding="utf-8") for path in files)
    for _, text in (field for field in fields(PUBLIC[name]) if field[0] == "raises"):
        assert text.startswith(("nothing", "whatever")) or errors(PUBLIC[name]), f"raises what? {text}"
    for error in errors(PUBLIC[name]):
        kind = getattr(home, error, getattr(builtins, error, None))
        assert inspect.isclass(kind) and issubclass(kind, BaseException), f"{error} is no error"
        assert re.search(rf"pytest\.raises\(\(?(?:\w+(?:\.\w+)*, )*(?:\w+\.)*{error}\b", tests), (
            f"{error} is not tested"
        )


@every
def test_the_lesson_named_is_a_chapter(name):
    lesson = dict(fields(PUBLIC[name]))["taught in"]
    if lesson == "notebooks/assignments/README.md":  # what teachers use; the README is theirs
        assert name.startswith("grading.") or name == "exercises.Wrong"
        return
    found = re.fullmatch(r"notebooks/((0\d)_[a-z0-9_]+)\.ipynb", lesson)
    assert found, lesson
    here = {path.stem[:2]: path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    known = CHAPTERS | here
    assert known.get(found[2], found[1]) == found[1]


def test_a_chapter_has_one_name_in_all_docstrings():
    names = {dict(fields(value))["taught in"] for value in PUBLIC.values()}
    assert len(names) == len({name.split("/")[1][:2] for name in names}), sorted(names)


# --- Manners --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", TREES, ids=lambda path: path.stem)
def test_a_module_prints_nothing_star_imports_nothing_and_has_no_global(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            assert path.stem == "__main__", f"{path.name}:{node.lineno} prints"
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"{path.name}:{node.lineno} imports *"
        assert not isinstance(node, ast.Global), f"{path.name}:{node.lineno} is global"


def test_modules_are_nouns_and_none_is_a_drawer_for_odds_and_ends():
    drawers = {"utils", "util", "helpers", "helper", "misc", "common", "tools", "lib"}
    for path in TREES:
        assert path.stem not in drawers and not re.search(r"(_v?\d+|_final|_new|_old)$", path.stem), path.name
    assert not any(path.stem in drawers for path in (ROOT / "tests").glob("*.py"))


def test_every_module_has_its_test_file():
    for module in SOURCES:
        assert (ROOT / "tests" / f"test_{module.strip('_')}.py").is_file(), module


# --- What importing costs and changes -------------------------------------------------------------------------

FRESH = """
import json, os, sys, time
seconds, order = {}, sys.argv[1:]

def cost(module):
    start = time.process_time()  # a busy machine does not count
    __import__(module)
    seconds[module] = time.process_time() - start

cost("aetutor")
loaded = sorted(name for name in sys.modules if name.startswith("aetutor."))
cost("torch")
import torch, matplotlib

def state():
    settings = {name: repr(value) for name, value in matplotlib.rcParams.copy().items()}
    return {
        "seed": torch.initial_seed(), "generator": torch.get_rng_state().tolist(), "threads": torch.get_num_threads(),
        "between": torch.get_num_interop_threads(), "type": str(torch.get_default_dtype()), "settings": settings,
        "precision": torch.get_float32_matmul_precision(),
        "gradients": torch.is_grad_enabled(), "cuda": torch.cuda.is_initialized(), "environment": dict(os.environ),
    }

before = state()
for module in order:
    cost(f"aetutor.{module}")
after = state()
print(json.dumps({
    "seconds": seconds, "loaded": loaded, "changed": [name for name in before if before[name] != after[name]],
    "cuda": after["cuda"], "pyplot": "matplotlib.pyplot" in sys.modules,
}))
"""
DRAWING = {"plots", "widgets"}  # matplotlib and ipywidgets
ORDER = sorted(SOURCES, key=lambda module: (module in DRAWING, module))


@pytest.fixture(scope="module")
def fresh():
    """Three fresh interpreters that import the package: their reports."""
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    command = [sys.executable, "-c", FRESH, *ORDER]
    answers = [subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True) for _ in range(3)]
    for answer in answers:
        assert (answer.returncode, answer.stderr) == (0, ""), answer.stderr
        assert answer.stdout.count("\n") == 1, f"importing prints: {answer.stdout}"
    return [json.loads(answer.stdout) for answer in answers]


def median(fresh, *modules):
    return statistics.median(sum(report["seconds"][module] for module in modules) for report in fresh)


def test_importing_aetutor_costs_no_more_than_torch_and_0_3_seconds(fresh):
    assert median(fresh, "aetutor") <= median(fresh, "torch") + 0.3
    assert fresh[0]["loaded"] == []  # a module is imported by who needs it


def test_all_modules_that_do_not_draw_add_less_than_0_3_seconds_to_torch(fresh):
    assert median(fresh, *(f"aetutor.{module}" for module in ORDER if module not in DRAWING)) <= 0.3


def test_importing_changes_nothing_starts_no_gpu_and_brings_no_pyplot(fresh):
    for report in fresh:
        assert report["changed"] == [] and not report["cuda"] and not report["pyplot"]
