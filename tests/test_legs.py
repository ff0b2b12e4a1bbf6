"""The legs that run notebooks as on Colab, on Binder and with the oldest versions: what each would notice."""

import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import nbformat
import psutil
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
VIEW = "application/vnd.jupyter.widget-view+json"

linux = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads memory from Linux' /proc")


@pytest.fixture(scope="module")
def legs():
    sys.path.append(str(ROOT / ".ci"))
    yield importlib.import_module("legs")
    sys.path.remove(str(ROOT / ".ci"))


def write(path, *cells):
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Title"), *map(new_code_cell, cells)]), path)
    return path


# --- Notebooks ------------------------------------------------------------------------------------------------


def test_a_failing_notebooks_report_names_it_and_the_cell_and_shows_source_and_error(legs, tmp_path, capsys):
    fine = write(tmp_path / "00_runs.ipynb", "x = 1")
    fails = write(tmp_path / "01_fails.ipynb", "x = 1", "y = x / 0  # too far", "never = 1")
    assert legs.report("colab", [fails, fine], lambda path: legs.run(path, legs.Place())) is False
    told = capsys.readouterr().out
    assert re.search(r"^colab \[1/2\] \S*01_fails\.ipynb +FAILED$", told, re.M)
    assert "01_fails.ipynb: cell 3 failed\n    y = x / 0  # too far\n" in told
    assert "ZeroDivisionError: division by zero" in told and "\x1b" not in told
    assert re.search(r"^colab \[2/2\] \S*00_runs\.ipynb +\d+\.\d s +0\.\d\d GB at most$", told, re.M), "it goes on"
    summary = told[told.index("== colab: 1 of 2 notebooks passed in 0.") :]
    assert "FAILED: " in summary and "01_fails.ipynb" in summary and "00_runs" not in summary


def test_no_notebook_at_all_is_a_failure(legs):
    with pytest.raises(legs.LegFailed, match="no notebook was found"):
        legs.report("binder", [], lambda path: None)


def test_a_notebook_runs_alone_in_an_empty_folder_without_the_terminals_settings(legs, tmp_path, monkeypatch):
    (tmp_path / "beside.txt").touch()
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = write(
        tmp_path / "00_looks.ipynb", "import os, sys\nos.listdir(), 'inline' in os.environ['MPLBACKEND']", "sys.path"
    )
    ran = legs.run(path, legs.Place())
    assert ran.notebook.cells[1].outputs[0].data["text/plain"] == "(['00_looks.ipynb'], True)"
    assert str(tmp_path) not in ran.notebook.cells[2].outputs[0].data["text/plain"]


def test_only_the_cells_asked_for_run_and_the_set_up_cell_is_looked_at_when_it_has_run(legs, tmp_path):
    done = tmp_path / "done"
    path = write(tmp_path / "00_copy.ipynb", f"open({str(done)!r}, 'w')", "raise NotImplementedError()")
    seen = []
    legs.run(path, legs.Place(), cells=2, after_setup=lambda: seen.append(done.exists()))
    assert seen == [True]

    def refuse():
        raise legs.LegFailed("numpy was replaced")

    with pytest.raises(legs.NotebookFailed, match=r"(?s)cell 2 failed\n    open\(.*numpy was replaced"):
        legs.run(path, legs.Place(), after_setup=refuse)


@linux
@pytest.mark.parametrize("by", ["the kernel", "a process that it starts"])
def test_a_notebook_that_eats_memory_is_killed_and_named(legs, tmp_path, capsys, by):
    eat = "import time\nblock = b'x' * 600_000_000\ntime.sleep(120)"
    if by != "the kernel":
        eat = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {eat!r}])"
    path = write(tmp_path / "02_eats.ipynb", "x = 1", eat)
    place = legs.Place(limit=0.5e9)
    assert legs.report("binder", [path], lambda path: legs.run(path, place)) is False
    told = capsys.readouterr().out
    assert "02_eats.ipynb: cell 3 failed\n" in told and "b'x' * 600_000_000" in told
    killed = re.search(r"killed at (\d\.\d\d) GB of memory; 0\.5 GB are allowed", told)
    assert 0.5 <= float(killed[1]) < 0.9


@linux
def test_a_process_that_has_ended_holds_no_memory(legs):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    process = legs.psutil.Process(ended.pid)
    while process.status() != legs.psutil.STATUS_ZOMBIE:
        time.sleep(0.05)
    assert legs.memory([process]) == 0
    ended.wait()
    assert legs.memory([process]) == 0


