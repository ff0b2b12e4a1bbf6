"""What happened in training, epoch by epoch: as a table and as a figure."""

import io
import math
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple


class Row(NamedTuple):
    """One epoch of training.

    epoch      : int         1, 2, …
    train      : float       objective per training image, mean over the epoch's steps
    valid      : float       objective per validation image, after the epoch
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
    returns    : History
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """

    rows: list[Row] = field(default_factory=list)
    stopped: str = "not started"
    unit: str = "objective per image"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def train(self) -> list[float]:
        """Objective per training image, epoch by epoch.

        returns    : list of float
        raises     : nothing
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        return [row.train for row in self.rows]

    @property
    def valid(self) -> list[float]:
        """Objective per validation image, epoch by epoch.

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
        """The epoch whose weights were kept: the one with the lowest validation objective.

        returns    : Row, or None if no epoch was finished
        raises     : nothing
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        finite = [row for row in self.rows if math.isfinite(row.train) and math.isfinite(row.valid)]
        return min(finite, key=lambda row: row.valid, default=None)

    def plot(self):
        """Training and validation objective over the epochs.

        returns    : matplotlib.figure.Figure
        raises     : ValueError  if no epoch was finished
        source     : this course
        taught in  : notebooks/02_dense_autoencoder.ipynb
        """
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        if self.best is None:
            raise ValueError("this history has no finished epoch to plot; train for at least one")
        figure = Figure(figsize=(6, 3.2), layout="constrained")
        axes = figure.add_subplot()
        epochs = [row.epoch for row in self.rows]
        axes.plot(epochs, self.train, "o-", color="#0072B2", label="training images")
        axes.plot(epochs, self.valid, "s--", color="#D55E00", label="validation images")
        axes.set(xlabel="epoch", ylabel=self.unit, title=f"Best: {self.best.valid:.4g} after epoch {self.best.epoch}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
        ends = f"training from {self.train[0]:.4g} to {self.train[-1]:.4g}, validation from {self.valid[0]:.4g}"
        return _shows_itself(
            figure, f"{axes.get_title()}. Line chart over {len(self)} epochs: {ends} to {self.valid[-1]:.4g}."
        )

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (str(r.epoch), f"{r.train:.4g}", f"{r.valid:.4g}", f"{r.seconds:.1f}", "best" if r is self.best else "")
            for r in self.rows
        ]

    def __repr__(self) -> str:
        head = ("epoch", "train", "valid", "seconds", "")
        lines = ["  ".join(f"{cell:>9}" for cell in row).rstrip() for row in [head, *self._cells()]]
        return "\n".join([*lines, f"train and valid: {self.unit}; {self.seconds:.1f} s; {self.stopped}"])

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{name}</th>" for name in ("epoch", "train", "valid", "seconds", ""))
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in self._cells())
        foot = f"train and valid: {escape(self.unit)}; {self.seconds:.1f} s in all; {escape(self.stopped)}"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{foot}</p>"


def _shows_itself(figure, alt: str):
    # A notebook that never imported pyplot shows a bare Figure as text. (plots.Picture is out of reach: see README.)
    def bundle(include=None, exclude=None):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=96)
        return {"image/png": file.getvalue(), "text/plain": alt}, {"image/png": {"alt": alt}}

    figure.alt, figure._repr_mimebundle_ = alt, bundle
    return figure
