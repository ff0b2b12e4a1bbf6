"""The repository's address: written in one place, the same wherever a reader meets it, and moved by one command."""

import importlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
NOTEBOOKS = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name) and path.parent.name != ".ipynb_checkpoints"]


@pytest.fixture(scope="module")
def address():
    sys.path.append(str(ROOT / ".ci"))
    yield importlib.import_module("address")
    sys.path.remove(str(ROOT / ".ci"))


@pytest.fixture
def copy(address, tmp_path):
    """A folder with every file that holds the address."""
    for path in address.places():
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- One address ----------------------------------------------------------------------------------------------


def test_every_badge_set_up_cell_and_clone_command_leads_where_pyproject_says(address):
    assert address.disagreements() == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "notebooks").as_posix())
def test_a_notebook_has_both_badges_to_itself_and_a_set_up_cell(address, path):
    here = address.here()
    opens = path.relative_to(ROOT).as_posix().replace("/source/", "/release/")  # of an assignment, the student's copy
    cells = json.loads(path.read_text("utf-8"))["cells"]
    first = "".join(cells[0]["source"])
    assert f"https://{here.written(address.FORMS['Colab badge'])}{opens})" in first
    assert f"https://{here.written(address.FORMS['Binder badge'])}labpath={opens})" in first
    setup = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert f'%pip install --quiet "aetutor @ {here.written(address.FORMS["pip"])}"' in setup


def test_no_file_repeats_the_address_but_those_that_are_rewritten(address):
    said = f"github.com/{address.here().repository}".encode()
    left_out = {"build", "dist", "node_modules", "__pycache__", "_build"}
    seen = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name for name in folders if name not in left_out and (name[0] != "." or name in (".ci", ".github"))
        ]
        seen += [Path(folder, name) for name in names]
    kinds = {".py", ".md", ".ipynb", ".toml", ".yml", ".js", ".css", ".html", ".txt", ".rst", ".cff", ""}
    holding = {path for path in seen if path.suffix in kinds and said in path.read_bytes()}
    assert ROOT / "notebooks" / "assignments" / "README.md" in holding
    assert holding - set(address.places()) == set()


# --- Another address ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", ["jane-doe/My.Course", "jane/autoencoders/tree/dev", "aetutor/aetutor-2"])
def test_a_move_reaches_all_places_and_the_move_back_gives_the_same_bytes(address, copy, new):
    old, before = address.here(copy), contents(copy)
    new = address.parse(f"https://github.com/{new}")
    changed = address.move(new, copy)
    assert address.here(copy) == new and address.disagreements(copy) == []
    moved = contents(copy)
    assert set(changed) == {path for path in before if before[path] != moved[path]}
    assert {copy / path.relative_to(ROOT) for path in NOTEBOOKS} <= set(changed)
    ours = re.compile(re.escape(f"github.com/{old.repository}") + r"(?![\w-])|/gh/" + re.escape(old.repository) + "/")
    assert [path for path, text in moved.items() if ours.search(text.decode())] == []
    assert {len(text.splitlines()) for text in moved.values()} == {len(text.splitlines()) for text in before.values()}
    address.move(old, copy)
    assert contents(copy) == before


def test_a_moved_student_copy_has_the_checksums_that_nbgrader_expects(address, copy):
    from nbformat import from_dict
    from nbgrader.utils import compute_checksum

    renewed = 0
    before = contents(copy)
    for path in address.move(address.parse("jane/autoencoders"), copy):
        if path.suffix == ".ipynb":
            renewed += path.read_bytes().count(b'"checksum"') if path.read_bytes() != before[path] else 0
            for cell in json.loads(path.read_text("utf-8"))["cells"]:
                if checksum := cell["metadata"].get("nbgrader", {}).get("checksum"):
                    assert compute_checksum(from_dict(cell | {"source": "".join(cell["source"])})) == checksum
    assert renewed > 0


