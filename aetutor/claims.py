"""`claim`: a sentence, a measured value and a bound. It shows itself, fails loudly, and is collected."""

import json
import math
import numbers
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

MIME = "application/vnd.aetutor.claim+json"  # carries a claim inside a saved notebook; front ends ignore it
VERDICTS = ("true", "true under a condition", "false")


class ClaimFailed(AssertionError):
    """A claim's measured value is outside its bounds; the message is the claim's line.

    returns    : AssertionError
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """


@dataclass(frozen=True)
class Claim:
    """A sentence with the number that settles it.

    sentence   : str
    measured   : float       in `unit`
    unit       : str         "" where the number has none
    at_least   : float       lower bound in `unit`, or None
    at_most    : float       upper bound in `unit`, or None
    about      : float       expected value in `unit`, or None
    tolerance  : float       largest distance from `about`, in `unit`
    settles    : int         number of the popular statement that this claim tests, or None
    verdict    : str         on that statement: "true", "true under a condition" or "false"
    returns    : Claim       str() of it is its line
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """

    sentence: str
    measured: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    about: float | None = None
    tolerance: float | None = None
    settles: int | None = None
    verdict: str | None = None

    @property
    def holds(self) -> bool:
        """Whether the measured value is inside every bound; inf and nan, which measure nothing, never are.

        returns    : bool
        raises     : nothing
        source     : this course
        taught in  : notebooks/00_start_here.ipynb
        """
        tests = []
        if self.at_least is not None:
            tests.append(self.measured >= self.at_least)
        if self.at_most is not None:
            tests.append(self.measured <= self.at_most)
        if self.about is not None:
            distance = abs(self.measured - self.about)
            # 0.7 is 0.8 ± 0.1 to a reader; in binary it is off by the last digit.
            tests.append(distance <= self.tolerance or math.isclose(distance, self.tolerance, rel_tol=1e-9))
        return math.isfinite(self.measured) and bool(tests) and all(tests)

    @property
    def bound(self) -> str:
        """The bounds in words.

        returns    : str         such as "at least 1.5"
        raises     : nothing
        source     : this course
        taught in  : notebooks/00_start_here.ipynb
        """
        words = []
        if self.at_least is not None:
            words.append(f"at least {_number(self.at_least)}")
        if self.at_most is not None:
            words.append(f"at most {_number(self.at_most)}")
        if self.about is not None:
            words.append(f"{_number(self.about)} ± {_number(self.tolerance)}")
        return " and ".join(words)

    @property
    def value(self) -> str:
        """The measured value with its unit, to four digits, or more where four would hide that a bound was missed.

        returns    : str         such as "2.53 ×" or "0.00672"
        raises     : nothing
        source     : this course
        taught in  : notebooks/00_start_here.ipynb
        """
        bounds = [self.at_least, self.at_most]
        if self.about is not None:
            bounds += [self.about - self.tolerance, self.about + self.tolerance]
        bounds = [b for b in bounds if b is not None and b != self.measured]
        text = _number(self.measured)
        if any(text == _number(b) for b in bounds):
            text = repr(float(self.measured))
        return f"{text} {self.unit}".rstrip()

    def _can_hold(self) -> bool:
        around = () if self.about is None else (self.about - self.tolerance, self.about + self.tolerance)
        lows = [bound for bound in (self.at_least, *around[:1]) if bound is not None]
        highs = [bound for bound in (self.at_most, *around[1:]) if bound is not None]
        return not (lows and highs) or max(lows) <= min(highs) or math.isclose(max(lows), min(highs), rel_tol=1e-9)

    def __str__(self) -> str:
        mark = "✔" if self.holds else "✘"
        return f"{mark} {self.sentence}: measured {self.value}, bound {self.bound}{self._settled()}"

    def _settled(self) -> str:
        return "" if self.settles is None else f" (popular statement {self.settles}: {self.verdict})"

    def _repr_html_(self) -> str:
        mark, colour = ("✔", "#00734d") if self.holds else ("✘", "#b03000")
        settled = f"<br><small>Popular statement {self.settles}: <b>{self.verdict}</b></small>" if self.settles else ""
        return (
            f"<div style='border-left:4px solid {colour};padding:0.2em 0.8em;margin:0.2em 0'><b>{mark}</b> "
            f"{escape(self.sentence)}<br>measured <b>{escape(self.value)}</b>, "
            f"bound {escape(self.bound)}{settled}</div>"
        )

    def _ipython_display_(self) -> None:
        """Nothing: `claim` has shown the line already, and a cell that ends with a claim would show it twice."""


