"""The notebook contract: structure, pictures, claims and words of every chapter, read from the saved files."""

import base64
import itertools
import json
import re
import tomllib
from pathlib import Path

import pytest

from aetutor import claims

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
TAGS = {"solution", "hide-input", "raises-exception", "nbval-skip", "nbval-check-output", "nbval-ignore-output"}
# Popular statements that each chapter has to settle; a chapter joins when it is written.
SETTLES = {
    "01_theory": {1, 2, 3, 4, 5},
    "02_dense_autoencoder": {4, 6, 7, 8, 12},
    "03_convolutional_autoencoder": {5, 9, 10, 11, 12},
    "04_denoising_and_generation": {13, 14, 15, 16, 23},
    "05_variational_autoencoder": {16},
    "06_adversarial": {16, 17, 18},
}

chapters = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str | None = None) -> list[dict]:
    return [c for c in json.loads(path.read_text("utf-8"))["cells"] if kind in (None, c["cell_type"])]


def text(cell: dict) -> str:
    return "".join(cell["source"])


def prose(path: Path) -> str:
    return "\n\n".join(text(cell) for cell in cells(path, "markdown"))


def outputs(path: Path) -> list[dict]:
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def test_the_chapters_are_there():
    assert [path.stem for path in NOTEBOOKS][:1] == ["00_start_here"]
    assert set(SETTLES) <= {path.stem for path in NOTEBOOKS}


@chapters
def test_it_opens_with_title_promise_table_and_links(path):
    first = text(cells(path)[0])
    number = path.stem[:2]
    assert re.match(rf"# {number} · \S", first)
    assert re.search(r"^\*\*.+\*\*$", first, re.M), "the one-line promise, in bold"
    for row in ("You will be able to", "You need", "Time"):
        assert f"| **{row}** |" in first
    assert re.search(r"\*\*Time\*\*.*CPU cores.*GPU", first)
    owner = REPOSITORY.removeprefix("https://github.com/")
    for address in (
        f"https://colab.research.google.com/github/{owner}/blob/main/notebooks/{path.name}",
        f"https://mybinder.org/v2/gh/{owner}/main?labpath=notebooks/{path.name}",
    ):
        assert address in first


@chapters
def test_its_first_code_cell_sets_up_alone_on_colab(path):
    setup = text(cells(path, "code")[0])
    assert 'importlib.util.find_spec("aetutor") is None' in setup
    assert f'%pip install --quiet "aetutor @ git+{REPOSITORY}"' in setup
    assert f'runtime.start("{path.stem}")' in setup


@chapters
def test_it_closes_with_its_claims_exercises_and_reading(path):
    headings = re.findall(r"^## (.+)$", prose(path), re.M)
    assert headings[-3:] == ["What we measured", "Exercises", "Further reading"]
    assert text(cells(path, "code")[-1]) == "claims.table()"
    reading = prose(path).split("## Further reading")[1]
    assert len(re.findall(r"\((19|20)\d\d\)", reading)) >= 3, "citations carry their year"


def test_each_chapter_ends_with_the_way_to_the_next():
    for path, following in itertools.pairwise(NOTEBOOKS):
        title = re.search(r"^# (\d\d · [^:\n]+)", text(cells(following)[0]), re.M)[1]
        assert text(cells(path)[-1]).rstrip().endswith(f"\n\nNext: [{title}]({following.name})."), path.name


@chapters
def test_it_was_executed_in_one_run_without_errors(path):
    assert [cell["execution_count"] for cell in cells(path, "code")] == list(range(1, len(cells(path, "code")) + 1))
    for cell in cells(path, "code"):
        tags = cell["metadata"].get("tags", [])
        assert set(tags) <= TAGS
        errors = [output for output in cell["outputs"] if output["output_type"] == "error"]
        assert not errors or "raises-exception" in tags
    assert "widgets" not in json.loads(path.read_text("utf-8"))["metadata"]


@chapters
def test_every_picture_is_described_and_the_file_is_small(path):
    pictures = [output for output in outputs(path) if "image/png" in output.get("data", {})]
    assert pictures
    for output in pictures:
        assert len(output["metadata"]["image/png"]["alt"]) > 20
    assert path.stat().st_size < 1_500_000
    for alt in re.findall(r"!\[(.*?)\]\(", prose(path)):
        assert len(alt) > 20


@chapters
def test_prose_carries_the_lesson(path):
    code = [text(cell) for cell in cells(path, "code")]
    lines = [line for cell in code for line in cell.splitlines() if line.strip()]
    words = len(re.findall(r"\w+", prose(path)))
    assert words >= 5 * len(lines), f"{words} words for {len(lines)} lines of code"
    longest = max(code, key=lambda cell: cell.count("\n"))
    assert longest.count("\n") < 30, longest
    kinds = "".join(cell["cell_type"][0] for cell in cells(path))
    assert "cccc" not in kinds, "at most three code cells in a row"


@chapters
def test_no_sentence_tells_a_reader_that_it_is_easy(path):
    banned = r"\b(simpl[ey]|simplest|obvious(ly)?|trivial(ly)?|of course|clearly|just)\b"
    assert not re.findall(banned, prose(path), re.I)


@chapters
def test_links_between_chapters_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", prose(path)):
        assert (path.parent / target).exists(), target


@chapters
def test_its_saved_claims_hold_and_settle_its_statements(path):
    made = claims.collect([path])[path.stem]
    assert made
    for claim in made:
        assert claim.holds, str(claim)
    settled = {claim.settles for claim in made if claim.settles}
    assert settled == SETTLES.get(path.stem, set())


def test_the_readme_tells_the_verdicts_that_the_notebooks_reached():
    rows = re.findall(r"^\| (\d+) \| .+? \| ([^|]+?) \| (\d\d) \|$", (ROOT / "README.md").read_text("utf-8"), re.M)
    told = {(int(number), chapter, verdict) for number, verdict, chapter in rows}
    made = {
        (claim.settles, path.stem[:2], claim.verdict)
        for path in NOTEBOOKS
        for claim in claims.collect([path])[path.stem]
        if claim.settles
    }
    assert told == made


def test_the_readme_lists_every_chapter_and_its_picture_is_the_one_from_chapter_00():
    readme = (ROOT / "README.md").read_text("utf-8")
    for path in NOTEBOOKS:
        assert f"(notebooks/{path.name})" in readme
    assert f"git clone {REPOSITORY}\n" in readme
    shown = (ROOT / "notebooks" / "map_of_digits.png").read_bytes()
    saved = [output["data"].get("image/png", "") for output in outputs(NOTEBOOKS[0]) if "data" in output]
    assert shown in map(base64.b64decode, saved), "run `make notebooks`, which copies the picture out of chapter 00"
