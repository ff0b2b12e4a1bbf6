"""What `aetutor.claims` promises: a claim holds or is loud, says the same everywhere, and survives in the notebook."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from aetutor import claims
from aetutor.claims import Claim, ClaimFailed, Table, claim

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A notebook that has made no claim yet."""
    monkeypatch.setattr(claims, "_made", {})


# --- What holds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "bounds", "holds"),
    [
        (1.5, {"at_least": 1.5}, True),
        (1.4999999, {"at_least": 1.5}, False),
        (1.5, {"at_most": 1.5}, True),
        (1.5000001, {"at_most": 1.5}, False),
        (1.5, {"at_least": 1, "at_most": 2}, True),
        (1, {"at_least": 1, "at_most": 1}, True),
        (0.9, {"at_least": 1, "at_most": 2}, False),
        (2.1, {"at_least": 1, "at_most": 2}, False),
        (1.5, {"about": 2, "tolerance": 0.5}, True),
        (2.5, {"about": 2, "tolerance": 0.5}, True),
        (1.49, {"about": 2, "tolerance": 0.5}, False),
        (2.51, {"about": 2, "tolerance": 0.5}, False),
        (2, {"about": 2, "tolerance": 0}, True),
        (2.0001, {"about": 2, "tolerance": 0}, False),
        (0.7, {"about": 0.8, "tolerance": 0.1}, True),  # abs(0.7 − 0.8) is 0.10000000000000009
        (1.1, {"about": 1, "tolerance": 0.1}, True),
        (2.2, {"about": 2, "tolerance": 0.5, "at_most": 2.1}, False),
        (0, {"at_least": 0}, True),
        (-3, {"at_most": 0}, True),
        (math.nan, {"at_least": -1e300}, False),
        (math.nan, {"at_most": 1}, False),
        (math.nan, {"about": 1, "tolerance": 5}, False),
        (math.inf, {"at_least": 1}, False),
        (math.inf, {"at_most": 1}, False),
        (-math.inf, {"at_most": 1}, False),
        (math.inf, {"about": 1, "tolerance": 5}, False),
        (1e300, {"at_least": 1}, True),
        (0.7, {"about": 0.8, "tolerance": 0.1, "at_most": 0.7}, True),  # 0.8 − 0.1 is 0.7000000000000001
    ],
)
def test_a_claim_holds_inside_its_bounds_and_on_them_and_fails_outside_and_for_inf_and_nan(measured, bounds, holds):
    if holds:
        made = claim("It is so", measured, **bounds)
        assert made.holds and str(made).startswith("✔ It is so: measured ")
        assert claims.table() == (made,)
    else:
        with pytest.raises(ClaimFailed) as caught:
            claim("It is so", measured, **bounds)
        assert str(caught.value).startswith("✘ It is so: measured ")
        assert claims.table() == ()


def test_a_failure_says_the_line_that_a_success_would_have_shown_but_for_the_mark():
    bounds = {"at_least": 1.5, "at_most": 3, "unit": "×", "settles": 7, "verdict": "true under a condition"}
    held = str(claim("Better than PCA", 2.5, **bounds))
    assert held == (
        "✔ Better than PCA: measured 2.5 ×, bound at least 1.5 and at most 3"
        " (popular statement 7: true under a condition)"
    )
    with pytest.raises(ClaimFailed) as caught:
        claim("Better than PCA", 0.5, **bounds)
    failed = Claim("Better than PCA", 0.5, **bounds)
    assert str(caught.value) == str(failed) == held.replace("✔", "✘").replace("2.5", "0.5")
    assert isinstance(caught.value, AssertionError)