@linux
def test_memory_that_processes_share_counts_once(legs):
    code = "block = b'x' * 300_000_000\nimport os\nos.fork()\nprint(flush=True)\nimport time\ntime.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert parent.stdout.readline() and parent.stdout.readline()  # both are up
        process = legs.psutil.Process(parent.pid)
        tree = [process, *process.children()]
        assert len(tree) == 2
        assert 0.3e9 < legs.memory(tree) < 0.4e9
        assert legs.memory(tree, quick=True) > 0.6e9
    finally:
        for process in tree:
            process.kill()
        parent.wait()
        parent.stdout.close()


# --- Virtual environments -------------------------------------------------------------------------------------


@pytest.fixture
def pretended(legs, tmp_path, monkeypatch):
    """build/ in a folder of its own, with environments that are made in no time; the list of commands that pip gets."""
    calls = []

    def tool(*command):
        if command[1:3] == ("-m", "venv"):
            shutil.rmtree(command[-1], ignore_errors=True)
            (Path(command[-1]) / "bin").mkdir(parents=True)
            (Path(command[-1]) / "bin" / "python").symlink_to(sys.executable)
        if command[1:3] == ("-m", "pip"):
            calls.append(Path(command[-1]).read_text().splitlines())
            if "broken" in calls[-1]:
                raise legs.LegFailed("no such package")
        return "Python 3"

    monkeypatch.setattr(legs, "tool", tool)
    monkeypatch.setattr(legs, "ROOT", tmp_path)
    monkeypatch.setattr(legs, "BUILD", tmp_path / "build")
    return calls


def test_an_environment_is_used_again_until_what_it_is_made_from_changes(legs, pretended):
    for pins in (["six==1"], ["six==1"], ["six==2"], ["six==2"]):
        assert legs.virtual_environment("old", Path(sys.executable), pins).exists()
    assert pretended == [["six==1"], ["six==2"]]


def test_an_install_that_was_interrupted_is_done_again(legs, pretended):
    with pytest.raises(legs.LegFailed, match="no such package"):
        legs.virtual_environment("old", Path(sys.executable), ["broken"])
    left = legs.BUILD / "old" / "half-installed"
    left.touch()
    with pytest.raises(legs.LegFailed, match="no such package"):
        legs.virtual_environment("old", Path(sys.executable), ["broken"])
    assert pretended == [["broken"], ["broken"]] and not left.exists()


def test_a_python_that_is_not_there_is_named(legs):
    with pytest.raises(legs.LegFailed, match="'no-such' is not a Python that runs here; name one with --python"):
        legs.find_python("no-such", ("3.12",))
    with pytest.raises(legs.LegFailed, match=r"no Python 2\.0 or 2\.1 was found"):
        legs.find_python(None, ("2.0", "2.1"))
    now = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert legs.python_version(legs.find_python(None, (now,))) == now


def test_a_command_that_fails_is_shown_with_what_it_said(legs):
    with pytest.raises(legs.LegFailed, match=r"(?s)failed with status 3: .* -c .*\nso it goes"):
        legs.tool(sys.executable, "-c", "print('so it goes'); raise SystemExit(3)")


# --- Colab ----------------------------------------------------------------------------------------------------