def test_each_form_of_the_address_is_rewritten_and_its_neighbours_are_not(address):
    old, new = address.parse("a/b"), address.parse("c/d", "dev")

    def becomes(text):
        return address.rewritten(text, old, new)

    assert becomes("https://colab.research.google.com/github/a/b/blob/main/x.ipynb").endswith("/c/d/blob/dev/x.ipynb")
    assert becomes("https://mybinder.org/v2/gh/a/b/main?labpath=x").endswith("/gh/c/d/dev?labpath=x")
    assert becomes('"aetutor @ git+https://github.com/a/b"') == '"aetutor @ git+https://github.com/c/d@dev"'
    assert becomes("git clone https://github.com/a/b\ncd b\n") == "git clone -b dev https://github.com/c/d\ncd d\n"
    assert becomes('"!git clone https://github.com/a/b.git\\n",\n "cd b"') == (
        '"!git clone -b dev https://github.com/c/d.git\\n",\n "cd d"'
    )
    assert becomes('Repository = "https://github.com/a/b"') == 'Repository = "https://github.com/c/d/tree/dev"'
    assert becomes("(https://github.com/a/b/blob/main/LICENSE)") == "(https://github.com/c/d/blob/dev/LICENSE)"
    assert becomes("See https://github.com/a/b. Or <https://github.com/a/b/issues>.") == (
        "See https://github.com/c/d. Or <https://github.com/c/d/issues>."
    )
    for other in ("https://github.com/a/b-2", "https://github.com/a/b.js", "https://github.com/xa/b", "a/b", "cd b"):
        assert becomes(other) == other


def test_an_address_is_taken_as_a_browser_or_git_shows_it(address):
    for text in (
        "jane/ae", "https://github.com/jane/ae", "http://github.com/jane/ae/", "github.com/jane/ae.git",
        "git@github.com:jane/ae.git", " https://www.github.com/jane/ae/tree/main ",
    ):  # fmt: skip
        assert address.parse(text) == address.Address("jane/ae", "main")
    assert address.parse("https://github.com/jane/ae/tree/dev") == address.parse("jane/ae", "dev")


def test_what_is_no_address_is_refused_and_nothing_changes(address, copy, monkeypatch, capsys):
    before = contents(copy)
    for wrong in ("jane", "jane/", "/ae", "a/b/c", "jane doe/ae", "https://gitlab.com/jane/ae", "-x/ae", "jane/..", ""):
        with pytest.raises(
            address.AddressError, match=f"^{re.escape(repr(wrong))} is no repository on GitHub; expected"
        ):
            address.parse(wrong)
    for branch in ("a/b", "a b", "-x", "?"):
        with pytest.raises(address.AddressError, match=f"the branch {re.escape(repr(branch))}; expected"):
            address.parse("jane/ae", branch)
    assert address.main(["https://gitlab.com/jane/ae"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("address: 'https://gitlab.com/jane/ae' is no repository") and told.err.count("\n") == 1
    assert contents(copy) == before


@pytest.mark.parametrize("at", [0, 7])
def test_a_move_that_fails_half_way_leaves_every_file_as_it_was(address, copy, monkeypatch, at):
    before, real, calls = contents(copy), address.os.replace, []

    def full(source, target):
        calls.append(target)
        if len(calls) > at:
            raise OSError("No space left on device")
        real(source, target)

    monkeypatch.setattr(address.os, "replace", full)
    with pytest.raises(address.AddressError, match="No space left on device; nothing was changed"):
        address.move(address.parse("jane/ae"), copy)
    assert contents(copy) == before  # temporary files are gone, too


def test_a_file_that_is_not_text_stops_the_move_before_it_begins(address, copy):
    (copy / "notebooks" / "assignments" / "README.md").write_bytes(b"\xff")
    before = contents(copy)
    with pytest.raises(address.AddressError, match=r"notebooks/assignments/README\.md cannot be read: .*nothing was"):
        address.move(address.parse("jane/ae"), copy)
    assert contents(copy) == before


def test_pyproject_is_replaced_last_so_that_a_move_cut_short_can_be_repeated(address, copy, monkeypatch):
    monkeypatch.setattr(address.Path, "write_bytes", lambda *_: None)  # a power cut restores nothing
    real, calls = address.os.replace, []

    def cut(source, target):
        calls.append(target)
        if len(calls) > 5:
            raise KeyboardInterrupt
        real(source, target)

    new = address.parse("jane/ae")
    with monkeypatch.context() as during:
        during.setattr(address.os, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            address.move(new, copy)
    assert address.here(copy) == address.here() and address.disagreements(copy)
    address.move(new, copy)
    assert address.here(copy) == new and address.disagreements(copy) == []


def test_without_an_address_the_command_lists_what_disagrees(address, copy, monkeypatch, capsys):
    monkeypatch.setattr(address, "disagreements", lambda real=address.disagreements: real(copy))
    assert address.main([]) == 0 and "agree with pyproject.toml: https://github.com/" in capsys.readouterr().out
    readme = copy / "README.md"
    readme.write_text(
        readme.read_text("utf-8").replace("git clone https://github.com/", "git clone https://gitlab.com/")
    )
    assert address.main([]) == 1
    told = capsys.readouterr().out
    assert re.fullmatch(
        r"README\.md: git clone https://gitlab\.com/\S+ does not lead to https://github\.com/\S+\n", told
    )