@pytest.mark.parametrize(
    "measured",
    [
        1.5,
        np.float32(1.5),
        np.array(1.5),
        np.array([[1.5]]),
        torch.tensor(1.5),
        torch.tensor([1.5]),
        torch.tensor(1.5, requires_grad=True),
        torch.tensor(1.5, dtype=torch.bfloat16),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("error")
def test_tensors_and_numpy_numbers_of_one_element_are_numbers(measured):
    made = claim("One and a half", measured, at_least=measured, at_most=measured)
    assert type(made.measured) is type(made.at_least) is float and made.measured == 1.5
    json.dumps(made.measured)


@pytest.mark.parametrize(
    "wrong", [None, "1.5", [1.5], np.array([1.0, 2.0]), torch.zeros(2), torch.zeros(0), 1 + 2j, object], ids=repr
)
def test_what_is_no_single_number_is_refused(wrong):
    with pytest.raises(TypeError, match=r"measured is .* expected a single number"):
        claim("It is so", wrong, at_least=0)
    if wrong is not None:
        with pytest.raises(TypeError, match=r"at_least is .* expected a single number"):
            claim("It is so", 1, at_least=wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "has no bound"),
        ({"unit": "nats"}, "has no bound"),
        ({"about": 1}, "give both, tolerance ≥ 0"),
        ({"tolerance": 1, "at_least": 0}, "give both, tolerance ≥ 0"),
        ({"about": 1, "tolerance": -0.1}, "give both, tolerance ≥ 0"),
        ({"about": 1, "tolerance": math.nan}, "tolerance"),
        ({"at_least": math.nan}, "at_least, a bound, is nan; expected a finite number"),
        ({"at_most": torch.tensor(math.nan)}, "at_most, a bound, is nan"),
        ({"about": math.nan, "tolerance": 1}, "about, a bound, is nan"),
        ({"at_least": -math.inf}, "at_least, a bound, is -inf"),
        ({"at_least": 1, "at_most": math.inf}, "at_most, a bound, is inf"),
        ({"about": 1, "tolerance": math.inf}, "tolerance, a bound, is inf"),
        ({"at_least": 2, "at_most": 1}, "at least 2 and at most 1; nothing can meet both"),
        ({"about": 2, "tolerance": 0.5, "at_most": 1.4}, "at most 1.4 and 2 ± 0.5; nothing can meet both"),
        ({"about": 2, "tolerance": 0.5, "at_least": 2.6}, "at least 2.6 and 2 ± 0.5; nothing can meet both"),
        ({"at_least": 0, "settles": 0, "verdict": "true"}, "settles is 0; expected a statement's number, 1 or more"),
        ({"at_least": 0, "settles": 1.5, "verdict": "true"}, "settles is 1.5"),
        ({"at_least": 0, "settles": True, "verdict": "true"}, "settles is True"),
        ({"at_least": 0, "settles": 3}, "give both, verdict one of"),
        ({"at_least": 0, "verdict": "true"}, "give both, verdict one of"),
        ({"at_least": 0, "settles": 3, "verdict": "maybe"}, "give both, verdict one of"),
    ],
)
def test_a_claim_that_cannot_be_meant_is_refused_and_not_collected(arguments, message):
    with pytest.raises(ValueError, match=message):
        claim("It is so", 1.5, **arguments)
    assert claims.table() == ()


def test_a_unit_that_is_no_text_is_refused_and_numpys_number_of_a_statement_is_not():
    with pytest.raises(TypeError, match=r"unit is 3; expected words"):
        claim("It is so", 1.5, at_least=1, unit=3)
    assert type(claim("It is so", 1.5, at_least=1, settles=np.int64(3), verdict="true").settles) is int


@pytest.mark.parametrize("sentence", ["", "  \n", None, 3])
def test_a_claim_without_a_sentence_is_refused(sentence):
    with pytest.raises(ValueError, match="expected words"):
        claim(sentence, 1.5, at_least=1)


# --- How it reads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (2.534499, "2.534"),
        (0.00672, "0.00672"),
        (0.0001, "0.0001"),
        (0.000012345, "1.234e-05"),
        (9999.4, "9999"),
        (9999.96, "10,000"),
        (12340, "12,340"),
        (-12340, "-12,340"),
        (419_120, "419,120"),
        (2.5e12, "2.500e+12"),
    ],
)
def test_numbers_read_as_a_reader_expects_them(number, shown):
    made = claim("It is so", number, at_least=-1e300)
    assert made.value == shown
    assert claim("It is so", number, at_least=-1e300, unit="nats").value == f"{shown} nats"


@pytest.mark.parametrize(
    ("measured", "bounds", "shown"),
    [
        (1.49999, {"at_least": 1.5}, "1.49999"),
        (0.00750001, {"at_most": 0.0075}, "0.00750001"),
        (1.60001, {"about": 1.5, "tolerance": 0.1}, "1.60001"),
        (1.39999, {"about": 1.5, "tolerance": 0.1}, "1.39999"),
        (12_339.8, {"at_least": 12_340}, "12339.8"),
    ],
)
def test_a_near_miss_is_shown_with_the_digits_that_make_it_one(measured, bounds, shown):
    with pytest.raises(ClaimFailed, match=f"measured {shown}, bound"):
        claim("It is so", measured, **bounds)


