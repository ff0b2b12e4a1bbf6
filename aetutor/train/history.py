"""What happened in training, epoch by epoch: as a table and as a figure."""

import io
import itertools
import math
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

PLAYERS = [  # colour, marker and dashes, since neither survives every printer and every eye
    ("#009E73", "^", "-."),
    ("#CC79A7", "v", ":"),
    ("#000000", "D", (0, (5, 1, 1, 1, 1, 1))),
    ("#8E7CFF", "P", (0, (1, 2))),
]


class Row(NamedTuple):
    """One epoch of training.

    epoch      : int         1, 2, …
    train      : float       objective per training image, mean over the epoch's steps; of players, the sum of theirs
    valid      : float       objective per validation image, after the epoch; with a score, the score
    seconds    : float       of the epoch, validation included
    returns    : tuple
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """

    epoch: int
    train: float
    valid: float
    seconds: float


@dataclass
class History:
    """What happened in training: one row per epoch; prints as a table, plots itself.

    rows       : list of Row
    stopped    : str         why training ended, in words
    unit       : str         of the objective
    players    : dict        of players that take turns, name -> objective per training image, epoch by epoch
    score      : str         what `valid` is if it is not the objective: the name of the score; otherwise ""
    returns    : History
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """

    rows: list[Row] = field(default_factory=list)
    stopped: str = "not started"
    unit: str = "objective per image"
    players: dict[str, list[float]] = field(default_factory=dict)
    score: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def train(self) -> list[float]:
        """Objective per training image, epoch by epoch; of players, the sum of theirs.

        returns    : list of float
        raises     : nothing
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        return [row.train for row in self.rows]

    @property
    def valid(self) -> list[float]:
        """Objective per validation image, or the score, epoch by epoch.

        returns    : list of float
        raises     : nothing
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        return [row.valid for row in self.rows]

    @property
    def seconds(self) -> float:
        """How long the epochs took together.

        returns    : float       seconds
        raises     : nothing
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        return sum(row.seconds for row in self.rows)

    @property
    def best(self) -> Row | None:
        """The epoch whose weights were kept: the one lowest in `valid`; of players without a score, the last.

        returns    : Row, or None if no epoch was finished
        raises     : nothing
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        finite = [row for row in self.rows if math.isfinite(row.train) and math.isfinite(row.valid)]
        if self._unjudged:
            return finite[-1] if finite else None
        return min(finite, key=lambda row: row.valid, default=None)

    def plot(self):
        """Training and validation objective over the epochs, each player's too; a score in a panel of its own.

        returns    : matplotlib.figure.Figure
        raises     : ValueError  if no epoch was finished
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        if self.best is None:
            raise ValueError("this history has no finished epoch to plot; train for at least one")
        shape = {"nrows": 2, "height_ratios": (3, 2), "sharex": True} if self.score else {}
        size = 7.5 if self._several else 6, 4.8 if self.score else 3.2  # inches
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(squeeze=False, **shape)[:, 0]
        top, bottom = panels[0], panels[-1]
        all_of, epochs = " (sum)" if self._several else "", [row.epoch for row in self.rows]
        for (name, losses), (colour, marker, dashes) in zip(
            self._several.items(), itertools.cycle(PLAYERS), strict=False
        ):
            top.plot(epochs, losses, color=colour, marker=marker, linestyle=dashes, label=name)
        top.plot(epochs, self.train, "o-", color="#0072B2", label=f"training images{all_of}")
        bottom.plot(epochs, self.valid, "s--", color="#D55E00", label=self.score or f"validation images{all_of}")
        top.set(ylabel=self.unit, title=self._kept())
        bottom.set(xlabel="epoch", ylabel=f"{self.score}\n(lower is better)" if self.score else self.unit)
        bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
        beside = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if self._several else {}  # many lines leave no room
        top.legend(frameon=False, **beside)
        drawn = [value for line in top.lines for value in line.get_ydata() if math.isfinite(value)]
        if self._several and 0 < 20 * min(drawn) < max(drawn):  # or the smaller players would lie flat on the ground
            top.set(yscale="log", ylabel=f"{self.unit} (log scale)")
        lines = [("training", self.train), *self._several.items(), (self.score or "validation", self.valid)]
        ends = ", ".join(f"{name} from {line[0]:.4g} to {line[-1]:.4g}" for name, line in lines)
        return _shows_itself(figure, f"{top.get_title()}. Line chart over {len(self)} epochs: {ends}.")

    @property
    def _unjudged(self) -> bool:
        # What players want adds up to nothing that could say which epoch is best.
        return bool(self.players) and not self.score

    @property
    def _several(self) -> dict[str, list[float]]:
        return self.players if len(self.players) > 1 else {}  # of a single one, `train` says it all

    def _kept(self) -> str:
        if self._unjudged:
            return f"Kept: the last epoch, {self.best.epoch}"
        return f"Best{f' {self.score}' if self.score else ''}: {self.best.valid:.4g} after epoch {self.best.epoch}"

    def _head(self) -> tuple[str, ...]:
        return ("epoch", "train", *self._several, "valid", "seconds", "weights")

    def _cells(self) -> list[tuple[str, ...]]:
        best, mark, table = self.best, "kept" if self._unjudged else "best", []
        for number, row in enumerate(self.rows):
            numbers = (row.train, *(losses[number] for losses in self._several.values()), row.valid)
            said = (f"{value:.4g}" for value in numbers)
            table.append((str(row.epoch), *said, f"{row.seconds:.1f}", mark if row is best else ""))
        return table

    def _units(self) -> str:
        unit = f"{self.unit}, summed over the players" if self._several else self.unit
        return f"train: {unit}; valid: {self.score}" if self.score else f"train and valid: {unit}"

    def __repr__(self) -> str:
        head = self._head()
        widths = [max(9, len(name)) for name in head]
        lines = [
            "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, *self._cells()]
        ]
        return "\n".join([*lines, f"{self._units()}; {self.seconds:.1f} s; {self.stopped}"])

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in self._head())
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in self._cells())
        foot = f"{escape(self._units())}; {self.seconds:.1f} s in all; {escape(self.stopped)}"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{foot}</p>"


def latest(history: History) -> str:
    # The last epoch in a few words, for the bar.
    row = history.rows[-1]
    losses = {name: each[-1] for name, each in history._several.items()} or {"train": row.train}
    said = ", ".join(f"{name} {loss:.4g}" for name, loss in losses.items())
    if history.score:
        return f"{said} {history.unit}, {history.score} {row.valid:.4g}"
    return f"{said}, valid {row.valid:.4g} {history.unit}"


def _shows_itself(figure, alt: str):
    # A notebook that never imported pyplot shows a bare Figure as text. (plots.Picture is out of reach: see README.)
    def bundle(include=None, exclude=None):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=96)
        return {"image/png": file.getvalue(), "text/plain": alt}, {"image/png": {"alt": alt}}

    figure.alt, figure._repr_mimebundle_ = alt, bundle
    return figure