class Table(tuple):
    """Claims in the order they were made; prints as lines, an HTML table in a notebook.

    returns    : tuple of Claim
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "no claims yet"

    def _repr_html_(self) -> str:
        if not self:
            return "<p>No claims yet.</p>"
        columns = ("holds", "claim", "measured", "bound", "popular statement")
        left = {"claim": " style='text-align:left'"}
        head = "".join(f"<th scope='col'{left.get(column, '')}>{column}</th>" for column in columns)
        rows = "".join(
            f"<tr><td>{'✔' if c.holds else '✘'}</td><td style='text-align:left'>{escape(c.sentence)}</td>"
            f"<td>{escape(c.value)}</td><td>{escape(c.bound)}</td>"
            f"<td>{f'{c.settles}: {c.verdict}' if c.settles else ''}</td></tr>"
            for c in self
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


_made: dict[str, Claim] = {}  # sentence -> claim: a cell run twice replaces its claim


def claim(
    sentence: str,
    measured: float,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    about: float | None = None,
    tolerance: float | None = None,
    unit: str = "",
    settles: int | None = None,
    verdict: str | None = None,
) -> Claim:
    """Holds a sentence to a measured value: shows the line in a notebook, raises with the same words if it fails.

    A sentence claimed again replaces its earlier value, so in a loop it has to name what differs from round to round.

    sentence   : str         what is claimed, without the number
    measured   : float       in `unit`; a tensor or NumPy number of one element will do
    at_least   : float       lower bound, in `unit`
    at_most    : float       upper bound, in `unit`
    about      : float       expected value, in `unit`; needs `tolerance`
    tolerance  : float       largest distance from `about`, in `unit`
    unit       : str         of the measured value and the bounds; "" where they have none
    settles    : int         number of the popular statement (see the README) that this claim puts to the test
    verdict    : str         on that statement: "true", "true under a condition" or "false"
    returns    : Claim
    raises     : ClaimFailed  if the value is outside its bounds, infinite or nan; an AssertionError
    raises     : TypeError   if a value is no single number, or the unit no str
    raises     : ValueError  if there is no sentence, no bound, one that is infinite or nan, bounds that nothing can
                             meet, or a lone verdict
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    if not isinstance(sentence, str) or not sentence.strip():
        raise ValueError(f"claim: the sentence is {sentence!r}; expected words that say what is claimed")
    if not isinstance(unit, str):
        raise TypeError(f"claim {sentence!r}: unit is {unit!r}; expected words such as 'nats', or ''")
    values = {"at_least": at_least, "at_most": at_most, "about": about, "tolerance": tolerance}
    values = {name: None if value is None else _single(name, value) for name, value in values.items()}
    if all(values[name] is None for name in ("at_least", "at_most", "about")):
        raise ValueError(f"claim {sentence!r} has no bound; give at_least, at_most, or about with a tolerance")
    if (about is None) != (tolerance is None) or (tolerance is not None and not values["tolerance"] >= 0):
        raise ValueError(f"claim {sentence!r}: about is {about} and tolerance {tolerance}; give both, tolerance ≥ 0")
    for name, value in values.items():
        if value is not None and not math.isfinite(value):
            raise ValueError(
                f"claim {sentence!r}: {name}, a bound, is {value}; expected a finite number, or leave it out"
            )
    if settles is not None and (not isinstance(settles, numbers.Integral) or isinstance(settles, bool) or settles < 1):
        raise ValueError(f"claim {sentence!r}: settles is {settles!r}; expected a statement's number, 1 or more")
    if (settles is None) != (verdict is None) or (verdict is not None and verdict not in VERDICTS):
        raise ValueError(
            f"claim {sentence!r}: settles={settles}, verdict={verdict!r}; give both, verdict one of {VERDICTS}"
        )
    settles = None if settles is None else int(settles)
    made = Claim(sentence.strip(), _single("measured", measured), unit=unit, settles=settles, verdict=verdict, **values)
    if not made._can_hold():
        raise ValueError(f"claim {sentence!r}: the bound is {made.bound}; nothing can meet both")
    if not made.holds:
        _made.pop(made.sentence, None)  # an earlier success with the same words no longer counts
        raise ClaimFailed(str(made))
    _made[made.sentence] = made
    _show(made)
    return made