def wheel(folder: Path, name: str, version: str, needs: str = "") -> Path:
    """A wheel with nothing in it but what it needs."""
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        needed = f"Requires-Dist: {needs}\n" if needs else ""
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_a_wheel_that_would_replace_what_colab_has_is_refused_before_anything_is_installed(
    legs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheel(tmp_path, "numpy", "999.0")
    wheel(tmp_path, "brand_new", "1.0")
    python, before = Path(sys.executable), legs.installed(Path(sys.executable))
    greedy = wheel(tmp_path, "greedy", "1.0", "numpy>=999")
    modest = wheel(tmp_path, "modest", "1.0", "brand-new")
    with pytest.raises(legs.LegFailed, match=rf"asked to restart.* replaces numpy {before['numpy']} → 999\.0\. "):
        legs.check_wheel(python, greedy, before)
    legs.check_wheel(python, modest, before)
    assert "adds brand-new, modest and replaces nothing" in capsys.readouterr().out
    assert legs.installed(python) == before


def test_what_a_set_up_cell_replaced_is_told_from_what_it_added(legs):
    before = {"numpy": "2.1.3", "torch": "2.11.0", "six": "1.0"}
    assert legs.replaced(before, before | {"aetutor": "0.1.0"}) == []
    assert legs.replaced(before, {"numpy": "2.4.0", "torch": "2.11.0"}) == ["numpy 2.1.3 → 2.4.0", "six 1.0 → removed"]


def test_colabs_module_is_there_before_the_first_cell(legs, tmp_path):
    first = "import sys\n'google.colab' in sys.modules"
    # What anywidget asks of it; Colab's metadata tells the front end where to find what shows the widget.
    own = (
        "output.enable_custom_widget_manager()\nsys.modules['google.colab.output']._widgets._installed_url is not None"
    )
    path = write(tmp_path / "00_colab.ipynb", first, "from google.colab import output\noutput.__file__", own)
    cells = legs.run(path, legs.colab_place(Path(sys.executable))).notebook.cells
    assert cells[1].outputs[0].data["text/plain"] == "True"
    assert str(ROOT / ".ci" / "colab") in cells[2].outputs[0].data["text/plain"]
    assert cells[3].outputs[0].data["text/plain"] == "True"


def test_colabs_versions_are_pins_and_hold_all_that_the_course_needs(legs):
    pins = {requirement.name: requirement.specifier for requirement in map(Requirement, legs.colab_pins())}
    assert all([bound.operator for bound in specifier] == ["=="] for specifier in pins.values())
    pyproject = legs.tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {Requirement(line).name for line in pyproject["dependencies"]}
    assert needed <= set(pins), "or say in the set-up cell's name what Colab has to install"


def test_git_takes_the_working_tree_as_it_is_for_the_repositorys_address(legs, tmp_path, monkeypatch):
    root = tmp_path / "work"
    root.mkdir()
    git = ("git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.invalid")
    subprocess.run([*git, "init", "--quiet"], check=True)
    (root / ".gitignore").write_text("ignored\n")
    (root / "kept").write_text("committed")
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "first"], check=True)
    (root / "kept").write_text("changed since")
    for name in ("new", "ignored"):
        (root / name).touch()
    before = subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True).stdout
    monkeypatch.setattr(legs, "ROOT", root)

    tree = legs.snapshot(tmp_path / "snapshot")
    address = "https://example.invalid/owner/name"
    clone = ["git", "clone", "--quiet", address, str(tmp_path / "clone")]
    subprocess.run(clone, env=os.environ | legs.instead_of(address, tree), check=True)
    assert {path.name for path in (tmp_path / "clone").iterdir()} == {".git", ".gitignore", "kept", "new"}
    assert (tmp_path / "clone" / "kept").read_text() == "changed since"
    assert subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True).stdout == before


def test_a_widget_has_to_be_live_and_to_have_its_still_beside_it(legs):
    def problems(source, *data):
        outputs = [new_output("display_data", each) for each in data]
        notebook = new_notebook(cells=[new_code_cell(source, outputs=outputs)])
        return legs.widget_problems(legs.Ran(notebook, seconds=1, peak=1, live={"a"}))

    live, dead, still = {VIEW: {"model_id": "a"}}, {VIEW: {"model_id": "b"}}, {"image/png": "iVBORw0KGgo="}
    ours = "from aetutor import widgets\nwidgets.map_explorer(model.decode, z)"
    assert problems(ours, live | still) == []
    for wrong in ([], [live], [still], [live, still]):
        (problem,) = problems(ours, *wrong)
        assert "cell 1 failed" in problem and "none with a still picture beside it" in problem and ours[-9:] in problem
    (problem,) = problems(ours, dead | still)
    assert "the kernel does not know" in problem
    assert problems("for _ in tqdm(x): pass", live) == [], "a progress bar needs no still"
    assert problems("from aetutor import widgets\n# widgets.map_explorer(z)") == []
    assert problems("centred = widgets.as_mnist(drawing)") == [], "no widget, but what one of them gives"


# --- Binder ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no cores can be chosen here")
def test_binder_has_one_core(legs, tmp_path, capsys):
    path = write(tmp_path / "00_cores.ipynb", "import os\nassert len(os.sched_getaffinity(0)) == 1")
    allowed = os.sched_getaffinity(0)
    try:
        assert legs.binder([path], None) is True
    finally:
        os.sched_setaffinity(0, allowed)
    assert "alone, 2 GB of memory" in capsys.readouterr().out