def test_html_says_the_same_as_the_line_and_escapes_it():
    made = claim("<b>A</b> & B", 2, at_least=1, unit="<nats>", settles=3, verdict="false")
    for html in (made._repr_html_(), claims.table()._repr_html_()):
        assert "&lt;b&gt;A&lt;/b&gt; &amp; B" in html and "2 &lt;nats&gt;" in html
        assert "<b>A" not in html and "<nats>" not in html
        assert "✔" in html and "at least 1" in html and "false" in html and "3" in html
    assert "✘" in Claim("No", 0.0, at_least=1.0)._repr_html_()
    assert "✘" in Table([Claim("No", 0.0, at_least=1.0)])._repr_html_()


def test_outside_a_notebook_nothing_is_printed(capsys, monkeypatch):
    made = claim("It is so", 2, at_least=1)
    monkeypatch.setitem(sys.modules, "IPython", None)  # not even installed
    assert claim("It is so", 2, at_least=1) == made
    assert capsys.readouterr() == ("", "")


# --- The table ------------------------------------------------------------------------------------------------


def test_the_table_has_the_claims_in_the_order_they_were_first_made():
    first, second = claim("First", 1, at_least=0), claim("Second", 2, at_least=0)
    assert claims.table() == (first, second)
    first = claim("First", 3, at_least=0)  # a cell run again
    assert claims.table() == (first, second)
    assert repr(claims.table()) == f"{first}\n{second}"
    assert claims.table()._repr_html_().count("<tr>") == 3


def test_a_cell_run_again_that_now_fails_takes_its_claim_out():
    other = claim("Other", 1, at_least=0)
    claim("  It is so ", 1, at_least=0)
    assert len(claims.table()) == 2
    with pytest.raises(ClaimFailed):
        claim("It is so", -1, at_least=0)
    assert claims.table() == (other,)


def test_an_empty_table_says_so():
    assert repr(claims.table()) == "no claims yet" and "No claims yet" in claims.table()._repr_html_()


def test_a_table_in_hand_does_not_change_when_more_is_claimed():
    before = claims.table()
    claim("It is so", 1, at_least=0)
    assert len(before) == 0 and len(claims.table()) == 1


# --- Collecting from notebooks --------------------------------------------------------------------------------

