"""The files around the package: what it needs, what the wheel holds, what make and CI run, how notebooks are saved."""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from aetutor.runtime.environment import MODULES

ROOT = Path(__file__).resolve().parents[1]

# Colab in late 2026. A floor above one of these makes Colab reinstall the library and ask for a restart.
PINS = (ROOT / ".ci" / "colab" / "pins.txt").read_text("utf-8").splitlines()
COLAB = dict(line.split("==") for line in PINS if line and not line.startswith("#"))
CONDA_NAMES = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib", "py-opencv": "opencv-python-headless"}
MNIST = [
    f"MNIST/raw/{name}.gz"
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )
]


def run(*command, cwd=ROOT, **environment):
    """A finished subprocess with its output as text; environment is added to ours, None removes a name."""
    env = {name: value for name, value in (os.environ | environment).items() if value is not None}
    command = [str(part) for part in command]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def run_python(*arguments, **options):
    return run(sys.executable, *arguments, **options)


# --- What it needs --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def floors(requirements):
    """{name: Version} of requirements that are each a floor and nothing else."""
    found = {}
    for line in requirements:
        requirement = Requirement(line)
        (bound,) = requirement.specifier
        assert bound.operator == ">=", f"{line}: a floor, never a pin"
        found[requirement.name] = Version(bound.version)
    return found


def test_every_requirement_is_a_floor_that_colab_meets(pyproject):
    groups = [pyproject["project"]["dependencies"], *pyproject["project"]["optional-dependencies"].values()]
    for name, floor in (pair for group in groups for pair in floors(group).items()):
        if name in COLAB:
            assert floor <= Version(COLAB[name]), f"{name}>={floor} is above Colab's {COLAB[name]}"


def test_every_requirement_has_the_module_that_the_report_imports(pyproject):
    homes = importlib.metadata.packages_distributions()
    for name in floors(pyproject["project"]["dependencies"]):
        module = MODULES.get(name, name)
        assert name in {canonicalize_name(home) for home in homes.get(module, [])}, f"{name} brings no {module}"


def test_conda_environment_has_the_same_floors(pyproject):
    needed = floors(pyproject["project"]["dependencies"])
    needed |= floors(pyproject["project"]["optional-dependencies"]["lab"])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == "aetutor" and environment["channels"] == ["conda-forge"]
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-e ."]}
    python, _pip, *libraries = conda
    assert (
        Version(python.removeprefix("python=")) in Requirement(f"x{pyproject['project']['requires-python']}").specifier
    )
    offered = floors(libraries)
    assert {CONDA_NAMES.get(name, name): floor for name, floor in offered.items()} == needed


# --- What the wheel holds -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree, made without a network: the source archive first, then the wheel from that."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run_python("-m", "hatchling", "build", "-t", "sdist", "-d", folder)
    assert built.returncode == 0, built.stderr
    (archive,) = folder.glob("aetutor-*.tar.gz")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet")
    built = run_python("-m", "pip", "wheel", *offline, "-w", folder, archive)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("aetutor-*.whl")
    return path


