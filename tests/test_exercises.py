"""How answers are read and compared: each known mistake has its own hint, and right answers get through."""

import numpy as np
import pytest
import torch

from aetutor import exercises
from aetutor.exercises import Wrong
from aetutor.exercises.answers import attached, call, close, number, require, same, tensor

WANT = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])


def mistake(function, *args, **settings) -> str:
    with pytest.raises(Wrong) as caught:
        function(*args, **settings)
    assert len(str(caught.value)) > 20
    return caught.value.mistake


def test_all_that_is_offered_is_wrong_and_checks():
    assert "Wrong" in exercises.__all__ and len(exercises.__all__) > 30
    assert all(name == "Wrong" or name.startswith("check_") for name in exercises.__all__)


def test_wrong_is_an_assertion_error_that_names_its_mistake():
    error = Wrong("sign", "x has the wrong sign.")
    assert isinstance(error, AssertionError) and error.mistake == "sign" and str(error) == "x has the wrong sign."
    require(True, "sign", "never said")
    assert mistake(require, False, "sign", "x has the wrong sign.") == "sign"


# --- Calls ----------------------------------------------------------------------------------------------------


def test_a_call_returns_what_the_answer_returns():
    assert call(lambda x, *, power: x**power, 3, name="power", power=2) == 9


def test_a_call_tells_unwritten_missing_and_failing_answers_apart():
    def unwritten(x):
        raise NotImplementedError()

    assert mistake(call, unwritten, 1, name="f") == "unanswered"
    assert mistake(call, None, 1, name="f") == "missing"
    with pytest.raises(Wrong, match=r"f\(tensor of shape \(2, 3\)\) stops with ZeroDivisionError") as caught:
        call(lambda x: 1 / 0, WANT, name="f")
    assert caught.value.mistake == "fails" and isinstance(caught.value.__cause__, ZeroDivisionError)


def test_torch_not_implementing_something_is_not_an_unwritten_answer():
    def torch_says(x):
        raise NotImplementedError("Could not run 'aten::something'")

    assert mistake(call, torch_says, 1, name="f") == "fails"


@pytest.mark.parametrize("spoil", [lambda x: x.add_(1), lambda x: x.zero_(), lambda x: x.t_(), lambda x: x.resize_(1)])
def test_an_argument_changed_in_place_is_found(spoil):
    assert mistake(call, spoil, WANT.clone(), name="f") == "in-place"
    assert mistake(call, lambda *, x: spoil(x), name="f", x=WANT.clone()) == "in-place"


def test_a_stop_by_the_teacher_is_not_a_wrong_answer():
    def stopped(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(stopped, 1, name="f")


# --- Numbers and tensors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array([2.0]), torch.tensor(2.0), torch.tensor([[2]])])
def test_a_number_may_come_in_many_coats(value):
    assert number(value, name="x") == 2.0 and type(number(value, name="x")) is float


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, "type"), ("2", "type"), (None, "type"), ([2], "type"), (WANT, "shape"), (float("nan"), "nan")],
)
def test_what_is_no_number_is_told_why(value, expected):
    assert mistake(number, value, name="x") == expected


def test_a_tensor_that_is_right_comes_back_itself():
    assert tensor(WANT, name="x", shape=(2, 3), dtype=torch.float32, like=WANT) is WANT
    assert tensor(WANT, name="x", shape=(None, 3)) is WANT


class Agreeable(torch.Tensor):
    """A tensor that says yes to every comparison."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (WANT.numpy(), "type"),
        (WANT.tolist(), "type"),
        (WANT.as_subclass(Agreeable), "type"),
        (WANT.T, "transposed"),
        (WANT[0], "shape"),
        (WANT.double(), "dtype"),
        (WANT.to("meta"), "device"),
    ],
)
def test_what_is_not_the_right_tensor_is_told_why(value, expected):
    assert mistake(tensor, value, name="x", shape=(2, 3), like=torch.zeros(1)) == expected


def test_a_tensor_cut_off_from_the_graph_is_found():
    x = torch.ones(2, requires_grad=True)
    assert attached(x * 2, name="x").requires_grad
    assert mistake(attached, (x * 2).detach(), name="x") == "detached"


# --- Values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("right", [WANT, WANT.double(), WANT.numpy(), WANT + 1e-7, WANT.clone().requires_grad_()])
def test_right_values_pass_in_any_precision(right):
    assert close(right, WANT)
    same(right, WANT, name="x")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-WANT, "sign"),
        (WANT * 8, "batch"),
        (WANT / 8, "batch"),
        (WANT / 784, "pixels"),
        (WANT * 784, "pixels"),
        (WANT / (8 * 784), "pixels"),
        (WANT * 2, "factor"),
        (WANT / 2, "factor"),
        (WANT * 3.3, "factor"),
        (WANT * 1.002, "value"),
        (WANT + 1, "value"),
        (WANT.T, "shape"),
        (WANT / 0, "nan"),
        (WANT * torch.nan, "nan"),
        (WANT.square(), "squared"),
        (WANT * 0, "value"),
    ],
)
def test_a_known_difference_has_its_own_hint(value, expected):
    known = {"squared": (WANT.square(), "a square too many.")}
    assert mistake(same, value, WANT, name="x", batch=8, pixels=784, mistakes=known) == expected


def test_a_square_matrix_that_is_transposed_is_found_by_its_values():
    square = torch.arange(9.0).view(3, 3)
    assert mistake(same, square.T, square, name="x") == "transposed"


def test_a_batch_of_one_gives_no_hint_about_batches():
    assert mistake(same, WANT * 2, WANT, name="x", batch=1) == "factor"


def test_a_hint_says_where_and_how_far_but_not_what_is_right():
    with pytest.raises(Wrong, match=r"it is 3\.5 at \[0, 2\], off by 0\.5") as caught:
        same(torch.tensor([[1.0, 2.0, 3.5], [4.0, 5.0, 7.0]]), WANT, name="x")
    assert caught.value.mistake == "value"


def test_a_single_number_is_no_multiple_and_its_hint_does_not_give_it_away():
    with pytest.raises(Wrong, match=r"^x is 3, and that is too small\.$") as caught:
        same(3.0, 3.5, name="x")
    assert caught.value.mistake == "value"
    assert mistake(same, 7.0, 3.5, name="x") == "factor"


def test_patches_of_torch_and_numpy_after_the_import_decide_nothing(monkeypatch):
    monkeypatch.setattr(torch, "equal", lambda *_: True)
    monkeypatch.setattr(torch, "allclose", lambda *_, **__: True)
    monkeypatch.setattr(np, "allclose", lambda *_, **__: True)
    monkeypatch.setattr(np, "all", lambda *_, **__: True)
    monkeypatch.setattr(torch.Tensor, "detach", lambda self: WANT)
    assert mistake(same, WANT + 1, WANT, name="x") == "value"
    assert mistake(call, lambda x: x.add_(1), WANT.clone(), name="f") == "in-place"