CELLS = [
    "from aetutor import claims\nimport math, numpy, torch",
    "claims.claim('A <b> & «c»', torch.tensor(2.5), at_least=1.5, unit='×')",
    "claims.claim('Equal images', 1e300, at_least=numpy.float64(40), unit='dB')",
    "made = claims.claim('Below', -math.pi, at_most=0.1)\nprint('and more')",
    "claims.claim('Settled', 0.25, about=0.3, tolerance=0.1, settles=4, verdict='false')",
    "try:\n    claims.claim('Wrong', 1, at_least=2)\nexcept AssertionError as error:\n    print(error)",
    "claims.table()",
]
MADE = (
    Claim("A <b> & «c»", 2.5, "×", at_least=1.5),
    Claim("Equal images", 1e300, "dB", at_least=40.0),
    Claim("Below", -math.pi, at_most=0.1),
    Claim("Settled", 0.25, about=0.3, tolerance=0.1, settles=4, verdict="false"),
)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook of claims as a real kernel ran it and as the project's executor saves it."""
    spec = importlib.util.spec_from_file_location("execute_notebooks", ROOT / ".ci" / "execute_notebooks.py")
    executor = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(executor)
    folder = tmp_path_factory.mktemp("executed")
    notebook = new_notebook(cells=[new_markdown_cell("# Claims"), *map(new_code_cell, CELLS)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        executor.execute(notebook, folder)
    executor.normalise(notebook)
    nbformat.write(notebook, folder / "02_claims.ipynb")
    return folder / "02_claims.ipynb"


def test_claims_come_back_from_an_executed_notebook_as_they_were_made(executed):
    found = claims.collect([executed])
    assert found == {"02_claims": MADE}
    assert isinstance(found["02_claims"], Table) and all(c.holds for c in found["02_claims"])
    assert claims.table() == ()  # what others claimed is not claimed here


def test_in_a_notebook_a_claim_shows_its_line_once_and_a_failed_one_not_at_all(executed):
    outputs = [cell.outputs for cell in nbformat.read(executed, as_version=4).cells[1:]]
    assert [len(shown) for shown in outputs] == [0, 1, 1, 2, 1, 1, 1]
    for made, shown in zip(MADE, outputs[1:5], strict=True):
        assert shown[0].data["text/plain"] == str(made) and shown[0].data["text/html"] == made._repr_html_()
    assert outputs[5][0].text == "✘ Wrong: measured 1, bound at least 2\n"
    assert outputs[6][0].data["text/plain"] == "\n".join(map(str, MADE))


def test_a_notebook_with_claims_is_valid_and_strictly_json(executed):
    nbformat.validate(nbformat.read(executed, as_version=4))

    def never(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads(executed.read_text(encoding="utf-8"), parse_constant=never)


def test_notebooks_are_collected_by_name_and_one_without_claims_is_empty(executed, tmp_path):
    empty = tmp_path / "01_empty.ipynb"
    ran = new_code_cell("1", outputs=[new_output("stream", text="1")], execution_count=1)
    cells = [new_markdown_cell("# None"), ran, new_code_cell()]
    nbformat.write(new_notebook(cells=cells), empty)
    assert list(claims.collect([str(executed), empty]).items()) == [("02_claims", MADE), ("01_empty", ())]
    assert claims.collect([]) == {}
    assert claims.collect(executed) == claims.collect(str(executed)) == {"02_claims": MADE}


def test_notebooks_of_one_name_are_told_apart_by_as_few_folders_as_it_takes(tmp_path, monkeypatch):
    names = ["anna/00_same", "ben/00_same", "ben/01_other", "x/c/02_deep", "y/c/02_deep"]
    for path in [tmp_path / f"{name}.ipynb" for name in names]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"cells": []}')
    monkeypatch.chdir(tmp_path)
    assert claims.collect(["anna/00_same.ipynb"]) == {"00_same": ()}
    paths = [f"{name}.ipynb" for name in names] + [
        str(tmp_path / "ben" / "00_same.ipynb"),
        "anna/../ben/01_other.ipynb",
    ]
    assert list(claims.collect(paths)) == ["anna/00_same", "ben/00_same", "01_other", "x/c/02_deep", "y/c/02_deep"]


def test_a_notebook_that_was_never_executed_is_refused(tmp_path):
    path = tmp_path / "02_blank.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Blank"), new_code_cell("1")]), path)
    with pytest.raises(ValueError, match=r"02_blank\.ipynb was not executed: .* run all its cells and save"):
        claims.collect([path])


def test_a_claim_made_twice_in_a_notebook_counts_once_as_in_its_table(tmp_path):
    path = tmp_path / "02_twice.ipynb"
    saved = [{"sentence": name, "measured": value, "at_least": 0.0} for name, value in [("A", 1), ("B", 2), ("A", 3)]]
    path.write_text(json.dumps({"cells": [{"outputs": [{"data": {claims.MIME: claim}} for claim in saved]}]}))
    for name, value in [("A", 1), ("B", 2), ("A", 3)]:
        claim(name, value, at_least=0)
    assert claims.collect([path])["02_twice"] == claims.table()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"nbformat": 4}', '{"cells": [3]}', "\xff", '{"cells": [{"outputs": [{"data": 3}]}]}']
)
def test_a_file_that_is_no_notebook_is_named(tmp_path, text):
    path = tmp_path / "broken.ipynb"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"broken\.ipynb is no notebook with readable claims"):
        claims.collect([path])


def test_a_claim_of_another_form_in_a_notebook_is_named(tmp_path):
    path = tmp_path / "broken.ipynb"
    for saved in ({"sentence": "No number"}, {"sentence": "A", "measured": 1.0, "colour": "red"}, 3):
        path.write_text(json.dumps({"cells": [{"outputs": [{"data": {claims.MIME: saved}}]}]}))
        with pytest.raises(ValueError, match=r"broken\.ipynb"):
            claims.collect([path])


def test_a_missing_notebook_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        claims.collect([tmp_path / "nowhere.ipynb"])