def test_wheel_holds_the_package_and_mnist_and_no_more(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = [path for path in (ROOT / "aetutor").rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    extension = {path.relative_to(ROOT / "labextension") for path in (ROOT / "labextension").rglob("*.js*")}
    elsewhere = "aetutor-0.1.0.data/data"
    shared = f"{elsewhere}/share/jupyter/labextensions/aetutor-access"
    assert len(extension) == 2
    assert names == (
        {path.relative_to(ROOT).as_posix() for path in files}
        | {f"aetutor/_shipped/{name}" for name in MNIST}
        | {f"{shared}/{path.as_posix()}" for path in extension}
        | {f"{elsewhere}/etc/jupyter/jupyter_server_config.d/aetutor.json"}
    )


def test_wheel_carries_the_licences(wheel):
    names = [name.partition(".dist-info/")[2] for name in zipfile.ZipFile(wheel).namelist()]
    assert {"licenses/LICENSE", "licenses/data/README.md"} <= set(names)


def test_wheel_loads_mnist_with_no_repository_and_no_network(wheel, tmp_path):
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    code = (
        "import aetutor; from aetutor import data; images = data.load('mnist');"
        "print(aetutor.__file__, len(images.train), len(images.valid), len(images.test))"
    )
    dead_end = "http://127.0.0.1:9"
    answer = run_python(
        "-P", "-c", code,
        cwd=tmp_path, PYTHONPATH=str(installed), AETUTOR_DATA=None,
        HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"), http_proxy=dead_end, https_proxy=dead_end,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == [str(installed / "aetutor" / "__init__.py"), "55000", "5000", "10000"]


# --- What make and CI run -------------------------------------------------------------------------------------


def test_make_help_names_every_target():
    listed = re.findall(r"^  make ([\w-]+) +\S", run("make").stdout, flags=re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert sorted(listed) == sorted(set(phony) - {"stale"})  # which is no command, but what makes an install stale
    assert {"help", "install", "lab", "test", "notebooks", "lint", "clean"} <= set(listed)


def test_make_install_says_what_is_wrong_with_an_old_python(tmp_path):
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 || exit 1\n')
    old.chmod(0o755)
    for python, found in ((old, "is Python 3.9.2"), ("no-such-python", "is not a Python that runs here")):
        answer = run("make", "install", f"PYTHON={python}", cwd=tmp_path)
        assert answer.returncode != 0
        assert "needs Python 3.11 or newer" in answer.stderr and found in answer.stderr
        assert "make install PYTHON=" in answer.stderr
        assert not (tmp_path / ".venv").exists()


def test_ci_runs_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text().splitlines()
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    assert {"run": ".ci/run"} in workflow["jobs"]["test"]["steps"]
    assert {"push", "pull_request", "schedule"} == set(workflow[True])  # YAML reads the word "on" as true


@pytest.fixture
def impostor(tmp_path):
    """A JUPYTER_PATH in which a broken kernel goes by the name python3."""
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": ["false", "{connection_file}"], "display_name": "Python 3", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    return str(tmp_path / "jupyter")


def test_nbval_runs_notebooks_in_this_python(tmp_path, impostor):
    cells = [new_code_cell(f"import sys\nassert sys.executable == {sys.executable!r}", execution_count=1)]
    path = write(tmp_path / "00_kernel.ipynb", *cells)
    flags = ("--nbval-lax", "--nbval-current-env")
    assert all(flag in (ROOT / "Makefile").read_text() for flag in flags)
    answer = run_python(
        "-m", "pytest", *flags, "-q", "-p", "no:cacheprovider", path, cwd=tmp_path, JUPYTER_PATH=impostor
    )
    assert answer.returncode == 0 and "1 passed" in answer.stdout, answer.stdout


# --- How notebooks are saved ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def executor():
    spec = importlib.util.spec_from_file_location("execute_notebooks", ROOT / ".ci" / "execute_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path, *cells):
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def test_executor_saves_a_notebook_as_it_ran(executor, tmp_path, impostor, monkeypatch, capsys):
    monkeypatch.setenv("JUPYTER_PATH", impostor)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    path = write(
        tmp_path / "00_runs.ipynb",
        new_markdown_cell("# Runs"),
        new_code_cell("import os, sys\nprint('one', flush=True)\nprint(os.getcwd())", id="keep-me"),
        new_code_cell("'MPLBACKEND' in os.environ and os.environ['MPLBACKEND'] == 'Agg', sys.executable"),
        new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}),
    )
    assert executor.main([str(path)]) == 0
    assert re.search(r"00_runs\.ipynb +[\d.]+ s  0\.\d\d GB", capsys.readouterr().out)
    saved = nbformat.read(path, as_version=4)
    assert [cell.get("execution_count") for cell in saved.cells] == [None, 1, 2, 3]
    assert [(output.name, output.text) for output in saved.cells[1].outputs] == [("stdout", f"one\n{tmp_path}\n")]
    assert saved.cells[2].outputs[0].data["text/plain"] == repr((False, sys.executable))
    assert saved.cells[3].outputs[0].ename == "ZeroDivisionError"
    assert saved.cells[1].id == "keep-me"
    assert list(tmp_path.glob(".*ipynb*")) == []


def test_executor_leaves_a_failing_notebook_untouched(executor, tmp_path, capsys):
    path = write(
        tmp_path / "01_fails.ipynb", new_markdown_cell("# Fails"), new_code_cell("x = 1"), new_code_cell("x / 0")
    )
    before = path.read_bytes()
    assert executor.main([str(path)]) == 1
    assert path.read_bytes() == before
    told = capsys.readouterr().err
    assert "01_fails.ipynb" in told and "cell 3 failed" in told
    assert "    x / 0\n" in told and "ZeroDivisionError: division by zero" in told
    assert "\x1b" not in told


def test_executor_takes_out_what_needs_a_live_kernel(executor):
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}}
    slider, bar = {"text/plain": "IntSlider(value=3)"}, {"text/plain": "  0%|          | 0/5"}
    still = {"text/plain": "<Figure>", "image/png": "iVBORw0KGgo="}
    cell = new_code_cell(
        "show()",
        id="keep-me",
        metadata={"execution": {"iopub.execute_input": "2026-11-20T00:00:00Z"}, "tags": ["hide-input"]},
        outputs=[
            new_output("display_data", view | slider),
            new_output("display_data", view | still),
            new_output("stream", name="stdout", text="a\n"),
            new_output("stream", name="stderr", text="\repoch 2:  40%|████      | 2/5 [00:02<00:03,  1.1s/it]\n"),
            new_output("stream", name="stderr", text="0it [00:00, ?it/s]\r3it [00:04,  1.4s/it]"),
            new_output("display_data", view | bar),
            new_output("display_data", {"text/plain": ""}),  # what `train.fit` leaves of a bar at its end,
            new_output("display_data", {"text/plain": " 25% |##5       | 1.0 of 4 epochs, 00:00"}),  # or before it
            new_output("stream", name="stdout", text="b\n"),
            new_output("stream", name="stderr", text="UserWarning: 40% of it"),
            new_output("execute_result", view | slider, execution_count=1),
            new_output("execute_result", dict(slider), execution_count=1),  # not a widget: plain text stays
        ],
    )
    notebook = new_notebook(
        cells=[cell], metadata={"widgets": {"state": {}}, "language_info": {"name": "python", "version": "3.11.2"}}
    )
    executor.normalise(notebook)
    (cell,) = notebook.cells
    assert [output.output_type for output in cell.outputs] == ["display_data", "stream", "stream", "execute_result"]
    assert cell.outputs[0].data == still
    assert [output.text for output in cell.outputs[1:3]] == ["a\nb\n", "UserWarning: 40% of it"]
    assert cell.id == "keep-me" and cell.metadata == {"tags": ["hide-input"]}
    assert "widgets" not in notebook.metadata and "version" not in notebook.metadata.language_info
    assert notebook.metadata.kernelspec.name == "python3"
    nbformat.validate(notebook)
    assert executor.normalise(nbformat.from_dict(notebook)) == notebook  # a second time changes nothing


def test_executor_refuses_what_must_not_be_saved(executor):
    error = new_output("error", ename="ValueError", evalue="no", traceback=[])
    meant = {"tags": ["raises-exception"]}
    ran, second, empty = (new_code_cell("x", execution_count=count) for count in (1, 2, None))
    failed = new_code_cell("x", execution_count=1, outputs=[error])
    allowed = new_code_cell("x", execution_count=1, outputs=[error], metadata=meant)
    heavy = new_code_cell("x", execution_count=1, outputs=[new_output("stream", text="x" * 1_500_000)])

    def problems(*cells):
        return executor.problems(new_notebook(cells=list(cells)))

    assert problems(new_markdown_cell("#"), ran, second) == [] and problems(allowed) == []
    assert len(problems(second)) == 1 and "count 2, not 1" in problems(second)[0]
    assert "cell 3" in problems(new_markdown_cell("#"), ran, empty)[0]
    assert "cell 1 shows ValueError" in problems(failed)[0]
    assert "1.50 MB" in problems(heavy)[0]