def table() -> Table:
    """The claims made so far in this notebook.

    returns    : Table       in the order they were first made; empty at the start
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    return Table(_made.values())


def collect(notebooks: str | Path | Iterable[str | Path]) -> dict[str, Table]:
    """The claims saved in executed notebooks: those that held, since one that fails raises and is not saved.

    notebooks  : paths       of .ipynb files, or a single one
    returns    : dict        notebook's name without ending -> Table; where names coincide, with as many of the folders
                             before it as tell them apart, such as "anna/00_start_here"
    raises     : ValueError  if a file is no notebook, or one that was not executed
    raises     : OSError     if a file cannot be read
    source     : nbformat 4, "The Notebook file format"
    taught in  : notebooks/00_start_here.ipynb
    """
    single = isinstance(notebooks, str | os.PathLike)
    paths = dict.fromkeys(Path(os.path.abspath(path)) for path in ([notebooks] if single else notebooks))
    found = {}
    for path in paths:
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            outputs = [output for cell in cells for output in cell.get("outputs", [])]
            made = [Claim(**output["data"][MIME]) for output in outputs if MIME in output.get("data", {})]
            found[_shortest(path, paths)] = Table({c.sentence: c for c in made}.values())  # as `table` has them
            code = [cell.get("execution_count") for cell in cells if cell.get("cell_type") == "code"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is no notebook with readable claims ({error}); execute and save it again"
            ) from None
        if code and not any(code):
            raise ValueError(f"{path} was not executed: no code cell has a number; run all its cells and save it")
    return found


# --- Parts ------------------------------------------------------------------------------------------------------


def _shortest(path: Path, paths: Iterable[Path]) -> str:
    def name(of: Path, folders: int) -> tuple[str, ...]:
        return (*of.parent.parts[len(of.parent.parts) - folders :], of.stem)

    for folders in range(len(path.parent.parts)):
        if sum(name(other, folders) == name(path, folders) for other in paths) == 1:
            return "/".join(name(path, folders))
    return str(path)


def _single(name: str, value) -> float:
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):  # a tensor of several numbers raises RuntimeError
        raise TypeError(f"claim: {name} is {value!r}; expected a single number") from None


def _number(value: float) -> str:
    # Four digits, plain notation where a reader expects it: 12340 rather than 1.234e+04.
    if value == 0 or not math.isfinite(value) or 1e-4 <= abs(value) < 9999.5:
        return f"{value:.4g}"
    return f"{value:,.0f}" if 1 < abs(value) < 1e9 else f"{value:.3e}"


def _show(made: Claim) -> None:
    try:
        from IPython import get_ipython
    except ImportError:
        return
    if get_ipython() is None:  # a plain script: the caller has the Claim and may print it
        return
    from IPython.display import display

    display({MIME: asdict(made), "text/html": made._repr_html_(), "text/plain": str(made)}, raw=True)