def test_nothing_shadows_the_environment_that_binder_reads():
    # What repo2docker would take in place of environment.yml, or beside it.
    others = ("binder", ".binder", "Dockerfile", "Project.toml", "JuliaProject.toml", "REQUIRE", "default.nix")
    others += ("install.R", "DESCRIPTION", "runtime.txt", "apt.txt", "postBuild", "start")
    assert [name for name in others if (ROOT / name).exists()] == []


def test_binders_environment_starts_the_lab_that_badges_open():
    badge = re.search(r"mybinder\.org/v2/gh/\S+\?(\w+)=", (ROOT / "notebooks/00_start_here.ipynb").read_text("utf-8"))
    assert badge[1] == "labpath"
    named = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert any(str(line).startswith("jupyterlab>=") for line in named)
    # repo2docker reads the Python from this line, and has a tested set of packages for each of these.
    assert [line for line in named if re.fullmatch(r"python=3\.1[0-4]", str(line))]


# --- Oldest versions ------------------------------------------------------------------------------------------


def test_unit_tests_are_told_of_line_by_line_and_a_failure_fails_the_leg(legs, tmp_path, capsys):
    good, bad = tmp_path / "test_good.py", tmp_path / "test_bad.py"
    good.write_text("def test_it():\n    assert True\n")
    bad.write_text("def test_it():\n    assert 1 == 2\n")
    assert legs.unit_tests("oldest", Path(sys.executable), [good]) is True
    assert legs.unit_tests("oldest", Path(sys.executable), [good, bad]) is False
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("oldest: ", "== oldest: unit tests (")) for line in lines)
    assert any("1 failed, 1 passed" in line for line in lines)


def test_unit_tests_that_are_stopped_do_not_run_on(legs, tmp_path, monkeypatch):
    python = tmp_path / "python"  # says one line, and would run on for ten minutes
    python.write_text("#!/bin/sh\necho begun\nexec sleep 600\n")
    python.chmod(0o755)
    started, before = [], psutil.Process().children()  # other tests' helpers, multiprocessing's tracker among them

    def stop(*words, **_):
        if words[0].startswith("oldest: "):
            started.extend(child for child in psutil.Process().children() if child not in before)
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", stop)
    with pytest.raises(KeyboardInterrupt):
        legs.unit_tests("oldest", python, [])
    _, alive = psutil.wait_procs(started, timeout=5)
    assert started and not alive


def test_the_lowest_of_a_floor_is_the_floor_and_of_two_the_higher(legs):
    assert legs.lowest(["torch>=2.4", "ipython>=8.10", "ipython>=7.34"]) == ["torch==2.4", "ipython==8.10"]
    assert legs.lowest(["opencv-python-headless>=4.10"]) == ["opencv-python-headless==4.10.0.82"]
    with pytest.raises(legs.LegFailed, match=r"six==1\.0, which is not a floor"):
        legs.lowest(["six==1.0"])


# --- Command line ---------------------------------------------------------------------------------------------


def test_the_exit_status_says_whether_a_notebook_failed(tmp_path):
    good, bad = write(tmp_path / "00_good.ipynb", "x = 1"), write(tmp_path / "01_bad.ipynb", "1 / 0")
    for notebooks, status in (([good], 0), ([good, bad], 1), (["no-such.ipynb"], 1)):
        command = [sys.executable, str(ROOT / ".ci" / "legs.py"), "binder", *map(str, notebooks)]
        answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert answer.returncode == status, answer.stdout + answer.stderr
        assert "Traceback" not in answer.stderr
    assert "No such file" in answer.stdout


def test_a_leg_that_is_stopped_ends_its_kernel_and_says_so(tmp_path):
    started = tmp_path / "started"
    busy = f"import os, time\nopen({str(started)!r} + str(os.getpid()), 'w')\ntime.sleep(120)"
    path = write(tmp_path / "00_sleeps.ipynb", busy)
    command = [sys.executable, str(ROOT / ".ci" / "legs.py"), "binder", str(path)]
    leg = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while not (files := list(tmp_path.glob("started*"))):
            assert time.monotonic() < until and leg.poll() is None
            time.sleep(0.1)
        leg.send_signal(signal.SIGINT)
        _, told = leg.communicate(timeout=60)
    finally:
        leg.kill()
    assert leg.returncode == 130
    assert "binder: stopped; the same command starts again" in told
    assert 'legs.py", line' not in told  # what the kernel itself says, as it ends, is not ours
    kernel = int(files[0].name.removeprefix("started"))
    while Path(f"/proc/{kernel}").exists():
        assert time.monotonic() < until + 30, "the kernel still runs"
        time.sleep(0.1)
